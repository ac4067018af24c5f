// SPDX-License-Identifier: Apache-2.0

package install

import (
	"fmt"

	"github.com/holdfast-project/holdfast/policy"
)

func (m *Machine) prepare(a Attempt) {
	switch {
	case a.same(m.at) && m.state != Idle:
		m.heard = m.now
		switch m.state {
		case Prepared, Committed:
			m.reply(a, m.state, "")
		}
	case a.Number != 0 && a.Number <= m.d.Ended: // said again, or late: it is over
		m.over(a)
	case m.state != Idle && a.Number <= m.at.Number:
		m.reply(a, Refused, fmt.Sprintf("attempt %d came after attempt %d", a.Number, m.at.Number))
	case m.state == Committing || m.state == RollingBack: // that one first; management asks again
	case m.state == Prepared || m.state == Committed || m.state == Loading && m.d.Prepared.same(m.at):
		// It gave its word for the other one, and others may have committed that: management has to say how it ended first.
		m.reply(a, Refused, fmt.Sprintf("attempt %d is not decided here", m.at.Number))
		m.out = append(m.out, AskManagement{m.at})
	case a.Number == 0 || a.Policy.None():
		m.reply(a, Refused, "an attempt without a number, or without a policy")
	case a.Policy.Generation < m.d.InForce.Generation:
		m.reply(a, Refused, fmt.Sprintf("generation %d is in force, %d is older", m.d.InForce.Generation, a.Policy.Generation))
	case a.Policy.Generation == m.d.InForce.Generation && a.Policy.Digest != m.d.InForce.Digest:
		m.reply(a, Refused, fmt.Sprintf("generation %d is in force with digest %s, not %s", m.d.InForce.Generation, m.d.InForce.Digest.Short(), a.Policy.Digest.Short()))
	case a.Policy.Digest == m.d.InForce.Digest: // it came by other means, and how that ends is not for this attempt to say
		m.d.Ended = a.Number
		m.save()
		m.over(a)
	default:
		if m.state != Idle { // no word was given for that one
			m.forget(m.at)
		}
		m.at, m.state, m.heard = a, Loading, m.now
		m.out = append(m.out, Load{a})
	}
}

// over repeats how an attempt ended.
func (m *Machine) over(a Attempt) {
	switch {
	case a.same(m.d.Confirmed) && a.Policy.Generation <= m.d.InForce.Generation:
		m.reply(a, Confirmed, "")
	case a.same(m.d.Confirmed): // not in force: unloaded, or recovery brings it again, and then there is something to say
	case a.same(m.d.RolledBack):
		m.reply(a, RolledBack, "")
	case a.Policy.Digest == m.d.InForce.Digest || a.Policy.Generation < m.d.InForce.Generation && a.Number != m.d.Aborted:
		m.reply(a, Committed, "")
	default:
		m.reply(a, Aborted, "")
	}
}

func (m *Machine) loaded(a Attempt) {
	if m.state != Loading || !a.same(m.at) {
		return
	}
	again := m.d.Prepared.same(a) // after a crash: the word was given before
	m.state, m.d.Prepared = Prepared, m.at
	if again {
		m.heard = 0
		m.ask()
		return
	}
	m.save()
	m.heard = m.now
	m.reply(a, Prepared, "")
}

func (m *Machine) notLoaded(a Attempt, why string) {
	if m.state != Loading || !a.same(m.at) {
		return
	}
	if m.d.Prepared.same(a) {
		// The word stands. What cannot be loaded any more is loaded again when management says commit.
		m.state, m.heard = Prepared, 0
		m.reply(a, Prepared, why)
		m.ask()
		return
	}
	m.state, m.at, m.d.Ended = Idle, Attempt{}, a.Number
	m.save()
	m.reply(a, Refused, why)
}

func (m *Machine) decided(a Attempt, d Decision) {
	switch {
	case m.state != Idle && a.same(m.at):
		m.under(d, "management")
		if d != RollBack && m.state == Committed && a.same(m.at) {
			m.heard = m.now
			m.reply(a, Committed, "") // it did not hear that
		}
	case d == Unknown:
	case d == Confirm:
		m.confirm(a)
		m.over(a)
	case d == RollBack:
		if !m.decline(a, "management says so") {
			m.over(a)
		}
	case a.Number <= m.d.Ended:
		m.over(a)
	case d == Abort: // before its prepare came, or that was refused
		m.d.Aborted, m.d.Ended = max(m.d.Aborted, a.Number), max(m.d.Ended, a.Number)
		m.save()
		m.reply(a, Aborted, "")
	}
}

// under is what was decided of the attempt under way, by whom.
func (m *Machine) under(d Decision, by string) {
	a := m.at
	switch {
	case (d == Commit || d == Confirm) && (m.state == Prepared || m.state == Committing):
		if d == Confirm {
			m.d.Confirmed = a // so that its commit is all
		}
		if m.state == Prepared {
			m.commit()
		}
	case d == Confirm && m.state == Committed:
		m.confirmed(a)
	case d == Confirm && m.state == RollingBack && !a.same(m.d.Confirmed): // too late: recovery brings it again
		m.d.Confirmed = a
		m.save()
	case d == RollBack && (m.state == Committed || m.state == Committing && a.Confirm > 0 && !a.same(m.d.Confirmed)):
		// While it commits, the kernel may have made the change or not: it goes back in either case, or a kernel that never makes it would
		// hold up all that comes after.
		m.d.Prepared = Attempt{}
		m.back(by + " says so")
	case d == RollBack && (m.state == Prepared || m.state == Loading):
		m.gone(a)
		m.forget(a)
		m.reply(a, RolledBack, "")
	case d == Abort && (m.state == Prepared || m.state == Loading):
		m.d.Aborted = max(m.d.Aborted, a.Number)
		m.forget(a)
		m.reply(a, Aborted, "")
	case d == Unknown && m.state == Prepared:
		m.heard = m.now // management is there, and has not decided
	}
}

func (m *Machine) commit() {
	m.state, m.asked = Committing, m.now
	m.out = append(m.out, Switch{m.at})
}

func (m *Machine) committed() {
	a := m.at
	if m.d.InForce.Digest != a.Policy.Digest {
		m.d.Previous = m.d.InForce
	}
	m.d.InForce, m.d.Prepared, m.d.Ended = a.Policy, Attempt{}, max(m.d.Ended, a.Number)
	m.d.Declined = without(m.d.Declined, a.Policy.Digest)
	if a.Confirm <= 0 || a.same(m.d.Confirmed) {
		m.confirmed(a)
		return
	}
	m.d.Unconfirmed = a
	m.wait(a)
	m.save()
	m.reply(a, Committed, "")
}

// forget ends the attempt that is under way.
func (m *Machine) forget(a Attempt) {
	m.d.Prepared, m.d.Ended = Attempt{}, max(m.d.Ended, a.Number)
	m.state, m.at = Idle, Attempt{}
	m.save()
	m.out = append(m.out, Unload{a})
}

func (m *Machine) replaced(o policy.Offer) {
	if !o.None() && o.Digest != m.d.InForce.Digest {
		if !m.d.InForce.None() && m.d.InForce.Generation < o.Generation {
			m.d.Previous = m.d.InForce
		} else if m.d.Previous.Digest == o.Digest {
			m.d.Previous = policy.Offer{}
		}
	}
	m.d.InForce = o
	switch m.state {
	case Idle:
		m.save()
		switch {
		case o.None():
		case o.Digest == m.d.Confirmed.Policy.Digest:
			m.reply(m.d.Confirmed, Confirmed, "")
		case o.Digest == m.d.RolledBack.Policy.Digest: // it was under way when the others went back
			m.at = m.d.RolledBack
			m.back("it was rolled back")
		}
	case Committed, RollingBack:
		if o.Generation > m.at.Policy.Generation { // the cluster is past it
			a := m.at
			m.d.Unconfirmed, m.d.Reverting = Attempt{}, false
			m.state, m.at = Idle, Attempt{}
			m.save()
			m.over(a)
			return
		}
		m.save()
	default:
		switch {
		case o.Digest == m.at.Policy.Digest:
			m.committed()
		case o.Generation >= m.at.Policy.Generation: // the attempt is behind
			m.forget(m.at)
		default:
			m.save()
		}
	}
}
