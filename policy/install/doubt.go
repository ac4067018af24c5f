// SPDX-License-Identifier: Apache-2.0

package install

import (
	"fmt"
	"slices"

	"github.com/holdfast-project/holdfast/policy"
)

func (m *Machine) tell(e Asked) {
	t := Told{Attempt: e.Attempt, InForce: m.d.InForce}
	a := e.Attempt
	switch {
	case a.same(m.d.Confirmed):
		t.Decision = Confirm
	case a.same(m.d.RolledBack) || a.same(m.at) && m.state == RollingBack:
		t.Decision = RollBack
	case a.None() && a.Policy.Digest == m.d.Confirmed.Policy.Digest:
		t.Attempt, t.Decision = m.d.Confirmed, Confirm
	case a.None() && slices.Contains(m.d.Declined, a.Policy.Digest):
		t.Attempt.Number, t.Decision = forgotten, RollBack
	case a.Policy.Digest == m.d.InForce.Digest:
		t.Decision = Commit
	case m.d.Aborted == a.Number:
		t.Decision = Abort
	}
	m.out = append(m.out, Tell{e.From, t})
}

// maxAhead is how far a peer's newest attempt may be ahead of this member's: far more than are made while one is away. Attempts that are not
// newer than one that is over are over too, so one number from a peer that errs must not use up all that there are.
const maxAhead = 1 << 20

func (m *Machine) told(e Told) {
	same := m.state != Idle && e.Attempt.same(m.at)
	switch {
	case same && e.Decision != Unknown && (m.state != Loading || m.d.Prepared.same(m.at)):
		m.under(e.Decision, e.From)
	case m.state == Prepared && e.InForce.Digest == m.at.Policy.Digest && (e.Decision != RollBack || !same):
		m.commit() // management has decided so
	case same || e.Attempt.None():
		m.wonder(e.InForce)
	case e.Attempt.Number > max(m.d.Ended, m.d.Prepared.Number, m.at.Number)+maxAhead:
	case e.Decision == Confirm:
		m.confirm(e.Attempt)
		m.wonder(e.InForce)
	case e.Decision == RollBack:
		m.decline(e.Attempt, e.From+" says so")
		m.wonder(e.InForce)
	default:
		m.wonder(e.InForce)
	}
}

func (m *Machine) tick() {
	doubt := m.now-m.heard >= int64(m.cfg.Doubt) && m.now-m.asked >= int64(m.cfg.Ask)
	switch m.state {
	case Committing:
		if m.now-m.asked >= int64(m.cfg.Ask) {
			m.commit()
		}
	case RollingBack:
		if m.now-m.asked >= int64(m.cfg.Ask) {
			m.revert()
		}
	case Prepared:
		if doubt {
			m.ask()
		}
	case Committed:
		switch {
		case m.now >= m.until:
			m.back(fmt.Sprintf("not confirmed within %v", m.at.Confirm))
		case doubt:
			m.ask()
		}
	}
}

// ask asks peers and management in turns.
func (m *Machine) ask() {
	m.asked, m.peers = m.now, !m.peers
	if m.peers {
		m.out = append(m.out, AskPeers{m.at})
	} else {
		m.out = append(m.out, AskManagement{m.at})
	}
}

func without(list []policy.Digest, d policy.Digest) []policy.Digest {
	if !slices.Contains(list, d) {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), func(x policy.Digest) bool { return x == d })
}
