// SPDX-License-Identifier: Apache-2.0

package members

import (
	"fmt"
	"time"
)

// iface is a monitored interface of this member.
type iface struct {
	Interface
	known    bool // a Link event came
	carrier  bool
	since    int64 // of carrier or its loss
	received bool  // some frame came in since start
	heardAt  int64 // when the last probe left that a peer answered here

	neighbourAt int64 // when the last question left that a neighbour answered
	askedAt     int64
	questionAt  int64 // since when living peers are silent here, 0 if none is

	problem, undecided string
	clears             int64 // when a settling problem ends, 0 if it does not settle
}

// down reports whether the interface is known to have no carrier.
func (f *iface) down() bool { return f.known && !f.carrier }

// link takes a carrier change in.
func (m *Machine) link(e Link) {
	i := m.ifaceIndex(e.Iface)
	if i < 0 {
		return
	}
	f := &m.ifaces[i]
	f.received = f.received || e.Received
	if f.known && f.carrier == e.Up {
		return
	}
	first := !f.known
	f.known, f.carrier, f.since, m.helloSoon = true, e.Up, m.now, true
	switch {
	case e.Up && !first:
		m.do(Record{Code: CodeLinkUp, From: m.state, To: m.state, Reason: f.Name + " has carrier", Peer: Nobody, Iface: f.Name})
		m.deferUntil = max(m.deferUntil, m.now+2*m.t.dead) // who is there shows within that time
	case !e.Up:
		f.received = false
		m.do(Record{Code: CodeLinkDown, From: m.state, To: m.state, Reason: f.Name + " has no carrier", Peer: Nobody, Iface: f.Name})
	}
}

// neighbourAnswer takes the answer of a third station in.
func (m *Machine) neighbourAnswer(e NeighbourAnswer) {
	i := m.ifaceIndex(e.Iface)
	if i < 0 || !e.Answered {
		return
	}
	asked := e.Asked
	if asked == 0 {
		asked = m.now - m.t.probe
	}
	m.ifaces[i].neighbourAt = max(m.ifaces[i].neighbourAt, asked)
	m.ifaces[i].received = true
}

// judgeInterfaces decides for each interface whether it has failed on this member's side.
func (m *Machine) judgeInterfaces() {
	m.judgeIsolation()
	for i := range m.ifaces {
		f := &m.ifaces[i]
		problem, undecided := m.fault(i)
		switch {
		case problem != "":
			f.clears = 0
		case f.problem == "" || !m.initDone || m.term != 0: // who serves in spite of it does not wait
		case f.clears == 0:
			f.clears = m.now + m.t.settle
			problem = fmt.Sprintf("%s is well again for less than %v", f.Name, time.Duration(m.t.settle))
		case m.now < f.clears:
			problem = f.problem
		}
		if problem != "" && f.clears != 0 {
			m.wakeAt(f.clears)
		}
		if (problem == "") != (f.problem == "") {
			m.helloSoon = true
		}
		if undecided != "" && f.undecided == "" {
			m.do(Record{Code: CodeUndecided, From: m.state, To: m.state, Reason: undecided, Peer: Nobody, Iface: f.Name})
		}
		f.problem, f.undecided = problem, undecided
		m.askRegularly(f)
	}
}

// fault says what is wrong with interface i on this member's side, or that it cannot be told.
func (m *Machine) fault(i int) (problem, undecided string) {
	f := &m.ifaces[i]
	if f.down() {
		f.questionAt = 0
		return f.Name + " has no carrier", ""
	}
	if m.isolated && f.Cluster {
		return "nothing answers on any cluster interface: no member and no neighbour", ""
	}
	silent := m.silentHere(i)
	if silent == nil {
		f.questionAt = 0
		return "", ""
	}
	if f.questionAt == 0 {
		f.questionAt = m.now
	}
	if f.neighbourAt >= f.questionAt {
		return "", "" // a third station hears us: the other side
	}
	m.ask(f, m.t.probe)
	verdict := f.questionAt + 2*m.t.dead
	if m.now < verdict {
		m.wakeAt(verdict)
		return "", ""
	}
	if m.neighbourKnown(f, f.questionAt) {
		return f.Name + " is silent: neither " + silent.name + " nor a neighbour is heard", ""
	}
	return "", silent.name + " is silent on " + f.Name + " and no neighbour can tell whose fault it is"
}

// silentHere returns a living peer that is silent on interface i for no known reason of its own, unless
// another peer is heard there.
func (m *Machine) silentHere(i int) *peer {
	var silent *peer
	for k := range m.peers {
		p := &m.peers[k]
		switch {
		case !p.alive:
		case p.ifs[i].status == pathHeard, p.ifs[i].status == pathMissed:
			return nil
		case p.ifs[i].status == pathSilent && !m.saysDown(p, m.ifaces[i].Slot):
			silent = p
		}
	}
	return silent
}

// saysDown reports whether the peer says that its interface has no carrier.
func (m *Machine) saysDown(p *peer, slot uint8) bool {
	for _, f := range p.hello.Interfaces {
		if f.Slot == slot {
			return !f.Carrier && p.helloAt != 0
		}
	}
	return false
}

// neighbourKnown reports whether a neighbour answered not long before the time at.
func (m *Machine) neighbourKnown(f *iface, at int64) bool {
	return f.neighbourAt != 0 && f.neighbourAt >= at-3*m.t.neighbours
}

// ask asks the neighbours of an interface, once every interval.
func (m *Machine) ask(f *iface, every int64) {
	if f.askedAt == 0 || m.now-f.askedAt >= every {
		f.askedAt = m.now
		m.do(AskNeighbours{Iface: f.Slot})
	}
	m.wakeAt(f.askedAt + every)
}

// askRegularly keeps it known which neighbours there are, so that their silence says something later.
func (m *Machine) askRegularly(f *iface) {
	if f.Cluster && !f.down() && m.initDone {
		m.ask(f, m.t.neighbours)
	}
}

// judgeIsolation decides whether the silence of all peers is this member's own fault: no cluster
// interface has carrier, or neighbours that were known are silent as well.
func (m *Machine) judgeIsolation() {
	since, all := m.allSuspect()
	was := m.isolated
	switch {
	case !m.noCarrier() && (!all || !m.initDone):
		m.isolated = false
	case m.noCarrier():
		m.isolated = true
	default:
		proven, known := m.neighbourProof(since)
		late := m.now - since
		if !proven && known {
			every := m.t.probe
			if late > 10*m.t.dead {
				every = m.t.hello
			}
			m.askAll(every)
		}
		verdict := since + 3*m.t.dead
		m.isolated = !proven && known && m.now >= verdict && m.allDead()
		if !proven && known && m.now < verdict {
			m.wakeAt(verdict)
		}
	}
	if was && !m.isolated {
		m.deferUntil = max(m.deferUntil, m.now+2*m.t.dead)
	}
	if m.isolated && m.term != 0 && m.anybodyCould() {
		m.do(Revoke{})
		m.closed(change{code: CodeIsolated, peer: Nobody, reason: "nothing answers on any cluster interface: " +
			"the fault is on this side, and another member could serve"})
	}
}

// noCarrier reports whether no cluster interface has carrier, and there are such interfaces.
func (m *Machine) noCarrier() bool {
	none := false
	for i := range m.ifaces {
		if !m.ifaces[i].Cluster {
			continue
		}
		if !m.ifaces[i].down() {
			return false
		}
		none = true
	}
	return none
}

// allSuspect reports whether no peer is heard without misses though some were, and since when.
func (m *Machine) allSuspect() (since int64, all bool) {
	for i := range m.peers {
		p := &m.peers[i]
		if !p.known {
			continue
		}
		if !p.suspect {
			return 0, false
		}
		since, all = max(since, p.suspectAt), true
	}
	return since, all
}

func (m *Machine) allDead() bool {
	for i := range m.peers {
		if !m.peers[i].dead {
			return false
		}
	}
	return true
}

// neighbourProof reports whether a neighbour answered a question asked after since on any cluster
// interface, and whether any was known just before.
func (m *Machine) neighbourProof(since int64) (proven, known bool) {
	for i := range m.ifaces {
		f := &m.ifaces[i]
		if f.Cluster && !f.down() {
			proven = proven || f.neighbourAt >= since
			known = known || m.neighbourKnown(f, since)
		}
	}
	return proven, known
}

func (m *Machine) askAll(every int64) {
	for i := range m.ifaces {
		if f := &m.ifaces[i]; f.Cluster && !f.down() {
			m.ask(f, every)
		}
	}
}

// anybodyCould reports whether some peer was able to serve when it was heard last.
func (m *Machine) anybodyCould() bool {
	for i := range m.peers {
		if p := &m.peers[i]; p.known && (p.hello.State == StateStandby || p.hello.State.Serves() || p.hello.State == StateReady) {
			return true
		}
	}
	return false
}
