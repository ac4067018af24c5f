// SPDX-License-Identifier: Apache-2.0

package members

import (
	"fmt"

	"github.com/holdfast-project/holdfast/members/device"
)

// deviceEvent takes a report from outside in.
func (m *Machine) deviceEvent(e Device) {
	if d, ok := m.devices.Get(e.Name); ok && d.Builtin && !device.Fed(e.Name) {
		return // the machine's own
	}
	switch {
	case e.Op == DeviceRegister:
		_ = m.devices.RegisterBy(m.now, e.Name, e.Reporter, e.Timeout, e.Status, e.Reason) // a built-in name without a reporter changes nothing
	case e.Op == DeviceUnregister && e.Reporter != "":
		_ = m.devices.UnregisterBy(m.now, e.Name, e.Reporter)
	case e.Op == DeviceUnregister:
		_ = m.devices.Unregister(e.Name)
	case e.Op == DeviceReport:
		_ = m.devices.ReportBy(m.now, e.Name, e.Reporter, e.Status, e.Reason)
	}
}

// report sets a device of the machine's own.
func (m *Machine) report(name string, s device.Status, reason string) {
	if !m.devices.Says(name, s, reason) {
		_ = m.devices.Report(m.now, name, s, reason)
	}
}

// ok reports a device of the machine's own as well, or as in problem for the reason.
func (m *Machine) well(name, reason string) {
	if reason == "" {
		m.report(name, device.OK, "")
		return
	}
	m.report(name, device.Problem, reason)
}

// judgeDevices brings the devices that the machine watches itself up to date, lets silent reporters time
// out, and records what changed.
func (m *Machine) judgeDevices() {
	m.well(device.InterfaceActiveCheck, m.interfaceProblem())
	m.well(device.Config, m.configProblem())
	m.well(device.Version, m.versionProblem())
	m.judgePulse()
	m.wakeAt(m.devices.Expire(m.now))
	n, first := m.devices.Problems()
	if n == 0 {
		m.well(device.ProblemNotification, "")
	} else {
		m.well(device.ProblemNotification, first.Name)
	}
	if m.devices.Changes == m.deviceSeen {
		return
	}
	m.deviceSeen, m.helloSoon = m.devices.Changes, true
	for i := range m.devices.Len() {
		m.recordDevice(m.devices.At(i))
	}
}

// judgePulse reports a pulse that is silent as a problem of the daemon, and takes that back.
func (m *Machine) judgePulse() {
	silent := m.pulseSilent(m.t.helloLost)
	if silent == m.pulseLost {
		return
	}
	m.pulseLost = silent
	if silent {
		m.report(device.Daemon, device.Problem, "its pulse is silent")
		return
	}
	m.report(device.Daemon, device.OK, "")
}

// pulseSilent reports whether the pulse, which says how it is each HELLO interval, has not for that long.
// What it found before must not be acted on.
func (m *Machine) pulseSilent(limit int64) bool {
	if m.pulseAt == 0 {
		return false
	}
	if m.now-m.pulseAt > limit {
		return true
	}
	m.wakeAt(m.pulseAt + limit + 1)
	return false
}

// recordDevice records a device that changed in this Step: its problem, and the end of a problem.
func (m *Machine) recordDevice(d *device.Device) {
	if d.Changed != m.now || d.Name == device.ProblemNotification || d.Status == device.Init {
		return
	}
	r := Record{From: m.state, To: m.state, Device: d.Name, Peer: Nobody}
	switch {
	case d.Status == device.Problem:
		m.inProblem[d.Name] = true
		r.Code, r.Reason, r.Iface = CodeDeviceProblem, deviceText(d.Name, d.Reason), m.faultyIface(d.Name)
	case m.inProblem[d.Name]:
		delete(m.inProblem, d.Name)
		r.Code, r.Reason = CodeDeviceOK, d.Name+" is well again"
	default:
		return
	}
	m.do(r)
}

// configProblem compares this member's configuration with that of the one that serves, or of the first
// member heard: that one is the reference, so that a wrong newcomer takes itself out and nobody else.
func (m *Machine) configProblem() string {
	if m.term != 0 {
		return ""
	}
	for i := range m.peers {
		p := &m.peers[i]
		if !p.alive || p.helloAt == 0 || m.server != Nobody && m.server != p.id || m.server == Nobody && p.id > m.self {
			continue
		}
		if p.hello.Mode != m.cfg.Mode {
			return fmt.Sprintf("the mode here is %q, at %s %q", m.cfg.Mode, p.name, p.hello.Mode)
		}
		if p.hello.Digest != m.cfg.Digest {
			return "the configuration here is another one than at " + p.name
		}
		return ""
	}
	return ""
}

// versionProblem names a member whose protocol version this build does not know how to work with.
func (m *Machine) versionProblem() string {
	if m.term != 0 {
		return ""
	}
	for i := range m.peers {
		p := &m.peers[i]
		if p.alive && p.helloAt != 0 && p.hello.Version < m.cfg.MinVersion {
			return fmt.Sprintf("%s speaks version %d, this build needs %d at least", p.name, p.hello.Version, m.cfg.MinVersion)
		}
	}
	return ""
}
