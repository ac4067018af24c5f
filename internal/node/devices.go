// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/members/device"
)

// desk is where programs register and report critical devices.
type desk struct {
	changing sync.Mutex       // around what is checked, written to disk and then done: registrations, never reports
	flips    map[string]flips // by device; the loop's
	builtin  int              // how many devices are built in; the loop's
}

// Device implements control.Backend.
func (b *backend) Device(ctx context.Context, r control.DeviceRequest) (control.Result, error) {
	if r.Action == "report" {
		return b.report(ctx, r)
	}
	if err := b.change(ctx, []control.DeviceRequest{r}); err != nil {
		return control.Result{}, err
	}
	res := control.Result{Done: r.Name + " is " + r.Action + "ed"}
	if r.Action == "unregister" && b.n.store.keeps(r.Name) {
		res.Details = []string{"it was registered with --persist and is back after a restart; unregister --persist forgets that too"}
	}
	return res, nil
}

// ManyDevices implements control.Backend.
func (b *backend) ManyDevices(ctx context.Context, r control.DevicesRequest) (control.Result, error) {
	if err := b.change(ctx, r.Requests); err != nil {
		return control.Result{}, err
	}
	n := map[string]int{}
	for _, q := range r.Requests {
		n[q.Action]++
	}
	res := control.Result{Done: fmt.Sprintf("%d requests carried out", len(r.Requests))}
	for _, action := range []string{"register", "report", "unregister"} {
		if n[action] > 0 {
			res.Details = append(res.Details, fmt.Sprintf("%d %sed", n[action], action))
		}
	}
	return res, nil
}

// report hands a program's report to the machine. It comes often, so it touches no disk, and the machine only by the name.
func (b *backend) report(ctx context.Context, r control.DeviceRequest) (control.Result, error) {
	ev, err := deviceEvent(r)
	if err != nil {
		return control.Result{}, err
	}
	changed := false
	res, err := ask(ctx, b.n, func(now int64) (control.Result, error) {
		d, err := b.n.reportable(now, r)
		if err != nil {
			return control.Result{}, err
		}
		changed = d.Status != ev.Status || d.Reason != ev.Reason
		b.n.recovers(now, d, r)
		b.n.step(ev)
		return control.Result{Done: r.Name + " is " + r.Status}, nil
	})
	if changed && err == nil {
		b.n.store.noteReport(r)
	}
	return res, err
}

// reportable refuses a report that the machine would not take, or that would be one recovery too many. It counts nothing: see recovers.
func (n *node) reportable(now int64, r control.DeviceRequest) (device.Device, error) {
	d, known := n.machine.Device(r.Name)
	switch {
	case !known:
		return d, control.NotFound("there is no device "+r.Name, "register it first: holdfast devices register "+r.Name)
	case n.taken(d) != nil:
		return d, n.taken(d)
	}
	if r.Status != "ok" || d.Status == device.OK {
		return d, nil
	}
	if wait := n.desk.flips[r.Name].wait(now); wait > 0 {
		return d, control.Refused(fmt.Sprintf("%s has recovered %d times within %v and stays in %s", r.Name, flipBudget, flipBudget*flipRefill, d.Status),
			fmt.Sprintf("report ok again in %v; let the program look several times before it reports", wait.Round(time.Second)))
	}
	return d, nil
}

// recovers counts a report that is carried out, if it ends a problem.
func (n *node) recovers(now int64, d device.Device, r control.DeviceRequest) {
	if r.Action != "report" || r.Status != "ok" || d.Status == device.OK {
		return
	}
	if n.desk.flips == nil {
		n.desk.flips = map[string]flips{}
	}
	n.desk.flips[r.Name] = n.desk.flips[r.Name].recover(now)
}

// Recoveries of a device: each may move the gateway back and forth, goes to all members and into every log. A problem is always taken at
// once.
const (
	flipBudget = 10
	flipRefill = 6 * time.Second
)

// flips counts recoveries. The zero value has counted none.
type flips struct {
	used int
	at   int64 // when used last became less, or began
}

// after returns f as it is at now.
func (f flips) after(now int64) flips {
	for f.used > 0 && now-f.at >= int64(flipRefill) {
		f.used--
		f.at += int64(flipRefill)
	}
	if f.used == 0 {
		f.at = now
	}
	return f
}

// wait returns how long the next recovery has to wait, 0 if it may be at once.
func (f flips) wait(now int64) time.Duration {
	if f = f.after(now); f.used < flipBudget {
		return 0
	}
	return time.Duration(f.at + int64(flipRefill) - now)
}

// recover returns f with one more recovery.
func (f flips) recover(now int64) flips {
	f = f.after(now)
	f.used++
	return f
}

// change carries out requests of all kinds, all or none: they are checked in their order, then what persists is written, then the
// machine is told, in one Step.
func (b *backend) change(ctx context.Context, all []control.DeviceRequest) error {
	b.n.desk.changing.Lock()
	defer b.n.desk.changing.Unlock()
	events := make([]members.Event, len(all))
	for i, r := range all {
		ev, err := deviceEvent(r)
		if err != nil {
			return err
		}
		events[i] = ev
	}
	if _, err := ask(ctx, b.n, func(now int64) (struct{}, error) { return struct{}{}, b.n.checkDevices(now, all) }); err != nil {
		return err
	}
	if err := b.n.store.keepDevices(all); err != nil {
		return err
	}
	// What is on disk now is done: the client's patience no longer counts.
	_, err := ask(context.WithoutCancel(ctx), b.n, func(now int64) (struct{}, error) {
		for _, r := range all {
			d, _ := b.n.machine.Device(r.Name)
			b.n.recovers(now, d, r)
		}
		b.n.step(events...)
		for _, r := range all {
			if r.Action == "unregister" {
				b.n.metrics.RemoveDevice(r.Name)
				delete(b.n.desk.flips, r.Name)
			}
		}
		return struct{}{}, nil
	})
	return err
}

// checkDevices refuses the first request that could not be carried out after those before it.
func (n *node) checkDevices(now int64, all []control.DeviceRequest) error {
	here := map[string]bool{} // what the requests before this one made of the devices
	count := n.machine.DeviceCount() - n.builtinDevices()
	for _, r := range all {
		d, known := n.machine.Device(r.Name)
		if is, touched := here[r.Name]; touched {
			known = is
		}
		d.Name = r.Name
		switch {
		case n.taken(d) != nil:
			return n.taken(d)
		case r.Action == "register":
			if !known {
				count++
			}
			here[r.Name] = true
			if count > control.MaxDevices {
				return control.Refused(fmt.Sprintf("%d devices are registered", control.MaxDevices), "unregister some: holdfast devices; nothing was changed")
			}
		case !known:
			return control.NotFound("there is no device "+r.Name, "register it first: holdfast devices register "+r.Name+"; nothing was changed")
		case r.Action == "unregister":
			count--
			here[r.Name] = false
		case !here[r.Name]:
			if _, err := n.reportable(now, r); err != nil {
				return err
			}
		}
	}
	return nil
}

func (n *node) builtinDevices() int {
	if n.desk.builtin == 0 {
		for _, d := range n.machine.View(n.stepped).Devices {
			if d.Builtin {
				n.desk.builtin++
			}
		}
	}
	return n.desk.builtin
}

// Devices implements control.Backend.
func (b *backend) Devices(ctx context.Context) (control.Devices, error) {
	kept := map[string]bool{}
	for _, r := range b.n.store.kept() { // may wait for the disk: not on the loop
		kept[r.Name] = true
	}
	return ask(ctx, b.n, func(now int64) (control.Devices, error) {
		list := control.Devices{Member: b.n.local.Self.Name}
		for _, d := range b.n.machine.View(now).Devices {
			list.Devices = append(list.Devices, control.Device{
				Name: d.Name, Status: d.Status.String(), Reason: d.Reason, BuiltIn: d.Builtin, TimeoutSec: d.Timeout.Seconds(),
				Since: b.n.trace.at(d.Changed), Reported: b.n.trace.at(d.Reported), Persistent: kept[d.Name],
				Weight: b.n.weight(d.Name), Meaning: d.Meaning, Monitors: monitors(d),
			})
		}
		return list, nil
	})
}

// monitors lists the reporters of a device that have a name: programs have none here.
func monitors(d device.Device) []string {
	var names []string
	for _, r := range d.Reports {
		if r.Reporter != "" {
			names = append(names, r.Reporter)
		}
	}
	return names
}

// taken refuses a device that is not the programs' to change.
func (n *node) taken(d device.Device) error {
	if d.Builtin {
		return control.Refused(d.Name+" is a built-in device: the member itself watches it", "choose a name of your own; nothing was changed")
	}
	if by := n.fedBy(d.Name); len(by) > 0 {
		return control.Refused(d.Name+" is the device of monitor "+strings.Join(by, ", "), "choose another name, or change monitors in cluster.yaml; nothing was changed")
	}
	return nil
}

// weight is how much a problem of the device counts when every member has some.
func (n *node) weight(name string) int {
	if name == device.ProblemNotification || name == device.InitDevice {
		return 0
	}
	if w, set := n.cfg.Devices.Weights[name]; set {
		return w
	}
	return 1
}
