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

// leaseLife is the hard expiry of a lease: the gate does not serve on an older one, and the pulse does not renew it any more.
const leaseLife = time.Second

// judgeLease notices that the gate no longer holds the lease of a serving member: whoever renews it stood still for so long that
// the gate closed by itself and gave the lease up. Every opening is a claim, so serving has ended.
func (m *Machine) judgeLease(e GateState) {
	switch {
	case m.term == 0:
	case e.LeaseTerm == m.term && e.LeaseAge < leaseLife:
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
	case m.forcedTo(by):
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
	m.change, m.ended, m.helloSoon = c, c.reason, true
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
		mv.Reason = m.ended
	default:
		mv.Reason = m.name(to) + " serves"
	}
	m.lastMove = mv
	if m.lastServer == Nobody {
		return
	}
	m.failovers++
	if from := m.peer(m.lastServer); !m.forcedTo(to) && (from == nil || from.alive) {
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
