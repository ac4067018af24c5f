// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"slices"

	"github.com/holdfast-project/holdfast/management"
)

// wake is when a decision may be due though nothing happens; 0: not before something does.
func (m *Machine) wake() int64 {
	switch {
	case m.done || m.writing: // its answer comes first
		return 0
	case m.now < m.retry:
		return m.retry
	case m.a.Phase == management.Preparing && m.taken != 0:
		return m.taken + int64(m.cfg.Silence)
	case m.a.Phase == management.Preparing:
		return m.wakePreparing()
	case m.a.Phase == management.Committed:
		if early := m.taken + int64(m.cfg.Silence); m.taken != 0 && m.now < early {
			return early
		}
		if expired := m.expired(); m.now < expired {
			return min(m.deadline(), expired)
		}
		return m.deadline()
	case m.now < m.since+int64(m.cfg.Silence):
		return m.since + int64(m.cfg.Silence)
	default:
		return m.now + int64(m.cfg.Silence)
	}
}

func (m *Machine) wakePreparing() int64 {
	at := m.deadline()
	if m.now >= at {
		_, _, at = m.tried()
	}
	if slices.ContainsFunc(m.trials, func(t trial) bool { return !t.asked }) {
		at = min(at, m.now+int64(m.cfg.Silence)) // somebody may have become silent
		if m.a.BestEffort && m.now < m.slow() {
			at = min(at, m.slow())
		}
	}
	return at
}
