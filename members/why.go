// SPDX-License-Identifier: Apache-2.0

package members

import "fmt"

// Why says in one line why this member is in its state, naming the cause.
func (m *Machine) Why() string {
	s := fmt.Sprintf("%s is %s: %s", m.name(m.self), m.state, m.reasonNow())
	if c := &m.claim; c.cause != 0 {
		s += fmt.Sprintf("; it claims (%s)", c.cause)
		if c.held != "" {
			s += ", but " + c.held
		}
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
	if m.forcedTo(id) {
		return s + "; the ordered hand-over to it waits until it is fit"
	}
	if p.state != StateStandby || m.server == Nobody {
		return s
	}
	switch {
	case m.cfg.Recovery == RecoveryMaintainCurrent:
		return s + "; " + m.name(m.server) + " serves, and nothing moves back by itself"
	case m.server < p.id:
		return s + "; " + m.name(m.server) + " has the higher priority"
	}
	return s + "; it is to take over after the hold-down"
}
