// SPDX-License-Identifier: Apache-2.0

package install

import (
	"time"

	"github.com/holdfast-project/holdfast/policy"
)

// Config is times, positive.
type Config struct {
	Doubt time.Duration // silence after which a member that waits for a decision asks
	Ask   time.Duration // between two rounds of asking, and between two tries of the kernel
}

// Machine is a member's part in installs. Not safe for concurrent use.
type Machine struct {
	cfg   Config
	d     Durable
	state State   // Idle, Loading, Prepared, Committing, Committed, RollingBack
	at    Attempt // unless Idle
	heard int64   // when management, or a peer that knew, was last heard of it
	asked int64   // when the last round of asking was, or the last try of the kernel
	peers bool    // the last round was to peers, so the next is to management
	until int64   // Committed: when it goes back by itself
	why   string  // RollingBack

	wondered int64 // when peers were asked of what is in force; 0: not
	out      []Effect
	now      int64
}

// New begins, or goes on after a crash: d is what was saved last, inForce what the kernel has. A prepared policy is loaded again, in case the
// kernel lost it, and the member is in doubt at once. One that waited for its confirmation waits for the whole of it again, and asks at once.
func New(cfg Config, d Durable, inForce policy.Offer, now int64) (*Machine, []Effect) {
	m := &Machine{cfg: cfg, d: d, now: now}
	switch {
	case !d.Prepared.None() && inForce.Digest == d.Prepared.Policy.Digest: // committed, and the machine died before it was written down
		m.at = d.Prepared
		if m.committed(); m.state == Committed {
			m.ask()
		}
	case !d.Prepared.None():
		m.at, m.state = d.Prepared, Loading
		m.out = append(m.out, Load{m.at})
	case !d.Unconfirmed.None() && d.Reverting:
		m.at, m.state, m.why = d.Unconfirmed, RollingBack, "the member went down while it went back"
		m.revert()
	case !d.Unconfirmed.None():
		m.wait(d.Unconfirmed)
		m.reply(m.at, Committed, "")
		m.ask()
	}
	return m, m.flush()
}

// State is where the member is, and with which attempt.
func (m *Machine) State() (State, Attempt) { return m.state, m.at }

// Durable is what was saved last.
func (m *Machine) Durable() Durable { return m.d }

// Deadline is when a member that is Committed goes back by itself; 0 in any other state.
func (m *Machine) Deadline() int64 {
	if m.state == Committed {
		return m.until
	}
	return 0
}

// InDoubt reports whether the member gave its word and hears nothing; since is when it last did.
func (m *Machine) InDoubt() (yes bool, since int64) {
	return m.state == Prepared && m.now-m.heard >= int64(m.cfg.Doubt), m.heard
}

// Said is what this member's HELLO says of installs: the newest that it knows of.
func (m *Machine) Said() (Attempt, State, Decision) {
	switch {
	case m.state == Committed:
		return m.at, Committed, Commit
	case m.state == RollingBack:
		return m.at, RollingBack, RollBack
	case m.state == Committing:
		return m.at, Committing, Commit
	case m.state != Idle:
		return m.at, m.state, Unknown
	case m.d.RolledBack.Number > m.d.Confirmed.Number:
		return m.d.RolledBack, RolledBack, RollBack
	case !m.d.Confirmed.None():
		return m.d.Confirmed, Confirmed, Confirm
	}
	return Attempt{}, Idle, Unknown
}

func (m *Machine) flush() []Effect {
	if wake := m.wake(); wake != 0 {
		m.out = append(m.out, WakeAt{wake})
	}
	out := m.out
	m.out = nil
	return out
}

func (m *Machine) wake() int64 {
	ask := max(m.heard+int64(m.cfg.Doubt), m.asked+int64(m.cfg.Ask))
	switch m.state {
	case Prepared:
		return max(ask, m.now+1)
	case Committed:
		return max(min(ask, m.until), m.now+1)
	case Committing, RollingBack:
		return max(m.asked+int64(m.cfg.Ask), m.now+1)
	}
	return 0
}

// Step takes an event and returns what is to be done. now never goes back.
func (m *Machine) Step(now int64, e Event) []Effect {
	m.now = max(m.now, now)
	switch e := e.(type) {
	case Prepare:
		m.prepare(e.Attempt)
	case Decided:
		m.decided(e.Attempt, e.Decision)
	case Loaded:
		m.loaded(e.Attempt)
	case NotLoaded:
		m.notLoaded(e.Attempt, e.Why)
	case Switched:
		if m.state == Committing && e.Attempt.same(m.at) {
			m.committed()
		}
	case NotSwitched:
		m.failed(Committing, e.Attempt, e.Why)
	case Reverted:
		if m.state == RollingBack && e.Attempt.same(m.at) {
			m.reverted(e.InForce)
		}
	case NotReverted:
		m.failed(RollingBack, e.Attempt, e.Why)
	case Asked:
		m.tell(e)
	case Told:
		m.told(e)
	case Replaced:
		m.replaced(e.InForce)
	case Kept:
		m.kept(e.Policy)
	case Tick:
		m.tick()
	}
	return m.flush()
}

func (m *Machine) reply(a Attempt, s State, why string) { m.out = append(m.out, Reply{a, s, why}) }

func (m *Machine) save() { m.out = append(m.out, Save{m.d}) }

// failed waits for the next tick to try the kernel again.
func (m *Machine) failed(s State, a Attempt, why string) {
	if m.state == s && a.same(m.at) {
		m.asked = m.now
		m.reply(m.at, s, why)
	}
}
