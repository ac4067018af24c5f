// SPDX-License-Identifier: Apache-2.0

package policyplane

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/install"
)

// upAll starts all members without a policy.
func (w *world) upAll() {
	for _, m := range w.members {
		m.up()
	}
}

func TestInstallOnThree(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	w.upAll()
	w.within(5*time.Second, "a problem without a policy", func() bool { s := w.members[0].snap(); return s.Status == StatusProblem && s.BootFilter })
	if got := w.members[0].tables(); got != "holdfast_boot awake" {
		t.Errorf("without a policy the kernel has %s", got)
	}
	w.install(1, bundle(t, 1))
	w.install(2, bundle(t, 2))
	w.all(2)
	for _, m := range w.members {
		if got := m.tables(); got != "filter.g1 asleep, filter.g2 awake" {
			t.Errorf("%s has %s", m.name, got)
		}
		w.within(5*time.Second, m.name+" says so", func() bool {
			s := m.snap()
			return s.Attempt.Confirmed && s.Highest == 2 && s.HighestAttempt == 2 && s.Previous.Generation == 1 && s.InForce.Author == "anna" && s.Frozen == 0 &&
				m.saw(Preparing) && m.saw(Installed) && m.saw(Confirmed) && m.saw(Fetched)
		})
	}
}

func TestOneRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	w.members[2].own = "not-an-address"
	w.upAll()
	b := bundle(t, 1)
	w.server.order(1, b, PhasePrepare, time.Minute)
	w.within(5*time.Second, "two prepared, one refused", func() bool {
		return w.members[0].line.last().Attempt.State == install.Prepared && w.members[1].line.last().Attempt.State == install.Prepared &&
			w.members[2].line.last().Attempt.State == install.Refused
	})
	if why := w.members[2].line.last().Attempt.Why; !strings.Contains(why, "edge.nft:5") && !strings.Contains(why, "holdfast_own") {
		t.Errorf("refused for %q", why)
	}
	w.server.order(1, b, PhaseAbort, 0)
	w.replied(1, install.Aborted)
	for _, m := range w.members {
		w.within(5*time.Second, "nothing is left of it", func() bool { return m.tables() == "holdfast_boot awake" && m.in() == 0 })
	}
}

// TestCutAfterPrepare: all gave their word, management is gone; nobody does anything by itself, until one hears the decision: then all follow it.
func TestCutAfterPrepare(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	w.upAll()
	w.install(1, bundle(t, 1))
	b := bundle(t, 2)
	w.server.order(2, b, PhasePrepare, time.Minute)
	w.replied(2, install.Prepared)
	w.server.set(func() { w.server.away = true })
	w.within(5*time.Second, "doubt", func() bool {
		return w.members[0].snap().InDoubt && w.members[1].snap().InDoubt && w.members[2].snap().InDoubt && w.members[0].saw(InDoubt)
	})
	for _, m := range w.members {
		if m.in() != 1 {
			t.Errorf("%s has %d", m.name, m.in())
		}
	}
	for _, m := range w.members[1:] {
		w.sever(m.name, "management", true)
	}
	w.server.set(func() { w.server.away = false })
	w.server.order(2, b, PhaseCommit, time.Minute)
	w.all(2)
	w.server.order(2, b, PhaseConfirmed, time.Minute)
	w.every(5*time.Second, "all know that it is confirmed", func(m *member) bool { return m.snap().Attempt.Confirmed })
}

// TestAbortReachesOne: the others learn of it by asking.
func TestAbortReachesOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	w.upAll()
	w.install(1, bundle(t, 1))
	b := bundle(t, 2)
	w.server.order(2, b, PhasePrepare, time.Minute)
	w.replied(2, install.Prepared)
	for _, m := range w.members[1:] {
		w.sever(m.name, "management", true)
	}
	w.server.order(2, b, PhaseAbort, 0)
	w.every(5*time.Second, "aborted everywhere", func(m *member) bool {
		return m.snap().Attempt.State == install.Aborted && m.tables() == "filter.g1 awake"
	})
}

// TestRollback: nobody confirms, so all go back by themselves, and take that policy no more, unless it is confirmed after all.
func TestRollback(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	w.upAll()
	w.install(1, bundle(t, 1))
	b := bundle(t, 2)
	w.server.order(2, b, PhasePrepare, 700*time.Millisecond)
	w.replied(2, install.Prepared)
	w.server.order(2, b, PhaseCommit, 700*time.Millisecond)
	for _, m := range w.members { // it may have gone back by now
		w.within(10*time.Second, m.name+" has committed", func() bool { return m.source(2) != "" })
	}
	w.server.set(func() { w.server.away = true })
	w.replied(2, install.RolledBack)
	w.all(1)
	for _, m := range w.members {
		if got := m.tables(); got != "filter.g1 awake, filter.g2 asleep" && got != "filter.g1 awake" {
			t.Errorf("%s has %s", m.name, got)
		}
		w.within(5*time.Second, m.name+" says so", func() bool {
			s := m.snap()
			return m.saw(RolledBack) && s.Attempt.RolledBack && s.Status == StatusOK
		})
		for _, g := range m.snap().History {
			if g.Declined != (g.Generation == 2) {
				t.Errorf("%s: generation %d declined: %v", m.name, g.Generation, g.Declined)
			}
		}
	}
	// Still so after all machines were booted anew.
	for _, m := range w.members {
		m.reboot()
	}
	w.upAll()
	w.all(1)
	w.server.set(func() { w.server.away = false })
	w.server.order(2, b, PhaseConfirmed, 0)
	w.all(2)
}

// TestConfirmedUnheard: all have gone back from what was confirmed before they hear of it, and by then management orders something newer.
func TestConfirmedUnheard(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.upAll()
	w.install(1, bundle(t, 1))
	b := bundle(t, 2)
	w.server.order(2, b, PhasePrepare, 300*time.Millisecond)
	w.replied(2, install.Prepared)
	w.server.order(2, b, PhaseCommit, 300*time.Millisecond)
	w.within(10*time.Second, "it has committed", func() bool { return w.members[0].source(2) != "" })
	w.server.set(func() { w.server.away = true })
	w.replied(2, install.RolledBack)
	w.all(1)
	w.server.order(3, bundle(t, 3), PhaseAbort, 0)
	w.server.set(func() { w.server.away = false })
	w.all(2)
}

// TestRollbackToNothing: the first policy ever is not confirmed; then the boot filter holds again.
func TestRollbackToNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	m := w.members[0].up()
	b := bundle(t, 1)
	w.server.order(1, b, PhasePrepare, 300*time.Millisecond)
	w.replied(1, install.Prepared)
	w.server.order(1, b, PhaseCommit, 300*time.Millisecond)
	w.replied(1, install.RolledBack)
	w.within(5*time.Second, "nothing in force", func() bool { return m.snap().Status == StatusProblem && m.snap().BootFilter })
	if got := m.tables(); got != "holdfast_boot awake" {
		t.Errorf("the kernel has %s", got)
	}
}

// TestReportsWhoIsHeard: management confirms by it, so it must hear of each change, though nothing else has changed.
func TestReportsWhoIsHeard(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.upAll()
	w.install(1, bundle(t, 1))
	m := w.members[0]
	hears := func(yes bool) func() bool {
		return func() bool {
			peers := m.line.last().Peers
			return len(peers) == 1 && peers[0].Heard == yes
		}
	}
	w.within(5*time.Second, "the other is reported as heard", hears(true))
	for range 2 {
		w.sever(m.name, w.members[1].name, true)
		w.within(5*time.Second, "the other is reported as not heard", hears(false))
		w.sever(m.name, w.members[1].name, false)
		w.within(5*time.Second, "the other is reported as heard again", hears(true))
	}
}

// TestRematch: a policy that wants it is matched with the connections that are there, once, and not before it stays.
func TestRematch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	m := w.members[0].up()
	b := bundle(t, 1, func(b *policy.Bundle) { b.Connections = policy.RematchConnections })
	w.server.order(1, b, PhasePrepare, time.Minute)
	w.replied(1, install.Prepared)
	w.server.order(1, b, PhaseCommit, time.Minute)
	w.replied(1, install.Committed)
	if m.saw(Rematched) {
		t.Error("before it stays")
	}
	w.server.order(1, b, PhaseConfirmed, time.Minute)
	w.within(5*time.Second, "looked at", func() bool { return m.saw(Rematched) })
	w.install(2, bundle(t, 2))
	n := 0
	m.mu.Lock()
	for _, e := range m.events {
		if e.Kind == Rematched || e.Kind == Failed {
			n++
		}
	}
	m.mu.Unlock()
	if n != 1 {
		t.Errorf("%d times, events %v", n, m.events)
	}
}
