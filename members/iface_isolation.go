// SPDX-License-Identifier: Apache-2.0

package members

// judgeIsolation decides whether the silence of all peers is this member's own fault: no cluster
// interface has carrier, or neighbours that were known are silent as well. A server that is cut off so but
// hears a peer elsewhere (sync) has a problem like others, and is relieved if that peer can; one that hears
// nobody closes if somebody could have served when it began.
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
	if m.isolated && !was {
		m.isolatedAt = m.now
		if all {
			m.isolatedAt = since
		}
	}
	if m.isolated && m.term != 0 && m.allDead() && m.anybodyCould() {
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

// anybodyCould reports whether some peer was able to serve when it was heard last, which was not before the
// isolation: one that was dead by then does not take over.
func (m *Machine) anybodyCould() bool {
	before := m.isolatedAt - 10*m.t.dead
	for i := range m.peers {
		p := &m.peers[i]
		if p.known && p.deadAt >= before && (p.hello.State == StateStandby || p.hello.State.Serves() || p.hello.State == StateReady) {
			return true
		}
	}
	return false
}

// cutOff reports whether every cluster interface of this member has failed, and there are such interfaces:
// it passes no traffic.
func (m *Machine) cutOff() bool {
	none := false
	for i := range m.ifaces {
		if f := &m.ifaces[i]; f.Cluster {
			if f.problem == "" {
				return false
			}
			none = true
		}
	}
	return none
}

// peerCutOff reports the same of a peer, by what it tells.
func (m *Machine) peerCutOff(p *peer) bool {
	none := false
	for i := range m.ifaces {
		if f := &m.ifaces[i]; f.Cluster {
			if v := p.tells(f.Slot); v == nil || !v.Problem {
				return false
			}
			none = true
		}
	}
	return none
}
