// SPDX-License-Identifier: Apache-2.0

package members

import "fmt"

// peer is another member as this one sees it.
type peer struct {
	id    uint8
	name  string
	state State
	since int64 // of state
	ifs   []peerIface

	known     bool  // ever heard
	alive     bool  // its gate answers on some interface
	suspect   bool  // no interface on which it answers without misses
	dead      bool  // silent on every interface
	suspectAt int64 // since when it is suspect, 0 if it is not
	deadAt    int64 // since when it is dead
	answered  int64 // when the last answered probe was sent

	oneWay bool // silent, and its HELLOs say that it serves

	reply   Heard // its gate's last answer
	replyAt int64 // when that answer's probe was sent

	closedAt  int64 // when a growing count of closed frames was answered with announcements
	closedGap int64 // the next pause between them

	hello     Hello
	helloAt   int64 // when its last HELLO came, 0 never
	startedAt int64 // when the first HELLO of this life of its daemon came
	frozen    int64 // until when it freezes voluntary moves

	weight   int    // of the problems that it told of
	weightAt int64  // when that changed
	problems string // those problems in words
}

// peerIface is a peer on one interface.
type peerIface struct {
	status  pathStatus
	since   int64 // of status
	heardAt int64 // when the last answered probe was sent
	inAt    int64 // when a frame of its daemon came in last
	faultAt int64 // when it told that its interface is in problem, or has lost its carrier as well
}

type pathStatus uint8

const (
	pathUnknown pathStatus = iota // neither an answer nor silence yet
	pathHeard
	pathMissed
	pathSilent
)

// peer returns the peer of this number, nil for the member itself and for numbers not in use.
func (m *Machine) peer(id uint8) *peer {
	i := int(id)
	if id == m.self {
		return nil
	}
	if id > m.self {
		i--
	}
	if i >= len(m.peers) {
		return nil
	}
	return &m.peers[i]
}

// name returns a member's name for use in reasons.
func (m *Machine) name(id uint8) string {
	if int(id) < len(m.cfg.Names) {
		return m.cfg.Names[id]
	}
	return "nobody"
}

// ifaceIndex returns the index of the interface with this slot, -1 if it is not monitored.
func (m *Machine) ifaceIndex(slot uint8) int {
	for i := range m.ifaces {
		if m.ifaces[i].Slot == slot {
			return i
		}
	}
	return -1
}

// heard takes an answer of a peer's gate in.
func (m *Machine) heard(e *Heard) {
	p, i := m.peer(e.Peer), m.ifaceIndex(e.Iface)
	if p == nil || i < 0 || e.Group != 0 {
		return
	}
	at := e.At
	if at == 0 {
		at = m.now
	}
	sent := at - int64(e.RTT)
	f := &p.ifs[i]
	f.heardAt = max(f.heardAt, sent)
	if f.status != pathHeard {
		f.status, f.since = pathHeard, m.now
		m.helloSoon = m.helloSoon || p.dead || !p.known
	}
	m.ifaces[i].heardAt = max(m.ifaces[i].heardAt, sent)
	m.ifaces[i].received = true
	if e.FenceTerm > m.maxTerm && e.Grantee != m.self && e.Grantee != Nobody && m.initDone {
		m.deferUntil = max(m.deferUntil, m.now+2*m.t.dead) // somebody's claim is under way
	}
	m.sawTerm(max(e.Term, e.FenceTerm))
	if sent < p.replyAt && p.reply.Incarnation == e.Incarnation {
		return // an older answer that came by another interface
	}
	m.closedGrew(p, e)
	if p.reply.Serving && !e.Serving && p.reply.Incarnation == e.Incarnation { // unchanged answers are told rarely, this one at once
		m.servedAt = max(m.servedAt, sent-m.t.probe)
	}
	p.reply, p.replyAt, p.answered, p.known = *e, sent, max(p.answered, sent), true
	if e.Serving {
		m.servedAt = max(m.servedAt, at)
	}
}

// missed and silent take the prober's verdicts in.
func (m *Machine) missed(e Missed) {
	p, i := m.peer(e.Peer), m.ifaceIndex(e.Iface)
	if p == nil || i < 0 || p.ifs[i].status != pathHeard { // silent already, or never there
		return
	}
	p.ifs[i].status, p.ifs[i].since = pathMissed, m.now
}

func (m *Machine) silent(e Silent) {
	p, i := m.peer(e.Peer), m.ifaceIndex(e.Iface)
	if p == nil || i < 0 {
		return
	}
	f := &p.ifs[i]
	f.status, f.since = pathSilent, m.now
	f.heardAt = max(f.heardAt, e.Since)
	p.answered = max(p.answered, e.Since)
}

// judgePeers derives what each peer is from what was heard of it.
func (m *Machine) judgePeers() {
	for i := range m.peers {
		p := &m.peers[i]
		m.judgePath(p)
		if told := m.oneWay(p); told != p.oneWay {
			p.oneWay, m.helloSoon = told, true
		}
		if p.oneWay {
			m.servedAt = max(m.servedAt, p.helloAt)
		}
		state := m.peerState(p)
		if state == p.state {
			continue
		}
		was := p.state
		p.state, p.since = state, m.now
		m.helloSoon = true
		code := CodePeerState
		switch {
		case state == StateLost:
			code = CodePeerLost
		case was == StateLost:
			code = CodePeerHeard
		}
		m.do(Record{Code: code, From: was, To: state, Reason: p.name + ": " + m.peerReason(p), Peer: p.id})
	}
}

// judgePath says whether the peer is alive, suspect or dead. An interface without carrier hears nobody.
func (m *Machine) judgePath(p *peer) {
	heard, missed, pending := false, false, false
	for i := range p.ifs {
		if m.ifaces[i].down() {
			continue
		}
		switch p.ifs[i].status {
		case pathHeard:
			heard = true
		case pathMissed:
			missed = true
		case pathUnknown:
			pending = true
		}
	}
	p.alive = heard || missed
	p.suspect = !heard && p.known
	if !p.suspect {
		p.suspectAt = 0
	} else if p.suspectAt == 0 {
		p.suspectAt = m.now
	}
	dead := !heard && !missed && !pending
	if dead && !p.dead {
		p.deadAt = m.now
	}
	p.dead = dead
}

// peerState says what a peer is in the words of states; peerReason says why.
func (m *Machine) peerState(p *peer) State {
	fresh := m.helloFresh(p)
	switch {
	case p.dead || !p.alive && !p.known:
		return StateLost
	case p.reply.Serving && fresh && (p.hello.State == StateActiveAttention || p.hello.State == StateDown):
		return StateActiveAttention
	case p.reply.Serving:
		return StateActive
	case p.helloAt == 0:
		return StateInit
	case !fresh:
		return StateDown
	case p.hello.State.Serves():
		return StateStandby
	}
	return p.hello.State
}

func (m *Machine) peerReason(p *peer) string {
	switch {
	case !p.known:
		return "not heard yet"
	case p.state == StateLost:
		return "silent on all interfaces"
	case p.state == StateActiveAttention:
		return "serves with a problem: " + p.problems
	case p.state == StateActive:
		return "its gate serves, and it has no problem"
	case p.helloAt == 0:
		return "its gate answers, its daemon was not heard yet"
	case m.now >= p.helloAt+m.t.helloLost:
		return "its gate answers, its daemon is silent"
	case p.state == StateDown:
		return p.problems
	case p.hello.State.Serves():
		return "its gate is closed"
	case p.state == StateStandby:
		return "fit to serve"
	case p.state == StateReady:
		return m.peerHeldBack(p)
	}
	return "it has started and listens"
}

// helloFresh reports whether the peer's daemon is heard.
func (m *Machine) helloFresh(p *peer) bool {
	if p.helloAt == 0 {
		return false
	}
	due := p.helloAt + m.t.helloLost
	if m.now >= due {
		return false
	}
	m.wakeAt(due)
	return true
}

// helloReceived takes a HELLO in.
func (m *Machine) helloReceived(e *HelloReceived) {
	p := m.peer(e.From)
	if p == nil {
		return
	}
	m.ccpIn(e.From, e.Iface)
	if p.helloAt == 0 || p.hello.Incarnation != e.Hello.Incarnation {
		m.helloSoon = true // a daemon that has just started should not wait for ours
		p.startedAt = m.now
	}
	m.markFaults(p, e.Hello.Interfaces)
	p.hello, p.helloAt = e.Hello, m.now
	m.weigh(p)
	if e.Hello.Term > m.maxTerm && m.initDone {
		m.deferUntil = max(m.deferUntil, m.now+2*m.t.dead) // it has opened, while its gate and the one before were not asked since
	}
	m.sawTerm(e.Hello.Term)
	m.learnForce(&e.Hello)
	m.learnFlush(e.Hello.FlushAsk)
	p.frozen = 0
	if e.Hello.Frozen > 0 {
		p.frozen = m.now + int64(min(e.Hello.Frozen, MaxFreeze))
	}
}

// closedGrew announces again when frames for the VIPs still meet the closed gate of a peer while this
// member serves: at once, then at pauses that double up to a minute as long as it goes on.
func (m *Machine) closedGrew(p *peer, e *Heard) {
	if e.Closed == p.reply.Closed || p.reply.Incarnation != e.Incarnation || e.Serving || m.term == 0 {
		return
	}
	const first, last = 1e9, 60e9
	switch {
	case m.now-p.closedAt > 2*last || m.opened > p.closedAt:
		p.closedGap = first
	case m.now-p.closedAt < p.closedGap:
		return
	default:
		p.closedGap = min(2*p.closedGap, last)
	}
	p.closedAt = m.now
	m.do(Announce{Reason: fmt.Sprintf("frames for the cluster still reach %s", p.name)})
}

// fit reports whether the peer could serve as well as any: its daemon is heard and says so.
func (m *Machine) fit(p *peer) bool {
	return p.alive && m.helloFresh(p) && (p.hello.State == StateStandby || p.hello.State == StateActive)
}

// markFaults notes for each interface when the peer first told that it is in problem, and when its carrier went as well.
func (m *Machine) markFaults(p *peer, now []InterfaceView) {
	for k := range now {
		f, i := &now[k], m.ifaceIndex(now[k].Slot)
		if i < 0 || !f.Problem {
			continue
		}
		if was := p.tells(f.Slot); was == nil || !was.Problem || was.Carrier && !f.Carrier {
			p.ifs[i].faultAt = m.now
		}
	}
}
