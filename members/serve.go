// SPDX-License-Identifier: Apache-2.0

package members

import (
	"fmt"
	"time"
)

// change explains a change of the member's own state; judgeState records it.
type change struct {
	code   Code
	reason string
	peer   uint8
	device string
	term   uint32
	gap    time.Duration
}

// relief is the wait of a serving member with a problem for one that takes over.
type relief struct {
	until int64 // 0 if it does not wait
	over  bool  // it has waited in vain: ACTIVE(!)
}

// gateState takes the state of the own gate in. A fence above the own term means that another member was
// granted serving, or that the gate closed itself in a conflict.
func (m *Machine) gateState(e GateState) {
	if e.Group != 0 {
		return
	}
	moved := e.FenceTerm > m.gate.FenceTerm
	m.gate = e
	m.sawTerm(max(e.FenceTerm, e.LeaseTerm))
	if moved && e.Grantee != m.self {
		m.fenced(e.FenceTerm, e.Grantee)
	}
	if m.term != 0 && (e.FenceTerm > m.term || e.FenceTerm == m.term && e.Grantee != m.self) {
		m.do(Revoke{})
		m.closed(m.closedBy(e.Grantee, e.FenceTerm))
	}
	m.judgeLease(e)
	if m.term == 0 && e.LeaseTerm != 0 {
		m.do(Revoke{}) // left behind: a gate that is watched again would open with it
	}
}

// judgeLease notices that the gate no longer holds the lease of a serving member: whoever renews it stood still for so long that
// the gate closed by itself and gave the lease up. Every opening is a claim, so serving has ended.
func (m *Machine) judgeLease(e GateState) {
	switch {
	case m.term == 0:
	case e.LeaseTerm == m.term:
		m.leasedTerm = m.term
	case m.leasedTerm == m.term || m.now-m.opened > m.t.courtesyAge:
		m.do(Revoke{})
		m.closed(change{code: CodeLeaseLost, peer: Nobody, term: m.term, reason: "the lease ran out: it was not renewed in time"})
	}
}

// fenced notes that another member's claim is under way: it is given time to open.
func (m *Machine) fenced(term uint32, by uint8) {
	p := m.peer(by)
	if p == nil {
		return
	}
	m.deferUntil = max(m.deferUntil, m.now+2*m.t.dead)
	if c := &m.claim; c.cause != 0 && c.asked && term > c.term && by < m.self {
		m.giveUp("a member of higher priority claims: " + p.name)
	}
}

// closedBy explains why the own gate was closed under a serving member.
func (m *Machine) closedBy(by uint8, term uint32) change {
	p := m.peer(by)
	c := change{code: CodeYielded, peer: by, term: term}
	switch {
	case p == nil:
		c.code, c.reason = CodeConflict, "two members served; the other one goes on"
	case p.reply.Serving && p.replyAt > m.opened:
		c.code = CodeConflict
		c.reason = fmt.Sprintf("two members served; %s goes on with term %d", p.name, term)
	case m.force.to == by:
		c.reason = "the operator ordered the hand-over to " + p.name
	case m.weight() > 0:
		c.reason, c.device = "relieved by "+p.name+", "+m.problemText(), m.problemDevice()
	default:
		c.reason = "yielded to " + p.name
	}
	return c
}

// closed ends serving on this side; the gate is or will be closed by an effect.
func (m *Machine) closed(c change) {
	m.term, m.alone, m.relief = 0, false, relief{}
	m.deferUntil = max(m.deferUntil, m.now+2*m.t.dead)
	m.change, m.helloSoon = c, true
}

// judgeServing says who serves, and ends conflicts that this member should not win.
func (m *Machine) judgeServing() {
	m.judgeConflict()
	m.judgeAlone()
	server := m.findServer()
	if server == m.server {
		return
	}
	if server == Nobody {
		m.vacantAt = m.now
	} else {
		m.moved(server)
		m.lastServer = server
		m.force.done = m.force.done || m.force.to == server
	}
	m.server = server
}

// moved counts a move of serving from one member to another.
func (m *Machine) moved(to uint8) {
	if m.lastServer == to {
		return
	}
	mv := Move{At: m.now, From: m.lastServer, To: to}
	switch {
	case to == m.self:
		mv.Cause, mv.Reason, mv.Gap = m.claim.cause, m.change.reason, m.change.gap
	case m.lastServer == m.self:
		mv.Reason = m.change.reason
	default:
		mv.Reason = m.name(to) + " serves"
	}
	m.lastMove = mv
	if m.lastServer == Nobody {
		return
	}
	m.failovers++
	if from := m.peer(m.lastServer); m.force.to != to && (from == nil || from.alive) {
		m.flap.moves = append(m.flap.moves, m.now) // from a member that lives
	}
}

// findServer returns the member that serves as far as this one knows: itself, a peer whose gate says so,
// or one that is heard one way only and says so itself.
func (m *Machine) findServer() uint8 {
	if m.term != 0 {
		return m.self
	}
	best := (*peer)(nil)
	for i := range m.peers {
		p := &m.peers[i]
		if !p.alive || !p.reply.Serving {
			continue
		}
		if best == nil || p.reply.Term > best.reply.Term {
			best = p
		}
	}
	if best != nil {
		return best.id
	}
	for i := range m.peers {
		if m.oneWay(&m.peers[i]) {
			return m.peers[i].id
		}
	}
	return Nobody
}

// oneWay reports whether the peer, silent to probes, tells in its HELLOs that it serves: either it says as
// well that it has lost this member, so that frames arrive in one direction only, or its HELLOs have come
// for longer after its silence began than any can be under way. It cannot be told to close.
func (m *Machine) oneWay(p *peer) bool {
	if !p.dead || p.helloAt == 0 || !p.hello.State.Serves() {
		return false
	}
	lost := p.hello.View[m.self].State == StateLost && p.helloAt > p.answered
	until := p.helloAt + 3*m.t.hello
	if m.now >= until || !lost && p.helloAt <= p.deadAt+m.t.dead {
		return false
	}
	m.wakeAt(until)
	return true
}

// judgeConflict ends this member's serving if another serves that should go on.
func (m *Machine) judgeConflict() {
	if m.term == 0 {
		return
	}
	for i := range m.peers {
		p := &m.peers[i]
		switch {
		case p.alive && p.reply.Serving && p.replyAt > m.opened && m.losesTo(p):
			m.stepDown(p, fmt.Sprintf("two members served; %s goes on with term %d", p.name, p.reply.Term))
		case m.oneWay(p) && p.helloAt > m.opened:
			// The lower number tries again first, if the other one has gone as well.
			m.deferUntil = max(m.deferUntil, m.now+(1+int64(m.self))*4*m.t.dead)
			m.stepDown(p, "two members served; "+p.name+" cannot hear this one and goes on")
		case m.overtaken(p):
			m.stepDown(p, fmt.Sprintf("two members served; %s was granted term %d", m.name(p.reply.Grantee), p.reply.FenceTerm))
		default:
			continue
		}
		return
	}
}

// losesTo is the closing rule of the gates, applied to an answer: one that serves alone gives way to one
// that does not, else the higher term goes on, else the lower number.
func (m *Machine) losesTo(p *peer) bool {
	if m.alone != p.reply.Alone {
		return m.alone
	}
	return p.reply.Term > m.term || p.reply.Term == m.term && p.id < m.self
}

// overtaken reports whether q, which hears both, granted a higher term to a member that is silent to this
// one, and says that it serves.
func (m *Machine) overtaken(q *peer) bool {
	if !q.alive || q.reply.FenceTerm <= m.term || q.reply.Grantee == m.self || q.replyAt <= m.opened {
		return false
	}
	g := m.peer(q.reply.Grantee)
	return g != nil && g.dead && q.helloAt >= m.opened+m.t.dead && m.saysServing(q, g)
}

// stepDown closes the own gate in favour of a member that serves.
func (m *Machine) stepDown(p *peer, reason string) {
	m.do(Revoke{})
	m.closed(change{code: CodeConflict, reason: reason, peer: p.id, term: p.reply.Term})
}

// judgeAlone tells the gate whether this member serves alone.
func (m *Machine) judgeAlone() {
	if m.term == 0 {
		return
	}
	if alone := m.servesAlone(); alone != m.alone {
		m.alone = alone
		m.do(SetAlone{Alone: alone})
	}
}

// servesAlone reports whether nothing shows that this member is connected: no peer's gate answers, and no
// third station has since. A gate that serves alone gives way to one that does not, whatever the terms;
// so a machine that wakes from a pause must not find the one that carries the traffic marked like this.
func (m *Machine) servesAlone() bool {
	if !m.nobodyAnswers() {
		return false
	}
	since, _ := m.allSuspect()
	since = max(since, m.now-3*m.t.neighbours)
	for i := range m.ifaces {
		if f := &m.ifaces[i]; f.Cluster && !f.down() && f.neighbourAt != 0 && f.neighbourAt >= since {
			m.wakeAt(f.neighbourAt + 3*m.t.neighbours + 1)
			return false
		}
	}
	return true
}

func (m *Machine) nobodyAnswers() bool {
	for i := range m.peers {
		if m.peers[i].alive {
			return false
		}
	}
	return true
}

// judgeState derives the member's own state, and records it if it changed.
func (m *Machine) judgeState() {
	state := m.ownState()
	c := m.change
	m.change = change{}
	if state == m.state {
		m.judgeFit()
		return
	}
	if c.code != 0 && (c.code == CodeActive) != (m.term != 0) {
		c = change{} // overtaken by what came after it in the same Step
	}
	if c.code == 0 {
		c = change{code: m.codeOf(state), reason: m.ownReason(state), peer: Nobody, device: m.problemDevice()}
	}
	if c.code == CodeActive && state == StateActiveAttention {
		c.reason += ", although " + m.problemText()
	}
	m.do(Record{Code: c.code, From: m.state, To: state, Reason: c.reason, Peer: c.peer, Device: c.device, Term: c.term, Gap: c.gap})
	m.state, m.reason, m.since, m.helloSoon = state, c.reason, m.now, true
	m.judgeFit()
}

func (m *Machine) codeOf(state State) Code {
	switch {
	case state == StateActiveAttention:
		return CodeAttention
	case state == StateActive:
		return CodeAttentionEnded
	case state == StateDown && m.stopping:
		return CodeStopped
	case state == StateDown:
		return CodeDown
	}
	return CodeState
}

// ownState says what this member is, ownReason why.
func (m *Machine) ownState() State {
	problem := m.weight() > 0
	switch {
	case m.term != 0 && !problem:
		m.relief = relief{}
		return StateActive
	case m.term != 0 && m.awaitsRelief():
		return m.servingState()
	case m.term != 0:
		return StateActiveAttention
	case !m.initDone:
		return StateInit
	case problem:
		return StateDown
	case m.heldBack() != "":
		return StateReady
	}
	return StateStandby
}

func (m *Machine) ownReason(state State) string {
	switch state {
	case StateInit:
		return m.initReason()
	case StateReady:
		return m.heldBack()
	case StateStandby:
		return m.standbyReason()
	case StateDown:
		return m.problemText()
	case StateActiveAttention:
		return m.problemText() + "; no other member can take over"
	}
	return "no critical device is in problem any more"
}

// reasonNow says why the member is in its state.
func (m *Machine) reasonNow() string {
	if m.state == StateActive {
		return m.reason
	}
	return m.ownReason(m.state)
}

// servingState is ACTIVE or ACTIVE(!), whichever it was.
func (m *Machine) servingState() State {
	if m.state == StateActiveAttention {
		return m.state
	}
	return StateActive
}

// awaitsRelief reports whether a serving member with a problem may expect to be relieved: it says DOWN in
// its HELLO, and serves until another has opened.
func (m *Machine) awaitsRelief() bool {
	r := &m.relief
	if m.weight() == 0 || m.term == 0 {
		*r = relief{}
		return false
	}
	if r.over {
		return false
	}
	if r.until == 0 {
		if !m.anybodyFit() {
			return false
		}
		r.until, m.helloSoon = m.now+10*m.t.dead, true
	}
	if m.now >= r.until || !m.anybodyFit() {
		r.over, m.helloSoon = true, true
		return false
	}
	m.wakeAt(r.until)
	return true
}

func (m *Machine) anybodyFit() bool {
	for i := range m.peers {
		if m.fit(&m.peers[i]) {
			return true
		}
	}
	return false
}

// heldBack says why a member without a problem may not serve yet: READY.
func (m *Machine) heldBack() string {
	switch {
	case !m.policy:
		return "waits for its policy"
	case !m.sync:
		return "waits for the connection table"
	}
	p := m.peer(m.server)
	if p == nil || p.helloAt == 0 {
		return ""
	}
	switch {
	case m.cfg.Version > p.hello.Version:
		return fmt.Sprintf("is newer than %s, which serves: version %d, not %d", p.name, m.cfg.Version, p.hello.Version)
	case m.cfg.Capabilities&^p.hello.Capabilities != 0:
		return "offers what " + p.name + ", which serves, does not have"
	}
	return ""
}

func (m *Machine) standbyReason() string {
	if m.server == Nobody {
		return "fit to serve; no member is known to serve"
	}
	return "fit to serve; " + m.name(m.server) + " serves"
}

// judgeFit notes since when this member could serve, for the hold-down.
func (m *Machine) judgeFit() {
	switch {
	case m.state != StateStandby && m.state != StateActive || m.weight() > 0:
		m.fitSince = 0
	case m.fitSince == 0:
		m.fitSince = m.now
	}
}

// judgeInit ends INIT when the member knows enough: whether each peer is there, and that the segments
// carry frames.
func (m *Machine) judgeInit() {
	if m.initDone {
		return
	}
	heard, pending := false, false
	for i := range m.peers {
		p := &m.peers[i]
		heard = heard || p.alive
		pending = pending || !p.alive && !p.dead || p.alive && p.helloAt == 0 && m.now < m.boot.Now+3*m.t.hello
	}
	if hello := m.boot.Now + 3*m.t.hello; m.now < hello {
		m.wakeAt(hello)
	}
	wait, longest := m.boot.Now+m.t.bootWait, m.boot.Now+m.t.receiveWait
	switch {
	case heard && !pending, m.now >= wait && (heard || m.segmentsCarry()), m.now >= longest:
		m.finishInit()
	case m.now < wait:
		m.wakeAt(wait)
	default:
		m.wakeAt(longest)
	}
}

// segmentsCarry reports whether each cluster interface with carrier has received some frame.
func (m *Machine) segmentsCarry() bool {
	for i := range m.ifaces {
		if f := &m.ifaces[i]; f.Cluster && f.carrier && !f.received {
			return false
		}
	}
	return true
}
