// SPDX-License-Identifier: Apache-2.0

package members

import "fmt"

// waitAnswers is what a claim waits for while answers are on their way; it is not worth an event.
const waitAnswers = "answers are on their way"

// vipQuestion is what is known about who answers for the VIPs while a member is silent.
type vipQuestion struct {
	firstAt    int64 // when the present round of questions began, 0 if there is none
	askedAt    int64
	memberAt   int64 // when a member, or the VMAC, answered last
	unanswered int   // questions since then
	strangerAt int64 // when a stranger answered first in this round
	by         string
	told       bool
	clashes    int // questions of a member serving by itself that another member answered, in a row
}

// askVIP asks who answers for the VIPs, each probe interval: from the first missed probe of the member
// that serves, and for every claim that would pass over a silent member.
func (m *Machine) askVIP(w want) {
	v := &m.vip
	if m.term != 0 && m.nobodyAnswers() {
		m.askAlone()
		return
	}
	if !m.vipInDoubt(w) {
		if v.firstAt != 0 {
			*v = vipQuestion{}
		}
		return
	}
	if v.firstAt == 0 {
		v.firstAt = m.now
	}
	if v.askedAt == 0 || m.now-v.askedAt >= m.t.probe {
		v.askedAt = m.now
		v.unanswered++
		m.do(AskVIP{})
	}
	m.wakeAt(v.askedAt + m.t.probe)
}

// askAlone lets a member that serves and hears no peer ask once a second whether another one does, whose CCP it does
// not understand: with another key, say. Two answers in a row make it step down; the lower number is the
// first to try again, and finds whoever goes on by the same question.
func (m *Machine) askAlone() {
	const every = int64(1e9)
	v := &m.vip
	switch {
	case v.firstAt < m.opened:
		*v = vipQuestion{firstAt: m.now, askedAt: m.now}
	case v.clashes >= 2:
		m.deferUntil = max(m.deferUntil, m.now+(1+int64(m.self))*4*m.t.dead)
		m.do(Revoke{})
		m.closed(change{code: CodeConflict, peer: Nobody, reason: "two members served; CCP not understood: " + v.by})
		*v = vipQuestion{}
		return
	case m.now-v.askedAt >= every:
		if v.memberAt < v.askedAt {
			v.clashes = 0
		}
		v.askedAt = m.now
		m.do(AskVIP{})
	}
	m.wakeAt(v.askedAt + every)
}

func (m *Machine) vipInDoubt(w want) bool {
	if m.term != 0 || !m.initDone || m.selfCandidate().class() == classNoChoice {
		return false
	}
	p := m.peer(m.server)
	if p == nil {
		p = m.peer(m.lastServer)
	}
	switch {
	case m.server != Nobody:
		return p != nil && p.suspect
	case p != nil && p.dead:
		return true
	}
	return w.cause != 0 && m.anybodyDead()
}

func (m *Machine) anybodyDead() bool {
	for i := range m.peers {
		if m.peers[i].dead {
			return true
		}
	}
	return false
}

// vipAnswer takes an answer in.
func (m *Machine) vipAnswer(e VIPAnswer) {
	v := &m.vip
	if v.firstAt == 0 {
		return
	}
	f := "an interface"
	if i := m.ifaceIndex(e.Iface); i >= 0 {
		f = m.ifaces[i].Name
		m.ifaces[i].received = true
	}
	switch e.By {
	case ByVMAC, ByMember:
		if v.memberAt < v.askedAt {
			v.clashes++
		}
		v.unanswered = 0
		v.memberAt, v.by = m.now, fmt.Sprintf("%s answers for a VIP on %s", e.MAC, f)
	case ByStranger:
		if v.strangerAt == 0 {
			v.strangerAt = m.now
		}
		if m.strangerTold == 0 || m.now-m.strangerTold > 60e9 {
			m.strangerTold = m.now
			m.do(Record{Code: CodeVIPStranger, From: m.state, To: m.state, Peer: Nobody,
				Reason: fmt.Sprintf("%s, which is no member, answers for a VIP on %s", e.MAC, f)})
		}
	}
}

// held says what the claim waits for before it asks for grants, or nothing.
func (m *Machine) held() string {
	c, v := &m.claim, &m.vip
	if m.pulseSilent(3 * m.t.hello) {
		return "its own pulse is silent"
	}
	query := false
	for i := range m.peers {
		p := &m.peers[i]
		if !p.dead {
			continue
		}
		switch why := m.passOver(p); why {
		case "":
		case waitAnswers:
			query = true
		default:
			m.query()
			return why
		}
	}
	if query {
		m.query()
		return waitAnswers
	}
	if since, all := m.allSuspect(); all {
		if proven, known := m.neighbourProof(since); known && !proven {
			return "neighbours are silent as well: the fault is on this side"
		}
	}
	if v.firstAt == 0 {
		return ""
	}
	switch {
	case v.memberAt != 0 && (m.now-v.memberAt < m.t.dead || v.unanswered < int(m.t.dead/m.t.probe)):
		// The questions are counted as well: while this host stands still the answer grows old, and nobody was asked.
		if !v.told {
			v.told = true
			m.do(Record{Code: CodeVIPAnswered, From: m.state, To: m.state, Peer: c.from, Reason: "VIP answered, CCP not understood: " + v.by})
		}
		return "a member whose CCP is not understood answers for a VIP"
	case v.strangerAt != 0 && m.now-v.strangerAt < m.t.stranger:
		m.wakeAt(v.strangerAt + m.t.stranger)
		return "a stranger answers for the VIP"
	case c.cause != CauseSilence && m.now-v.firstAt < m.t.dead, m.now-v.firstAt < m.t.probe:
		return waitAnswers
	}
	return ""
}

// query probes everybody out of schedule, once a probe interval.
func (m *Machine) query() {
	if m.queriedAt == 0 || m.now-m.queriedAt >= m.t.probe {
		m.queriedAt = m.now
		m.do(Query{})
	}
	m.wakeAt(m.queriedAt + m.t.probe)
}

// passOver says why a claim must not pass over the dead peer p: another member's gate heard it lately, and
// nobody knows that p does not serve. Nothing if it may.
func (m *Machine) passOver(p *peer) string {
	for i := range m.peers {
		q := &m.peers[i]
		if q == p || !q.alive {
			continue
		}
		if q.replyAt < max(p.deadAt, m.claim.since) {
			return waitAnswers
		}
		if m.saysServing(q, p) {
			if p.id == m.claim.from {
				m.servedAt = max(m.servedAt, q.helloAt-int64(q.hello.View[p.id].HelloAge))
			}
			return fmt.Sprintf("%s still hears %s", q.name, p.name)
		}
		if int64(q.reply.Heard[p.id])*1e6 >= 2*m.t.probe {
			continue
		}
		if p.id == m.claim.from {
			m.servedAt = max(m.servedAt, q.replyAt-int64(q.reply.Heard[p.id])*1e6)
		}
		if m.helloFresh(q) && q.helloAt >= p.deadAt {
			if s := q.hello.View[p.id].State; s != 0 && !s.Serves() {
				continue
			}
		}
		return fmt.Sprintf("%s still hears %s", q.name, p.name)
	}
	return ""
}

// saysServing reports whether q's HELLO says that p's gate serves: it answers q's probes, though p's daemon
// may send none, or p's HELLOs say so to q, though they may not reach this member. The HELLO counts if it is from so long after the silence of p began that q would have
// noticed it too; a member that falls silent is told of at once.
func (m *Machine) saysServing(q, p *peer) bool {
	return m.helloFresh(q) && q.helloAt >= p.deadAt+m.t.dead && q.hello.View[p.id].State.Serves()
}
