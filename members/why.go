// SPDX-License-Identifier: Apache-2.0

package members

import (
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/members/device"
)

// Why says in one line why this member is in its state, naming the cause.
func (m *Machine) Why() string {
	s := fmt.Sprintf("%s is %s: %s", m.name(m.self), m.state, m.reasonNow())
	switch c := &m.claim; {
	case c.cause != 0:
		s += fmt.Sprintf("; it claims (%s)", c.cause)
		if c.held != "" {
			s += ", but " + c.held
		}
	case m.forcedTo(m.self):
		return s + m.whyNotForced()
	case m.state == StateReady && m.withoutPolicy():
		s += "; it passes no traffic and does not serve"
	case m.state == StateReady:
		s += "; it takes over only if nobody fit is there"
	case m.state == StateStandby && m.server != Nobody:
		s += m.whyNoMove(m.self)
	}
	return s
}

// WhyNot says in one line why the member peer does not serve; for the one that serves, why it does.
func (m *Machine) WhyNot(id uint8) string {
	if id == m.self {
		return m.Why()
	}
	p := m.peer(id)
	if p == nil {
		return fmt.Sprintf("there is no member %d", id)
	}
	s := fmt.Sprintf("%s is %s: %s", p.name, p.state, m.peerReason(p))
	switch {
	case m.forcedTo(id):
		return s + m.whyNotForced()
	case p.state == StateReady && p.says(device.Policy, device.Init):
		s += "; it passes no traffic and does not serve"
	case p.state == StateReady:
		s += "; it takes over only if nobody fit is there"
	case p.state == StateStandby && m.server != Nobody:
		s += "; " + m.name(m.server) + " serves" + m.whyNoMove(id)
	}
	return s
}

// whyNotForced says what the ordered hand-over waits for.
func (m *Machine) whyNotForced() string {
	if m.frozen() {
		return "; the ordered hand-over to it waits: " + m.frozenText()
	}
	return "; the ordered hand-over to it waits until it is fit"
}

// whyNoMove says why serving stays where it is although the member id, not this server, is fit.
func (m *Machine) whyNoMove(id uint8) string {
	if text := m.whyNoRelief(id); text != "" {
		return ", has a problem, and " + text
	}
	switch f := &m.force; {
	case f.to == m.server && f.until != 0:
		return " by the operator's order, for " + m.left(f.until) + " more"
	case f.to == m.server:
		return " by the operator's order"
	case m.cfg.Recovery == RecoveryMaintainCurrent:
		return ", and nothing moves back by itself (maintain-current)"
	case m.server < id:
		return " and has the higher priority"
	case m.frozen():
		return "; " + m.frozenText()
	}
	if until := m.dampedUntil(id); until > m.now {
		return "; the flap budget is used up for " + m.left(until) + " more"
	}
	if id == m.self && m.fitSince != 0 {
		return "; it takes over after the hold-down, in " + m.left(max(m.fitSince, m.lastMove.At)+m.t.holdDown)
	}
	return "; it takes over after the hold-down"
}

// whyNoRelief says why the fit member id has not relieved a server with a problem, or nothing if that has none.
func (m *Machine) whyNoRelief(id uint8) string {
	name, only := m.name(id), false
	if p := m.peer(m.server); m.server == m.self {
		if m.weight() == 0 {
			return ""
		}
		only = onlyInterfaces(m.problems())
	} else if m.peerCandidate(p).class() != classBroken {
		return ""
	} else {
		only = onlyInterfaces(p.hello.Devices)
	}
	if until := m.dampedUntil(id); until > m.now {
		return name + " has used its flap budget up and waits for the hold-down"
	}
	if only {
		return name + " has no proof that the fault is not the segment's"
	}
	return name + " is about to take over"
}

// whyNotRelieved says of each other member why it does not relieve this one.
func (m *Machine) whyNotRelieved() string {
	if len(m.peers) == 0 {
		return "there is no other member"
	}
	var each []string
	for i := range m.peers {
		p := &m.peers[i]
		switch p.state {
		case StateStandby:
			each = append(each, m.whyNoRelief(p.id))
		case StateDown, StateReady:
			each = append(each, fmt.Sprintf("%s is %v (%s)", p.name, p.state, m.peerReason(p)))
		default:
			each = append(each, fmt.Sprintf("%s is %v", p.name, p.state))
		}
	}
	return "no other member can take over: " + strings.Join(each, ", ")
}

// dampedUntil returns until when the member makes no voluntary move since its budget is used up, 0 if it may.
func (m *Machine) dampedUntil(id uint8) int64 {
	if id == m.self {
		_, refill := m.budget()
		return refill
	}
	p := m.peer(id)
	if p == nil || p.hello.Budget.Damped == 0 {
		return 0
	}
	return p.helloAt + int64(p.hello.Budget.Damped)
}

func (m *Machine) frozenText() string {
	return "voluntary moves are frozen for " + m.left(m.frozenUntil()) + " more"
}

// left is the time until at in words, to a tenth of a second.
func (m *Machine) left(at int64) string {
	return time.Duration(max(at-m.now, 0)).Round(100 * time.Millisecond).String()
}
