// SPDX-License-Identifier: Apache-2.0

package members

import (
	"fmt"
	"time"

	"github.com/holdfast-project/holdfast/members/device"
)

// heldBack says why this member, which has no problem, may not serve yet, or nothing: READY.
func (m *Machine) heldBack() string {
	if m.devices.Changes != m.initSeen {
		m.initSeen, m.initText, m.initDelay = m.devices.Changes, m.notKnownYet(), m.onlyDelayed()
	}
	why := m.ahead(m.self) // which lasts longer than a device is in init
	for _, more := range [...]string{m.policy.other, m.initText} {
		switch {
		case more == "":
		case why == "":
			why = more
		default:
			why += "; " + more
		}
	}
	return why
}

// notKnownYet names the devices of which it is not known yet whether they are well.
func (m *Machine) notKnownYet() string {
	var r reasons
	for i := range m.devices.Len() {
		if d := m.devices.At(i); d.Status == device.Init && d.Name != device.InitDevice {
			r.add(d.Name, d.Reason)
		}
	}
	return r.String()
}

// onlyDelayed reports whether every device in init is the recovery delay.
func (m *Machine) onlyDelayed() bool {
	for i := range m.devices.Len() {
		if d := m.devices.At(i); d.Status == device.Init && d.Name != device.InitDevice && d.Name != device.RecoveryDelay {
			return false
		}
	}
	return true
}

// onlyWaits reports whether this member, which is held back, is so by the recovery delay alone: it is well, and a fault elsewhere is
// worse than what the delay guards against.
func (m *Machine) onlyWaits() bool {
	return m.initText != "" && m.initDelay && m.policy.other == "" && m.ahead(m.self) == ""
}

// peerOnlyWaits reports the same of a peer that is READY.
func (m *Machine) peerOnlyWaits(p *peer) bool {
	waits := false
	for i := range p.hello.Devices {
		switch d := &p.hello.Devices[i]; {
		case d.Status != device.Init || d.Name == device.InitDevice:
		case d.Name == device.RecoveryDelay:
			waits = true
		default:
			return false
		}
	}
	return waits && m.otherPolicy(p) == "" && m.ahead(p.id) == ""
}

// says reports whether the peer tells this status of the device.
func (p *peer) says(name string, s device.Status) bool {
	for i := range p.hello.Devices {
		if d := &p.hello.Devices[i]; d.Name == name {
			return d.Status == s
		}
	}
	return false
}

// peerHeldBack says why a peer is READY.
func (m *Machine) peerHeldBack(p *peer) string {
	var r reasons
	for i := range p.hello.Devices {
		if d := &p.hello.Devices[i]; d.Status == device.Init && d.Name != device.InitDevice {
			r.add(d.Name, d.Reason)
		}
	}
	if len(r.list) > 0 {
		return r.String()
	}
	if why := m.ahead(p.id); why != "" {
		return why
	}
	if why := m.otherPolicy(p); why != "" {
		return why
	}
	return "it is held back"
}

// software is what a member runs.
type software struct {
	version      uint32
	capabilities uint64
}

func (m *Machine) software(id uint8) (s software, known bool) {
	p := m.peer(id)
	switch {
	case id == m.self:
		return software{m.cfg.Version, m.cfg.Capabilities}, true
	case p == nil || p.helloAt == 0:
		return software{}, false
	}
	return software{p.hello.Version, p.hello.Capabilities}, true
}

// ahead says in what a member is ahead of the one that serves, or nothing. If none serves, those that are fit
// count, so that the old ones go first as long as they are there, unless the one that served last was new too.
func (m *Machine) ahead(id uint8) string {
	mine, known := m.software(id)
	if !known {
		return ""
	}
	server := m.server
	if m.claim.committed && server == Nobody {
		server = m.claim.from // it has closed for this claim
	}
	if server != Nobody {
		theirs, known := m.software(server)
		if !known || server == id {
			return ""
		}
		if mine.version == theirs.version && mine.capabilities&^theirs.capabilities != 0 {
			return m.comparison.text(mine, theirs, m.name(server), "offers what %s, which serves, does not have: capabilities %#x, not %#x",
				mine.capabilities, theirs.capabilities)
		}
		return m.aheadOf(mine, theirs, m.name(server), true)
	}
	if last, known := m.software(m.lastServer); known && !mine.newer(last) && !mine.richer(last) {
		return ""
	}
	for i := range m.peers {
		p := &m.peers[i]
		if p.id == id || !m.fit(p) {
			continue
		}
		theirs, _ := m.software(p.id)
		if why := m.aheadOf(mine, theirs, p.name, false); why != "" {
			return why
		}
	}
	return ""
}

// newer and richer are a strict order together: no two members can be ahead of each other.
func (s software) newer(o software) bool { return s.version > o.version }

func (s software) richer(o software) bool {
	return s.version == o.version && s.capabilities != o.capabilities && o.capabilities&^s.capabilities == 0
}

// aheadOf says in what s is ahead of o, which the member of this name runs, or nothing.
func (m *Machine) aheadOf(s, o software, name string, serves bool) string {
	switch {
	case s.newer(o) && serves:
		return m.comparison.text(s, o, name, "is newer than %s, which serves: version %d, not %d", uint64(s.version), uint64(o.version))
	case s.newer(o):
		return m.comparison.text(s, o, name, "is newer than %s, which is fit to serve: version %d, not %d", uint64(s.version), uint64(o.version))
	case s.richer(o) && serves:
		return m.comparison.text(s, o, name, "offers more than %s, which serves: capabilities %#x, not %#x", s.capabilities, o.capabilities)
	case s.richer(o):
		return m.comparison.text(s, o, name, "offers more than %s, which is fit to serve: capabilities %#x, not %#x", s.capabilities, o.capabilities)
	}
	return ""
}

// comparison is what was said of two members' software last: a member that is held back says it in every Step.
type comparison struct {
	mine, theirs        software
	name, format, words string
}

func (c *comparison) text(mine, theirs software, name, format string, a, b uint64) string {
	if c.words == "" || c.mine != mine || c.theirs != theirs || c.name != name || c.format != format {
		*c = comparison{mine, theirs, name, format, fmt.Sprintf(format, name, a, b)}
	}
	return c.words
}

// recovery is the wait of a member that has started or recovered.
type recovery struct {
	troubled bool  // it was not well since it waited last
	until    int64 // 0 if it does not wait
}

// judgeRecovery keeps the device recovery-delay in init for a time after the start and after the last problem
// has ended. A member that serves waits for nothing.
func (m *Machine) judgeRecovery() {
	r, delay := &m.recovery, int64(m.cfg.Timers.RecoveryDelay)
	switch {
	case m.term != 0 || delay == 0:
		*r = recovery{}
	case !m.initDone || m.weight() > 0:
		*r = recovery{troubled: true}
	case r.troubled:
		*r = recovery{until: m.now + delay}
	}
	if r.until == 0 || m.now >= r.until {
		r.until = 0
		m.report(device.RecoveryDelay, device.OK, "")
		return
	}
	m.wakeAt(r.until)
	m.report(device.RecoveryDelay, device.Init, fmt.Sprintf("well for less than %v", time.Duration(delay)))
}
