// SPDX-License-Identifier: Apache-2.0

package members

import "github.com/holdfast-project/holdfast/members/device"

// Classes of candidates, best first.
const (
	classForced   = iota // the operator named it, and it is fit
	classFit             // nothing speaks against it
	classWaits           // held back by the recovery delay alone: it relieves a broken one all the same
	classReady           // held back by design; better than a broken one
	classStale           // held back since it lacks the connections: it goes last of those that are whole
	classBroken          // a critical device has a problem; the weight decides
	classNoChoice        // not there, not started, or not wanted
)

// candidate orders members by who should serve: the smaller is the better one.
type candidate int

func newCandidate(class, weight int, id uint8) candidate {
	return candidate(class<<24 | weight<<8 | int(id))
}

func (c candidate) class() int  { return int(c >> 24) }
func (c candidate) weight() int { return int(c>>8) & 0xffff }

// selfCandidate rates this member.
func (m *Machine) selfCandidate() candidate {
	class, weight := classFit, 0
	switch {
	case !m.initDone || m.stopping || m.isolated || m.withoutPolicy():
		class = classNoChoice
	case m.weight() > 0:
		class, weight = classBroken, m.weight()
	case m.heldBack() != "":
		switch class = classReady; {
		case m.withoutConnections():
			class = classStale
		case m.onlyWaits():
			class = classWaits
		}
	case m.forcedTo(m.self):
		class = classForced
	}
	return newCandidate(class, weight, m.self)
}

// peerCandidate rates a peer by what its daemon says of it.
func (m *Machine) peerCandidate(p *peer) candidate {
	class, weight := classNoChoice, 0
	if p.alive && m.helloFresh(p) {
		switch p.hello.State {
		case StateStandby, StateActive:
			class = classFit
			if m.forcedTo(p.id) {
				class = classForced
			}
		case StateReady:
			switch class = classReady; {
			case p.says(device.Policy, device.Init):
				class = classNoChoice
			case p.says(device.FullSync, device.Init):
				class = classStale
			case m.peerOnlyWaits(p):
				class = classWaits
			}
		case StateActiveAttention, StateDown:
			class, weight = classBroken, p.weight
		}
	}
	return newCandidate(class, weight, p.id)
}

// rank returns how many members other than except would be a better choice than this one.
func (m *Machine) rank(self candidate, except uint8) int64 {
	n := int64(0)
	for i := range m.peers {
		if p := &m.peers[i]; p.id != except && m.peerCandidate(p) < self {
			n++
		}
	}
	return n
}

// want is a wish to serve: why, from whom, and when the claim may begin at the earliest.
type want struct {
	cause  Cause
	from   uint8
	reason string
	at     int64
}

// wanted says whether this member should claim.
func (m *Machine) wanted() want {
	better := m.betterAt
	m.betterAt = 0 // unless it still is
	self := m.selfCandidate()
	if m.term != 0 || self.class() == classNoChoice {
		return want{}
	}
	if m.server == Nobody {
		return m.wantVacant(self)
	}
	p := m.peer(m.server)
	if !p.alive {
		return want{} // heard one way only: it cannot be asked
	}
	w := m.wantFrom(p, self, better)
	if w.cause != 0 {
		w.from = p.id
		w.at = max(w.at, m.deferUntil)
	}
	return w
}

// wantVacant: nobody serves. Better members go first; each one behind waits a dead interval longer.
func (m *Machine) wantVacant(self candidate) want {
	w := want{from: m.lastServer, at: max(m.vacantAt, m.deferUntil) + m.rank(self, Nobody)*m.t.dead}
	last := m.peer(m.lastServer)
	switch {
	case last != nil && last.dead:
		w.cause, w.reason = CauseSilence, last.name+" fell silent on all interfaces"
	case m.lastServer == Nobody:
		w.cause, w.reason, w.from = CauseBoot, "no member was serving", Nobody
		w.at += m.t.dead * (1 + m.undecided()) // others may have started with this one
	default:
		w.cause, w.reason, w.from = CauseVacant, "no member was serving any more", Nobody
		w.at += m.t.dead // whoever closed that gate may be about to open
	}
	switch self.class() {
	case classWaits, classReady, classStale:
		w.at += 2 * m.t.dead
	case classBroken:
		w.at += 3*m.t.dead + m.t.hello // the others must have had time to say how they are
	}
	return w
}

// undecided returns how many living members of higher priority have not said yet how they are.
func (m *Machine) undecided() int64 {
	n := int64(0)
	for i := range m.peers {
		if p := &m.peers[i]; p.id < m.self && p.alive && (p.helloAt == 0 || p.hello.State == StateInit) {
			n++
		}
	}
	return n
}

// wantFrom: p serves. The first reason to take over from it counts.
func (m *Machine) wantFrom(p *peer, self candidate, better int64) want {
	theirs := m.peerCandidate(p)
	switch {
	case m.wantForced():
		return want{cause: CauseForced, reason: "the operator ordered the hand-over to " + m.name(m.self)}
	case m.wantCourtesy(p, self):
		due := p.replyAt - int64(p.reply.LeaseAge) + m.courtesy.threshold
		return want{cause: CauseCourtesy, at: due + m.rank(self, p.id)*m.t.dead,
			reason: p.name + " no longer renewed its lease"}
	case theirs.class() == classBroken && self < theirs:
		return m.wantRelieve(p, self, theirs, better)
	case m.wantFailback(p, self):
		return want{cause: CauseFailback, reason: m.name(m.self) + " has the higher priority and is well again"}
	}
	return want{}
}

// wantRelieve: p serves with a problem and this member is better. If p is to go whoever comes, nobody waits
// longer than it takes to let better ones go first. A broken member has been the better one since the time better.
func (m *Machine) wantRelieve(p *peer, self, theirs candidate, better int64) want {
	w := want{cause: CauseDevice, reason: p.name + " has a problem: " + p.problems}
	leaving := theirs.weight() > weightOrdinary
	worse := self.class() == classBroken && self.weight() >= theirs.weight()
	if worse || !leaving && (self.class() == classReady || self.class() == classStale || self.class() == classBroken && m.frozen()) {
		return want{}
	}
	behind := m.rank(self, p.id)
	switch {
	case self.class() == classBroken && !leaving:
		if m.betterAt = better; better == 0 {
			m.betterAt = m.now
		}
		w.at = m.betterAt + m.t.settle + behind*m.t.dead // both are broken: no hurry, and no flapping
	case self.class() == classBroken:
		w.at = p.weightAt + (behind+3)*m.t.dead
	case self.class() == classReady, self.class() == classWaits, self.class() == classStale:
		w.at = p.weightAt + (behind+2)*m.t.dead
	case behind > 0:
		w.at = p.since + behind*m.t.dead
	}
	if !leaving && m.damped() {
		w.at = max(w.at, p.since+m.t.holdDown)
	}
	if !m.proven(p) {
		return want{}
	}
	if until := m.spreading(p); until != 0 && !p.hello.Stopping && onlyInterfaces(p.hello.Devices) {
		w.at = max(w.at, until+behind*m.t.dead)
	}
	return w
}

// wantFailback: highest-priority recovery.
func (m *Machine) wantFailback(p *peer, self candidate) bool {
	switch {
	case m.cfg.Recovery != RecoveryHighestPriority || self.class() != classFit || m.self > p.id:
		return false
	case m.force.to != Nobody && m.force.to != m.self, m.frozen(), m.fitSince == 0:
		return false
	case m.rank(self, p.id) > 0:
		return false
	}
	due := max(m.fitSince, m.lastMove.At) + m.t.holdDown
	if m.now < due {
		m.wakeAt(due)
		return false
	}
	return !m.damped()
}

// courtesy is the state of asking a member to yield whose daemon no longer renews its lease.
type courtesy struct {
	onTimeSince int64 // since when the own renewals are on time, 0 if they are not
	threshold   int64 // the lease age that counts
	movedAt     int64 // when serving was taken for that reason last
	refusedAt   int64
}

// wantCourtesy: p's gate serves and its lease ages.
func (m *Machine) wantCourtesy(p *peer, self candidate) bool {
	c := &m.courtesy
	if c.movedAt != 0 && m.now-c.movedAt > 60e9 {
		c.movedAt, c.threshold = 0, m.t.courtesyAge
	}
	const second = int64(1e9)
	switch {
	case self.class() > classReady: // and without the connections, a server that is merely late is the better one
		return false
	case int64(p.reply.LeaseAge) < c.threshold || p.reply.Restarting || m.now-p.replyAt > m.t.dead:
		return false
	case c.onTimeSince == 0 || m.now-c.onTimeSince < second:
		return false
	case m.lastMove.At != 0 && m.now-m.lastMove.At < second:
		return false
	case c.refusedAt != 0 && m.now-c.refusedAt < m.t.courtesyAge:
		return false
	}
	return true
}
