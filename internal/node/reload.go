// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/members/device"
)

// reload reads cluster.yaml again. Everything in it can change live, or nothing changes. An error means that nothing has; what the host
// refuses of a configuration that is in force is a warning.
func (n *node) reload() (control.ReloadResult, error) {
	next, err := config.Load(n.o.Config)
	if err != nil {
		n.metrics.Reloaded(false)
		return control.ReloadResult{}, control.Invalid(err.Error(), "correct the file; nothing was changed")
	}
	local, err := next.For(n.local.Self.Name)
	if err != nil {
		n.metrics.Reloaded(false)
		return control.ReloadResult{}, control.Refused(err.Error(), "nothing was changed")
	}
	live, refused := config.Diff(n.cfg, next)
	result := control.ReloadResult{Applied: changes(live), Refused: changes(refused)}
	if len(refused) > 0 {
		n.metrics.Reloaded(false)
		result.Applied = []control.Change{}
		return result, nil
	}
	if err := clash(next, local.Self.Name, n.machine.Device); err != nil {
		n.metrics.Reloaded(false)
		return control.ReloadResult{}, err
	}
	if p := n.policy.plane; p != nil && next.Policy != nil {
		if err := p.Trusts(next.Policy.Keys); err != nil {
			n.metrics.Reloaded(false)
			return control.ReloadResult{}, control.Refused("policy.keys: "+err.Error(), "nothing was changed")
		}
	}
	keys, err := readKeys(next)
	if err != nil {
		n.metrics.Reloaded(false)
		return control.ReloadResult{}, control.Invalid(err.Error(), "correct the key file; nothing was changed")
	}
	specs, err := receivers(next.Notify)
	if err != nil {
		n.metrics.Reloaded(false)
		return control.ReloadResult{}, control.Invalid(err.Error(), "correct the file; nothing was changed")
	}
	if err := n.wire.ring.Load(keys...); err != nil { // refuses without changing anything
		n.metrics.Reloaded(false)
		return control.ReloadResult{}, control.Refused(next.KeyFile+": "+err.Error(), "nothing was changed")
	}
	if now := keyNumbers(keys); now != n.wire.keyNumbers {
		result.Applied = append(result.Applied, control.Change{Path: "key-file", From: "keys " + n.wire.keyNumbers, To: "keys " + now})
	}
	n.cfg, n.local = next, local
	result.Applied = n.reconfigureNotify(specs, result.Applied)
	for _, p := range n.ports {
		p.Interface = next.Interfaces[p.Slot]
	}
	result.Warnings = warningsOf(n.applyReload(keys))
	return result, nil
}

// warningsOf are the parts of a joined error, each in words.
func warningsOf(err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

// hangup is a reload that nobody waits for.
func (n *node) hangup() {
	r, err := n.reload()
	switch {
	case err != nil:
		n.log.Error("reload", "error", err)
	case len(r.Warnings) > 0:
		n.log.Error("reload: applied, but not everywhere", "applied", len(r.Applied), "warnings", r.Warnings)
	default:
		n.log.Info("reload", "applied", len(r.Applied), "refused", len(r.Refused))
	}
}

// applyReload brings everything that runs in line with the new configuration, as far as it can; the error says what could not be.
func (n *node) applyReload(keys []ccp.Key) error {
	n.wire.keyNumbers = keyNumbers(keys)
	if n.o.Level != nil {
		n.o.Level.Set(n.cfg.LogLevel)
	}
	// A part that fails does not keep the others from the new configuration: gate, pulse and machine must have the same timers.
	t := n.cfg.Timers
	err := errors.Join(n.followRing(), n.gate.SetTimers(t.Soft, t.Hard, t.Watch, t.Linger), n.applyPorts())
	n.reconfigurePulse()
	err = errors.Join(err, n.reloadShare())
	n.machine.Reconfigure(n.machineConfig())
	n.reloadMonitors()
	n.reloadPolicy()
	for _, p := range n.ports {
		n.linkStep(p) // attaching may have set or cleared a fault
	}
	n.step(members.Tick{})
	if n.serve.open {
		n.announceNow(gateway)
	}
	n.metrics.Reloaded(err == nil)
	n.publishConfig()
	return err
}

// publishConfig shows what is in force.
func (n *node) publishConfig() {
	n.metrics.SetConfig(n.cfg.Digest())
	for _, row := range n.cfg.Timers.Table(n.cfg.Profile) {
		n.metrics.SetTimer(row.Name, row.Value)
	}
}

func changes(list []config.Change) []control.Change {
	all := make([]control.Change, 0, len(list))
	for _, c := range list {
		all = append(all, control.Change(c))
	}
	return all
}

func deviceEvent(r control.DeviceRequest) (members.Device, error) {
	ops := map[string]members.DeviceOp{"register": members.DeviceRegister, "report": members.DeviceReport, "unregister": members.DeviceUnregister}
	op, ok := ops[r.Action]
	if !ok {
		return members.Device{}, control.Invalid("action "+r.Action+" is unknown", "it is register, report or unregister")
	}
	status, ok := map[string]device.Status{"ok": device.OK, "init": device.Init, "problem": device.Problem}[r.Status]
	if !ok && op != members.DeviceUnregister {
		return members.Device{}, control.Invalid("status "+r.Status+" is unknown", "it is ok, init or problem")
	}
	if r.Name == "" {
		return members.Device{}, control.Invalid("the device has no name", "give it one")
	}
	return members.Device{Op: op, Name: r.Name, Status: status, Reason: r.Reason, Timeout: time.Duration(r.Timeout)}, nil
}
