// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"

	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/monitor"
	"github.com/holdfast-project/holdfast/internal/monitor/verdict"
	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/members/device"
)

// monitoring is what the loop knows of the monitors. Each is a reporter of its critical device.
type monitoring struct {
	*monitor.Set
	// devices are those that the machine has been told of, by monitor; shown are the types of those whose metrics are there.
	devices map[string]string
	shown   map[string]string
}

// newMonitoring makes the monitors, which run once their task does.
func (n *node) newMonitoring() {
	n.warnHidden()
	n.monitors = monitoring{Set: monitor.New(n.specs(), n.log), devices: map[string]string{}, shown: map[string]string{}}
}

// followMonitors brings the machine's devices in line with the configured monitors. While this member serves, the device of a new
// monitor is registered with its first verdict only: that a daemon has started anew, or a monitor was added, is no reason to move.
func (n *node) followMonitors(specs []monitor.Spec) {
	want := map[string]string{}
	for _, s := range specs {
		want[s.Name] = s.Device
	}
	var events []members.Event
	for name, dev := range n.monitors.devices {
		if want[name] != dev {
			events = append(events, members.Device{Op: members.DeviceUnregister, Name: dev, Reporter: name})
			delete(n.monitors.devices, name)
		}
	}
	for _, s := range specs {
		if n.monitors.devices[s.Name] == "" && !n.serve.open {
			n.monitors.devices[s.Name] = s.Device
			events = append(append(events, n.withdrawProgram(s.Device)...), members.Device{Op: members.DeviceRegister, Name: s.Device, Reporter: s.Name, Status: device.Init, Reason: "not checked yet"})
		}
	}
	if len(events) == 0 {
		return
	}
	n.step(events...)
	for _, e := range events {
		if d, is := e.(members.Device); is && d.Op == members.DeviceUnregister {
			if _, there := n.machine.Device(d.Name); !there {
				n.metrics.RemoveDevice(d.Name)
			}
		}
	}
}

// withdrawProgram withdraws what a program said of a device that is a monitor's from now on: its reports are refused, so that it would
// be late for good. It comes to that only if the program registered amid a reload; see clash.
func (n *node) withdrawProgram(dev string) []members.Event {
	if d, known := n.machine.Device(dev); !known || !ofProgram(d) {
		return nil
	}
	n.log.Warn("a monitor takes over the device that a program has registered", "device", dev)
	return []members.Event{members.Device{Op: members.DeviceUnregister, Name: dev}}
}

// ofProgram reports whether a program has registered a device.
func ofProgram(d device.Device) bool {
	return !d.Builtin && slices.ContainsFunc(d.Reports, func(r device.Report) bool { return r.Reporter == "" })
}

// clash refuses monitors whose device a program has registered.
func clash(cfg *config.Cluster, member string, get func(name string) (device.Device, bool)) error {
	for i := range cfg.Monitors {
		m := &cfg.Monitors[i]
		if d, known := get(m.Device); known && m.On(member) && ofProgram(d) {
			return control.Refused(fmt.Sprintf("monitor %s: a program has registered the device %s on this member", m.Name, m.Device),
				"unregister it first: holdfast devices unregister "+m.Device+" --persist, or give the monitor another device; nothing was changed")
		}
	}
	return nil
}

// fedBy lists the monitors of this member that feed a device, whether or not they have reported yet.
func (n *node) fedBy(dev string) (names []string) {
	for i := range n.cfg.Monitors {
		if m := &n.cfg.Monitors[i]; m.Device == dev && m.On(n.local.Self.Name) {
			names = append(names, m.Name)
		}
	}
	return names
}

// dropTaken forgets the registrations on disk of devices that are monitors' by now.
func (n *node) dropTaken() error {
	var drop []control.DeviceRequest
	for _, r := range n.store.kept() {
		if by := n.fedBy(r.Name); len(by) > 0 {
			n.log.Warn("the registration of a device is dropped: it is a monitor's now", "device", r.Name, "monitors", by)
			drop = append(drop, control.DeviceRequest{Action: "unregister", Name: r.Name, Persistent: true})
		}
	}
	return n.store.keepDevices(drop)
}

// warnHidden warns of paths that the unit's sandbox may have replaced.
func (n *node) warnHidden() {
	if os.Getenv("INVOCATION_ID") == "" {
		return // not started by systemd: there is no sandbox
	}
	for _, w := range n.cfg.Hidden(n.local.Self.Name) {
		n.log.Warn(w)
	}
}

// reloadMonitors takes the configured monitors over.
func (n *node) reloadMonitors() {
	n.warnHidden()
	specs := n.specs()
	n.followMonitors(specs)
	n.monitors.Reconfigure(specs)
}

// monitorReport tells the machine what a monitor has found.
func (n *node) monitorReport(r monitor.Report) {
	known := false
	for i := range n.cfg.Monitors {
		m := &n.cfg.Monitors[i]
		known = known || m.Name == r.Monitor && m.Device == r.Device && m.On(n.local.Self.Name)
	}
	status := deviceStatus(r.Status)
	if !known || status == device.Init && n.monitors.devices[r.Monitor] == "" {
		return // it is no more; or it is new here, and has no verdict yet
	}
	n.monitors.devices[r.Monitor] = r.Device
	n.step(append(n.withdrawProgram(r.Device), members.Device{Op: members.DeviceRegister, Name: r.Device, Reporter: r.Monitor, Status: status, Reason: r.Reason})...)
}

func deviceStatus(s verdict.Status) device.Status {
	switch s {
	case verdict.OK:
		return device.OK
	case verdict.Problem:
		return device.Problem
	default:
		return device.Init
	}
}

// publishMonitors exports how the monitors stand.
func (n *node) publishMonitors() {
	now := map[string]string{}
	states := n.monitors.States()
	for _, s := range states {
		now[s.Monitor] = s.Kind
	}
	for name, kind := range n.monitors.shown {
		if now[name] != kind {
			n.metrics.RemoveMonitor(name)
		}
	}
	n.monitors.shown = now
	for _, s := range states {
		n.metrics.SetMonitor(s.Monitor, s.Kind, s.Status.String(), s.Took)
		n.metrics.SetMonitorChecks(s.Monitor, s.Checks-s.Failed, s.Failed)
	}
}

// specs translates the monitors that run on this member.
func (n *node) specs() []monitor.Spec {
	var all []monitor.Spec
	for i := range n.cfg.Monitors {
		m := &n.cfg.Monitors[i]
		if !m.On(n.local.Self.Name) {
			continue
		}
		all = append(all, monitor.Spec{Name: m.Name, Device: m.Device, Interval: m.Interval, Timeout: m.Timeout, Rise: m.Rise, Fall: m.Fall,
			Check: n.check(m)})
	}
	return all
}

func (n *node) check(m *config.Monitor) monitor.Check {
	switch m.Type {
	case config.MonitorProcess:
		return monitor.Process{Name: m.Process, PIDFile: m.PIDFile, Min: m.Min, Max: m.Max}
	case config.MonitorSystemd:
		return monitor.Unit{Name: m.Unit}
	case config.MonitorTCP:
		return monitor.TCP{Address: m.Address, Send: m.SendText, Expect: m.Expect, From: n.source(m)}
	case config.MonitorHTTP:
		return monitor.HTTP{URL: m.URL, Host: m.Host, Status: m.Status, Body: m.Body, NoVerify: m.NoVerify, CA: m.CA,
			ServerName: m.ServerName, Redirects: m.Redirects, From: n.source(m)}
	case config.MonitorPing:
		return monitor.Ping{Targets: m.Targets, All: m.All, From: n.source(m)}
	case config.MonitorARP:
		a := monitor.ARP{Targets: m.Targets, All: m.All, Device: n.watched(m)}
		for _, own := range n.local.Self.Interfaces[m.Interface].Addresses {
			if !own.Addr().IsLinkLocalUnicast() || own.Addr().Is4() {
				a.Own = append(a.Own, own)
			}
		}
		return a
	case config.MonitorDisk:
		return monitor.Disk{Path: m.Path, MinFree: m.MinFree, MinInodes: m.MinInodes, ReadOnly: m.ReadOnly, Write: m.WriteTest}
	case config.MonitorInterface:
		return monitor.Interface{Device: n.watched(m), In: rates(m.MinReceive, m.MaxReceive), Out: rates(m.MinSend, m.MaxSend),
			MaxErrors: m.MaxErrors, MaxDrops: m.MaxDrops}
	case config.MonitorRoute:
		table, _ := strconv.Atoi(m.Table) // the configuration has checked both
		protocol, known := monitor.Protocols[m.Protocol]
		if !known && m.Protocol != "" {
			protocol, _ = strconv.Atoi(m.Protocol)
		}
		return monitor.Route{Prefix: m.Prefix, Table: table, Via: m.Via, Device: n.watched(m), Protocol: protocol, Min: m.Min}
	case config.MonitorFile:
		return monitor.File{Path: m.Path, Absent: m.Absent, MaxAge: m.MaxAge, Match: m.Match}
	case config.MonitorNFT:
		return monitor.Table{Family: m.Family, Name: m.Table}
	default: // the configuration knows no other types
		return monitor.Script{Command: n.command(m.Command, m.User, "HOLDFAST_MONITOR="+m.Name)}
	}
}

// command is a line for /bin/sh that knows whose it is.
func (n *node) command(line, user string, env ...string) monitor.Command {
	return monitor.Command{Line: line, User: user,
		Env: append([]string{"HOLDFAST_CLUSTER=" + n.cfg.Name, "HOLDFAST_MEMBER=" + n.local.Self.Name}, env...)}
}

// watched is the device of the kernel that a monitor watches; "" for none.
func (n *node) watched(m *config.Monitor) string {
	if m.Interface == "" {
		return m.NetDev
	}
	return n.local.Self.Interfaces[m.Interface].Device
}

// source says from where a monitor asks: never from an address of the cluster.
func (n *node) source(m *config.Monitor) monitor.Source {
	var s monitor.Source
	for _, i := range n.cfg.Interfaces {
		for _, v := range i.VIPs {
			s.Never = append(s.Never, v.Addr)
		}
		if i.LinkLocal.IsValid() {
			s.Never = append(s.Never, i.LinkLocal)
		}
	}
	own := []netip.Addr{m.Source}
	if m.Interface != "" {
		i := n.local.Self.Interfaces[m.Interface]
		s.Device = i.Device
		for _, a := range i.Addresses {
			own = append(own, a.Addr())
		}
	}
	for _, a := range own {
		link := a.Is6() && a.IsLinkLocalUnicast()
		setFirst(&s.IPv4, a, a.Is4())
		setFirst(&s.IPv6, a, a.Is6() && !link)
	}
	return s
}

// rates are two bounds of one direction.
func rates(low, high config.Rate) monitor.Rates {
	var r monitor.Rates
	if low.Packets {
		r.MinPackets = low.PerSecond
	} else {
		r.MinBits = low.PerSecond
	}
	if high.Packets {
		r.MaxPackets = high.PerSecond
	} else {
		r.MaxBits = high.PerSecond
	}
	return r
}
