// SPDX-License-Identifier: Apache-2.0

package members

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
		c.reason += "; serves in spite of its own: " + m.problemText()
	}
	m.do(Record{Code: c.code, From: m.state, To: state, Reason: c.reason, Peer: c.peer, Device: c.device,
		Iface: m.faultyIface(c.device), Term: c.term, Gap: c.gap})
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
		return m.problemText() + "; " + m.whyNotRelieved()
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
		if !m.anybodyBetter() {
			return false
		}
		r.until, m.helloSoon = m.now+10*m.t.dead, true
	}
	if m.now >= r.until || !m.anybodyBetter() {
		r.over, m.helloSoon = true, true
		return false
	}
	m.wakeAt(r.until)
	return true
}

// anybodyBetter reports whether a member is there that relieves this one of serving with its problems soon.
func (m *Machine) anybodyBetter() bool {
	for i := range m.peers {
		if m.relieves(m.peerCandidate(&m.peers[i]), m.weight()) {
			return true
		}
	}
	return false
}

// relieves reports whether a member that is rated so takes over soon from one that serves with problems of
// this weight. A fit one always does, and one that only waits for its recovery delay. One that is held back, or broken but less, only does where no traffic
// passes any more, or the operator takes the other one out; else nothing moves, or not before it has settled.
func (m *Machine) relieves(c candidate, weight int) bool {
	switch c.class() {
	case classForced, classFit, classWaits:
		return true
	case classReady, classStale:
		return weight > weightOrdinary
	case classBroken:
		return weight > weightOrdinary && c.weight() < weight
	}
	return false
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
