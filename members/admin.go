// SPDX-License-Identifier: Apache-2.0

package members

import (
	"fmt"
	"time"

	"github.com/holdfast-project/holdfast/members/device"
)

// force is a hand-over that an operator ordered. All members know of it by their HELLOs.
type force struct {
	to    uint8 // Nobody if none
	until int64 // 0: until it is ended
	id    uint64
	done  bool // the named member has served since
}

// flap is the damping of moves from a member that lives to another, forced ones aside.
type flap struct {
	moves []int64 // when they were seen, within the window
	told  bool
}

// admin takes an operator's order in.
func (m *Machine) admin(e Admin) {
	m.helloSoon = true
	switch e.Kind {
	case AdminDown:
		m.setAdminDown(true)
	case AdminUp:
		m.setAdminDown(false)
	case AdminForceTo:
		if int(e.Target) >= len(m.cfg.Names) {
			return
		}
		m.setForce(e.Target, e.For, m.nextForce(2), false)
	case AdminForceEnd:
		if m.force.to != Nobody {
			m.setForce(Nobody, 0, m.nextForce(1), false)
		}
	case AdminResetFailovers:
		m.failovers, m.lastReset, m.flap = 0, m.now, flap{}
		m.note(CodeFailoversReset, "failover counter and flap budget were reset")
	case AdminFreeze:
		length := time.Duration(m.t.freeze)
		if e.For > 0 {
			length = min(e.For, MaxFreeze)
		}
		m.freeze = m.now + int64(length)
		m.note(CodeFrozen, fmt.Sprintf("voluntary moves are frozen for %v at most", length))
	case AdminUnfreeze:
		if m.freeze != 0 {
			m.freeze = 0
			m.note(CodeUnfrozen, "voluntary moves are allowed again")
		}
	}
}

// note records something that changes no state.
func (m *Machine) note(code Code, reason string) {
	m.do(Record{Code: code, From: m.state, To: m.state, Reason: reason, Peer: Nobody})
}

func (m *Machine) setAdminDown(down bool) {
	if m.adminDown == down {
		return
	}
	m.adminDown = down
	if down {
		m.report(device.AdminDown, device.Problem, "taken down by the operator")
		m.note(CodeAdminDown, "the operator took this member down")
		return
	}
	m.report(device.AdminDown, device.OK, "")
	m.note(CodeAdminUp, "the operator brought this member up")
}

// nextForce returns an order number above all seen, which no other member gives. An order steps further than the end of one: it is the newer
// one, wherever it is given while an older order is ended elsewhere.
func (m *Machine) nextForce(step uint64) uint64 { return (m.force.id>>3+step)<<3 | uint64(m.self) }

func (m *Machine) setForce(to uint8, d time.Duration, id uint64, done bool) {
	until := int64(0)
	if d > 0 {
		until = m.now + int64(d)
	}
	m.force = force{to: to, until: until, id: id, done: to != Nobody && (done || to == m.server)}
	m.helloSoon = true
	if to == Nobody {
		m.note(CodeForceEnded, "the forced hand-over was ended")
		return
	}
	text := "hand-over to " + m.name(to) + " was ordered"
	if d > 0 {
		text += fmt.Sprintf(" for %v", d.Round(100*time.Millisecond))
	}
	if done {
		text += ", and was done"
	}
	m.do(Record{Code: CodeForced, From: m.state, To: m.state, Reason: text, Peer: to})
}

// learnForce adopts a newer order from a HELLO. That an order is done is seen by all who watch; the member that it names may have
// started anew since, or not have known the order at first.
func (m *Machine) learnForce(h *Hello) {
	switch {
	case h.ForcedID == m.force.id && h.ForcedDone && h.ForcedTo == m.self && m.force.to == m.self:
		m.force.done = true
	case h.ForcedID <= m.force.id:
	case h.ForcedTo == Nobody && m.force.to == Nobody: // ended before this member knew of it
		m.force.id = h.ForcedID
	default:
		m.setForce(h.ForcedTo, h.ForcedFor, h.ForcedID, h.ForcedDone)
	}
}

// expireForce ends a forced hand-over whose time is over.
func (m *Machine) expireForce() {
	f := &m.force
	switch {
	case f.to == Nobody || f.until == 0:
	case m.now < f.until:
		m.wakeAt(f.until)
	default:
		f.to = Nobody
		m.note(CodeForceEnded, "the time of the forced hand-over is over: the normal rule holds")
	}
}

// forcedTo reports whether an order names this member and it has not served since.
func (m *Machine) forcedTo(id uint8) bool { return m.force.to == id && !m.force.done }

// wantForced: the operator named this member. It goes once it is fit.
func (m *Machine) wantForced() bool {
	return m.forcedTo(m.self) && m.selfCandidate().class() == classForced && !m.frozen()
}

// frozen reports whether this or another member's operator stopped voluntary moves. It ends by itself.
func (m *Machine) frozen() bool {
	until := m.frozenUntil()
	if m.now >= until {
		return false
	}
	m.wakeAt(until)
	return true
}

// frozenUntil returns until when any member's operator stopped voluntary moves, 0 if none did.
func (m *Machine) frozenUntil() int64 {
	until := m.freeze
	for i := range m.peers {
		until = max(until, m.peers[i].frozen)
	}
	return until
}

// expireFreeze ends a freeze by this member's operator whose time is over.
func (m *Machine) expireFreeze() {
	switch {
	case m.freeze == 0:
	case m.now < m.freeze:
		m.wakeAt(m.freeze)
	default:
		m.freeze, m.helloSoon = 0, true
		m.note(CodeUnfrozen, "the time of the freeze is over: voluntary moves are allowed again")
	}
}

// budget returns how many voluntary moves are left, and when the next one comes back if none is.
func (m *Machine) budget() (left int, refill int64) {
	f := &m.flap
	window := int64(m.cfg.FlapWindow)
	for len(f.moves) > 0 && m.now >= f.moves[0]+window {
		f.moves = f.moves[1:]
	}
	left = max(m.cfg.FlapBudget-len(f.moves), 0)
	if left > 0 {
		f.told = false
		return left, 0
	}
	return 0, f.moves[len(f.moves)-m.cfg.FlapBudget] + window
}

// damped reports whether the budget of voluntary moves is used up.
func (m *Machine) damped() bool {
	left, refill := m.budget()
	if left > 0 {
		return false
	}
	m.wakeAt(refill)
	if !m.flap.told {
		m.flap.told = true
		m.note(CodeDamped, fmt.Sprintf("%d voluntary moves within %v: further ones wait", m.cfg.FlapBudget, m.cfg.FlapWindow))
	}
	return true
}

// stop begins the end of this daemon.
func (m *Machine) stop() {
	if m.stopping {
		return
	}
	m.stopping, m.helloSoon = true, true
	m.stopAt = m.now + int64(time.Second)
}

// judgeStop closes a stopping member that nobody relieves in time.
func (m *Machine) judgeStop() {
	if !m.stopping || m.term == 0 {
		return
	}
	if m.anybodyBetter() && m.now < m.stopAt {
		m.wakeAt(m.stopAt)
		return
	}
	m.do(Revoke{})
	m.closed(change{code: CodeStopped, peer: Nobody, reason: "its daemon stops and nobody took over"})
}
