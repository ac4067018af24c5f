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
	broken   string // what the host says is wrong with it, in words
	since    int64  // of carrier or its loss
	received bool   // some frame came in since start
	heardAt  int64  // when the last probe left that a peer answered here

	neighbourAt  int64 // when the last question left that a neighbour answered in a way that counts
	echoAt       int64 // when the last echo request left that a neighbour answered
	byARP        bool  // an ARP answer alone counts: echo requests are not answered here
	resolvedAt   int64 // when the last question left that only an ARP answer came to, where that does not count
	askedAt      int64
	unansweredAt int64 // when the first question left that no answer has come to yet, 0 if there is none
	questionAt   int64 // since when living peers are silent here, 0 if none is

	problem, undecided string
	proven             bool  // the problem is on this side, not only settling
	clears             int64 // when a settling problem ends, 0 if it does not settle
	said               verdict
	words              string // of said
}

// down reports whether the interface is known to have no carrier.
func (f *iface) down() bool { return f.known && !f.carrier }

// asks reports whether neighbours are asked on the interface.
func (f *iface) asks() bool { return f.Cluster || f.Targets }

// link takes a change of the interface in.
func (m *Machine) link(e Link) {
	i := m.ifaceIndex(e.Iface)
	if i < 0 {
		return
	}
	f := &m.ifaces[i]
	f.received = f.received || e.Received
	broken := ""
	switch {
	case e.Fault != "":
		broken = f.Name + ": " + e.Fault
	case !e.Up:
		broken = f.Name + " has no carrier"
	}
	if f.broken != broken {
		f.broken, m.helloSoon = broken, true
	}
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
		m.do(Record{Code: CodeLinkDown, From: m.state, To: m.state, Reason: broken, Peer: Nobody, Iface: f.Name})
	}
}

// reconfigureInterfaces takes over whether neighbours are configured, and the groups.
func (m *Machine) reconfigureInterfaces(cfg Config) {
	for _, c := range cfg.Interfaces {
		if i := m.ifaceIndex(c.Slot); i >= 0 {
			m.ifaces[i].Targets = c.Targets
		}
	}
	m.formGroups()
}

// judgeInterfaces decides for each interface whether it has failed on this member's side.
func (m *Machine) judgeInterfaces() {
	m.judgeIsolation()
	for i := range m.ifaces {
		f := &m.ifaces[i]
		problem, undecided := m.fault(i)
		f.proven = problem != ""
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
		if (problem == "") != (f.problem == "") || (undecided == "") != (f.undecided == "") {
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
	if f.broken != "" {
		f.questionAt = 0
		return f.broken, ""
	}
	if m.isolated && f.Cluster {
		return "nothing answers on any cluster interface: no member and no neighbour", ""
	}
	var v verdict
	if f.Private {
		v = m.judgeTargets(f)
	} else {
		v = m.judgeSilence(i)
	}
	if v != f.said {
		f.said, f.words = v, m.verdictText(f, v)
	}
	switch v.fault {
	case faultHere:
		return f.words, ""
	case faultUndecided:
		return "", f.words
	}
	return "", ""
}

// judgeSilence decides whose fault it is that living peers are silent on interface i.
func (m *Machine) judgeSilence(i int) verdict {
	f := &m.ifaces[i]
	silent := m.silentHere(i)
	if silent == nil {
		f.questionAt = 0
		return verdict{}
	}
	if f.questionAt == 0 {
		f.questionAt = m.now
	}
	if f.neighbourAt >= f.questionAt { // a third station hears us: the other side
		if f.unansweredAt == 0 || m.now < f.unansweredAt+m.t.settle {
			return verdict{}
		}
		f.questionAt = f.unansweredAt // not any more
	}
	// Carrier is not waited for; what is silent in spite of it may only be late, on a busy machine longer than two short dead intervals.
	decide, give := f.questionAt+max(2*m.t.dead, m.t.hello), f.questionAt+max(2*m.t.dead, 5*m.t.hello)
	if m.now < give {
		m.ask(f, m.t.probe)
		m.wakeAt(give)
	} else {
		m.ask(f, m.t.hello)
	}
	if m.now < decide {
		m.wakeAt(decide)
		return verdict{}
	}
	v := verdict{peer: silent.id, resolved: f.resolvedAt >= f.questionAt}
	v.in, v.out = m.ways(i)
	switch {
	case m.neighbourKnown(f, f.questionAt):
		v.fault = faultHere
	case m.othersMeet(i) != nil:
		v.fault, v.meet = faultHere, true
	case m.now >= give:
		v.fault = faultUndecided
	default:
		return verdict{}
	}
	return v
}

// judgeTargets decides by the configured neighbours of a private interface, which need not be where the other members are.
func (m *Machine) judgeTargets(f *iface) verdict {
	if !f.Targets || !m.initDone {
		return verdict{}
	}
	v := verdict{targets: true, resolved: f.unansweredAt != 0 && f.resolvedAt >= f.unansweredAt}
	switch {
	case f.unansweredAt == 0:
		return verdict{}
	case m.now < f.unansweredAt+m.t.settle:
		m.wakeAt(f.unansweredAt + m.t.settle)
		if f.said.targets {
			return f.said // it was so before, too
		}
		return verdict{}
	case f.neighbourAt == 0:
		v.fault = faultUndecided // they may never have been there
	default:
		v.fault = faultHere
	}
	return v
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
	v := p.tells(slot)
	return v != nil && !v.Carrier && p.helloAt != 0
}

// tells returns what the peer's last HELLO says of an interface, nil if nothing.
func (p *peer) tells(slot uint8) *InterfaceView {
	for i := range p.hello.Interfaces {
		if v := &p.hello.Interfaces[i]; v.Slot == slot {
			return v
		}
	}
	return nil
}
