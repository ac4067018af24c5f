// SPDX-License-Identifier: Apache-2.0

package members

import "fmt"

// oneWay reports whether the peer serves although its gate is silent: frames arrive from it, and none of ours there, so that it cannot be told to
// close. Its HELLOs say that it serves, and are no late ones: they say as well that it has lost this member, or have come for longer
// since its silence, or its daemon, began than a frame can be under way.
func (m *Machine) oneWay(p *peer) bool {
	if !p.dead || p.helloAt == 0 || !p.hello.State.Serves() {
		return false
	}
	lost := p.hello.View[m.self].State == StateLost && p.helloAt > p.answered
	until := p.helloAt + 3*m.t.hello
	if m.now >= until || !lost && p.helloAt <= max(p.deadAt, p.startedAt)+m.t.dead {
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
