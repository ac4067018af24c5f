// SPDX-License-Identifier: Apache-2.0

package members

import (
	"fmt"
	"time"
)

// claim is this member's way to serving: first the questions (does anybody hear the silent one, does
// anybody answer for a VIP, is the fault ours), then the grants, then the opening.
type claim struct {
	want
	since   int64
	term    uint32
	asked   bool  // grants were asked for, with term
	askedAt int64 // when grants were asked for with this term
	sentAt  int64 // when YIELDs were sent last

	granted   uint8 // bit per peer
	own       bool  // the own gate granted
	last      bool  // the serving gates are asked, all others have granted
	committed bool  // the serving gate granted: nobody serves until somebody opens
	backoff   int64 // after a refusal: not before

	held string // the question that it waits for
}

// pursue starts, continues or gives up a claim.
func (m *Machine) pursue() {
	w := m.wanted()
	c := &m.claim
	m.askVIP(w)
	if c.cause == 0 {
		if w.cause == 0 {
			return
		}
		if m.now < w.at {
			m.wakeAt(w.at)
			return
		}
		*c = claim{want: w, since: m.now}
	} else if why := m.pointless(w); why != "" {
		m.giveUp(why)
		return
	}
	m.advance()
}

// pointless says why the claim should not go on, or nothing.
func (m *Machine) pointless(w want) string {
	c := &m.claim
	switch {
	case m.selfCandidate().class() == classNoChoice:
		return "this member cannot serve any more"
	case m.server != Nobody && m.server != c.from:
		return m.name(m.server) + " serves"
	case c.committed, c.asked && c.last:
		return "" // the serving gate was asked: it may have closed already
	case w.cause == 0:
		return "the reason is gone"
	}
	return ""
}

// giveUp ends the claim without opening. Grants that were given harm nobody: the next claim is higher.
func (m *Machine) giveUp(why string) {
	c := &m.claim
	if c.asked || c.held != "" {
		m.do(Record{Code: CodeClaimGivenUp, From: m.state, To: m.state, Peer: c.from, Term: c.term,
			Reason: fmt.Sprintf("claim (%s) given up: %s", c.cause, why)})
	}
	*c = claim{}
	c.from = Nobody
}

// advance does what is next for the claim.
func (m *Machine) advance() {
	c := &m.claim
	if m.now < c.backoff {
		m.wakeAt(c.backoff)
		return
	}
	if c.asked && m.diedSince(c.askedAt) {
		c.asked = false // whom the questions did not cover
	}
	if !c.asked {
		held := m.held()
		if held == "" {
			held = m.flushHeld()
		}
		if held != "" {
			m.hold(held)
			return
		}
		m.begin()
		if m.claim.cause == 0 {
			return
		}
	}
	m.collect()
}

// diedSince reports whether a peer was taken for dead after the time at: the claim must not pass it over without asking who else
// hears it and whether a VIP answers. The verdict may be an old one, from before a stall of the pulse.
func (m *Machine) diedSince(at int64) bool {
	for i := range m.peers {
		if p := &m.peers[i]; p.dead && p.deadAt > at {
			return true
		}
	}
	return false
}

// hold notes what the claim waits for, and looks again after a probe interval at the latest.
func (m *Machine) hold(why string) {
	c := &m.claim
	if why != c.held && why != waitAnswers {
		m.do(Record{Code: CodeClaimHeld, From: m.state, To: m.state, Peer: c.from,
			Reason: fmt.Sprintf("claim (%s) waits: %s", c.cause, why)})
	}
	c.held = why
	m.wakeAt(m.now + m.t.probe)
}

// begin chooses the term, above all that were ever seen, and records the claim.
func (m *Machine) begin() {
	c := &m.claim
	if m.maxTerm >= MaxTerm {
		m.giveUp("the terms are used up: stop all members at once and start them again")
		return
	}
	again := c.term != 0
	m.maxTerm++
	c.term, c.asked, c.granted, c.own, c.last, c.sentAt, c.held = m.maxTerm, true, 0, false, false, 0, ""
	c.askedAt = m.now
	m.do(StoreTerm{Term: c.term})
	if !again {
		m.do(Record{Code: CodeClaim, From: m.state, To: m.state, Peer: c.from, Term: c.term,
			Reason: fmt.Sprintf("claims (%s): %s", c.cause, c.reason)})
	}
}

// collect asks the gates that have not granted yet: those of members that do not serve first, the serving
// one when all others and the own gate have granted, and opens when all have.
func (m *Machine) collect() {
	c := &m.claim
	first, second := m.missing()
	wave := first
	if first == 0 && c.own {
		if second == 0 {
			m.open()
			return
		}
		if wave = second; !c.last {
			c.last, c.sentAt = true, 0 // the last wave leaves at once
		}
	}
	if m.now >= c.sentAt+m.t.probe {
		c.sentAt = m.now
		if !c.own {
			m.do(GrantOwn{Term: c.term})
		}
		m.sendYields(wave)
	}
	m.wakeAt(c.sentAt + m.t.probe)
}

// missing returns the peers whose grants are missing, as bits: those that do not serve, and those that do.
// Only a peer that is dead, and that nobody else hears, is passed over.
func (m *Machine) missing() (first, second uint8) {
	c := &m.claim
	for i := range m.peers {
		p := &m.peers[i]
		bit := uint8(1) << p.id
		switch {
		case c.granted&bit != 0, p.dead && m.skip(p):
		case p.reply.Serving || p.id == c.from:
			second |= bit
		default:
			first |= bit
		}
	}
	return first, second
}

// skip reports whether the claim passes over the dead peer p; if that is not known, everybody is asked.
func (m *Machine) skip(p *peer) bool {
	why := m.passOver(p)
	if why != "" {
		m.query()
	}
	return why == ""
}

// sendYields asks the peers in the wave. A dead member that served is told as well, in the first one:
// should it only not be able to answer, it closes.
func (m *Machine) sendYields(wave uint8) {
	c := &m.claim
	for i := range m.peers {
		p := &m.peers[i]
		if wave&(1<<p.id) == 0 && !(p.dead && p.known && p.id == c.from) {
			continue
		}
		y := SendYield{Target: p.id, Term: c.term, Kind: YieldClaim}
		switch {
		case p.dead || !p.reply.Serving:
		case c.cause == CauseCourtesy:
			y.Kind, y.MinAge = YieldCourtesy, time.Duration(m.courtesy.threshold)
		default:
			y.Kind = YieldGraceful
		}
		m.do(y)
	}
}

// yieldResult takes the answer of a gate in.
func (m *Machine) yieldResult(e YieldResult) {
	m.sawTerm(e.FenceTerm)
	c := &m.claim
	if c.cause == 0 || !c.asked || e.Term != c.term || e.Group != 0 {
		return
	}
	switch e.Result {
	case Granted:
		m.granted(e.Peer)
	case Refused:
		m.refused(e)
	case TooYoung:
		m.courtesy.refusedAt = m.now
		m.giveUp("the lease of " + m.name(e.Peer) + " is renewed again")
	}
}

func (m *Machine) granted(by uint8) {
	c := &m.claim
	if by == m.self {
		c.own = true
		return
	}
	p := m.peer(by)
	if p == nil {
		return
	}
	c.granted |= 1 << by
	if p.reply.Serving && p.alive {
		c.committed, p.reply.Serving = true, false // the gate closed with its grant
		m.servedAt = m.now
	}
}

// refused: another member was granted the term or a higher one. The lower number tries again at once, the
// other one after a dead interval; so does who takes the rival for dead, since it has just asked.
func (m *Machine) refused(e YieldResult) {
	c := &m.claim
	rival := m.peer(e.Grantee)
	c.asked = false
	if rival != nil && (rival.dead || rival.id < m.self) {
		c.backoff = m.now + m.t.dead
		m.do(Record{Code: CodeClaimRefused, From: m.state, To: m.state, Peer: e.Grantee, Term: e.Term,
			Reason: fmt.Sprintf("term %d went to %s first", e.FenceTerm, rival.name)})
	}
}

// open takes the lease: this member serves.
func (m *Machine) open() {
	c := m.claim
	m.claim = claim{}
	m.claim.from = Nobody
	m.term, m.opened, m.openedFor, m.relief = c.term, m.now, c.cause, relief{}
	m.alone = m.servesAlone()
	var gap time.Duration
	if m.servedAt != 0 && m.lastServer != Nobody {
		gap = time.Duration(max(m.now-m.servedSince(c), 0))
	}
	reason := c.reason
	m.do(Lease{Term: c.term, Alone: m.alone})
	m.do(Announce{Reason: fmt.Sprintf("took over (%s)", c.cause)})
	m.change = change{code: CodeActive, reason: reason, peer: c.from, term: c.term, gap: gap}
	m.helloSoon = true
	m.claim.cause = c.cause // for the accounting of the move
	m.judgeServing()
	m.claim.cause = 0
	m.lastMove.At = m.now
	if c.cause == CauseCourtesy {
		m.courtesy.movedAt, m.courtesy.threshold = m.now, min(2*m.courtesy.threshold, m.t.courtesyMax)
	}
}

// servedSince returns when somebody served last, by the best evidence.
func (m *Machine) servedSince(c claim) int64 {
	at := m.servedAt
	if p := m.peer(c.from); p != nil && p.dead {
		at = max(at, p.answered)
	}
	return at
}
