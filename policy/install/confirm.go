// SPDX-License-Identifier: Apache-2.0

package install

import (
	"slices"

	"github.com/holdfast-project/holdfast/policy"
)

// wait waits for the confirmation of what was committed.
func (m *Machine) wait(a Attempt) {
	m.at, m.state, m.heard, m.until = a, Committed, m.now, m.now+int64(a.Confirm)
}

// confirmed ends the attempt under way, which is in force: it stays.
func (m *Machine) confirmed(a Attempt) {
	m.d.Confirmed, m.d.Unconfirmed = a, Attempt{}
	m.state, m.at = Idle, Attempt{}
	m.save()
	m.reply(a, Confirmed, "")
}

// confirm notes that an attempt that is not under way is confirmed. Who has gone back from it comes back to it, by recovery: a confirmation is
// written down before it is told, so the others stay with it.
func (m *Machine) confirm(a Attempt) {
	if a.Number <= m.d.Confirmed.Number && !slices.Contains(m.d.Declined, a.Policy.Digest) {
		return
	}
	m.d.Declined = without(m.d.Declined, a.Policy.Digest)
	if a.Number > m.d.Confirmed.Number {
		m.d.Confirmed = a
	}
	if a.same(m.d.RolledBack) {
		m.d.RolledBack = Attempt{}
	}
	m.d.Ended = max(m.d.Ended, a.Number)
	m.save()
}

// kept takes back that a policy is declined which was confirmed after all, when no member heard of it before all had gone back and there was a
// newer attempt: then no peer can tell, and management's orders are about the newer one.
func (m *Machine) kept(o policy.Offer) {
	if !slices.Contains(m.d.Declined, o.Digest) || m.state != Idle && m.at.Policy.Digest == o.Digest {
		return
	}
	a := m.d.RolledBack
	if a.Policy.Digest != o.Digest { // which attempt that was is forgotten; it came after the last that is known to be confirmed
		a = Attempt{Number: m.d.Confirmed.Number + 1, Policy: o}
	}
	m.confirm(a)
}

// decline notes that an attempt that is not under way was rolled back. What is in force by it, and is not known to be confirmed, goes back as
// well: recovery brought it from a peer that waited. It reports whether it does.
func (m *Machine) decline(a Attempt, why string) bool {
	if a.Policy.Digest == m.d.Confirmed.Policy.Digest || a.same(m.d.RolledBack) {
		return false
	}
	if a.Policy.Digest == m.d.InForce.Digest {
		if m.state != Idle {
			return false
		}
		m.at = a
		m.back(why)
		return true
	}
	if a.Number > m.d.RolledBack.Number && a.Policy.Generation > m.d.InForce.Generation {
		m.gone(a)
		m.d.Ended = max(m.d.Ended, a.Number)
		m.save()
	}
	return false
}

// forgotten is the number of an attempt of which only its policy is known to have been rolled back.
const forgotten = 1

// wonder asks peers how a policy came out, where members differ and none says why, since a HELLO tells of the newest attempt only: of the policy in
// force, if that is not known and the peer has an older one, or none (it came by recovery, from somebody who waited); and of the peer's, if this
// member went back from that (by itself, and the others may have been confirmed).
func (m *Machine) wonder(theirs policy.Offer) {
	if m.state != Idle || m.wondered != 0 && m.now-m.wondered < int64(m.cfg.Doubt) {
		return
	}
	ours := m.d.InForce
	switch {
	case !theirs.None() && slices.Contains(m.d.Declined, theirs.Digest):
		m.out = append(m.out, AskPeers{Attempt{Policy: theirs}})
	case !ours.None() && theirs.Generation < ours.Generation && ours.Digest != m.d.Confirmed.Policy.Digest:
		m.out = append(m.out, AskPeers{Attempt{Policy: ours}})
	default:
		return
	}
	m.wondered = m.now
}

// back begins to go back from what is in force by the attempt under way.
func (m *Machine) back(why string) {
	m.state, m.why = RollingBack, why
	m.d.Unconfirmed, m.d.Reverting = m.at, true
	m.save()
	m.revert()
}

func (m *Machine) revert() {
	m.asked = m.now
	to := m.d.Previous
	if !m.d.InForce.None() && m.d.InForce.Digest != m.at.Policy.Digest { // it was never written down to be in force
		to = m.d.InForce
	}
	m.out = append(m.out, Revert{m.at, to})
}

func (m *Machine) reverted(inForce policy.Offer) {
	a := m.at
	m.d.InForce, m.d.Unconfirmed, m.d.Reverting = inForce, Attempt{}, false
	if m.d.Previous.Digest == inForce.Digest {
		m.d.Previous = policy.Offer{}
	}
	m.d.Ended = max(m.d.Ended, a.Number)
	if !a.same(m.d.Confirmed) {
		m.gone(a)
	}
	m.state, m.at = Idle, Attempt{}
	m.save()
	if a.Number >= m.d.Ended {
		m.reply(a, RolledBack, m.why)
	}
}

// gone notes that the attempt was rolled back, and that nobody here takes its policy again.
func (m *Machine) gone(a Attempt) {
	if a.Number > m.d.RolledBack.Number {
		m.d.RolledBack = a
	}
	list := append(without(slices.Clone(m.d.Declined), a.Policy.Digest), a.Policy.Digest)
	m.d.Declined = list[max(0, len(list)-MaxDeclined):]
}
