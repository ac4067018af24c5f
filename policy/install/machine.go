// SPDX-License-Identifier: Apache-2.0

package install

import (
	"fmt"
	"slices"
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
