// SPDX-License-Identifier: Apache-2.0

package install

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/policy"
)

// waiting is attempt 1, of generation 6, in force in place of 5 and not confirmed: committed at 2 s, for 10 s.
func waiting(t *testing.T) (*Machine, Attempt) {
	t.Helper()
	a := attempt(1, 6, 6)
	a.Confirm = 10 * time.Second
	m, _ := New(short, Durable{InForce: policy.Offer{Generation: 5, Digest: policy.Digest{5}}}, policy.Offer{}, 0)
	play(t, m, []step{
		{1 * time.Second, Prepare{a}, "load 6"},
		{1 * time.Second, Loaded{a}, "save 5/1, 1 prepared, wake 2s"},
		{2 * time.Second, Decided{attempt(1, 6, 6), Commit}, "switch 6, wake 3s"},
		{2 * time.Second, Switched{a}, "save 6/0, 1 committed, wake 3s"},
	})
	if s, at := m.State(); s != Committed || at != a || m.Deadline() != int64(12*time.Second) || m.Durable().Unconfirmed != a {
		t.Fatalf("%v of %v until %v", s, at, time.Duration(m.Deadline()))
	}
	return m, a
}

func TestConfirmed(t *testing.T) {
	m, a := waiting(t)
	other := attempt(2, 7, 7)
	play(t, m, []step{
		{2 * time.Second, Prepare{a}, "1 committed, wake 3s"},
		{2 * time.Second, Decided{a, Commit}, "1 committed, wake 3s"},
		{2 * time.Second, Decided{a, Abort}, "1 committed, wake 3s"}, // cannot be
		{2 * time.Second, Told{From: "x", Attempt: a, InForce: a.Policy, Decision: Commit}, "wake 3s"},
		{2 * time.Second, Told{From: "x", Attempt: other, Decision: RollBack}, "save 6/0, wake 3s"},
		{2 * time.Second, Asked{"x", a}, "tell x 6 decision 1, wake 3s"},
		{3 * time.Second, Tick{}, "AskPeers, wake 4s"},
		{3 * time.Second, Prepare{attempt(3, 8, 8)}, "3 refused, AskManagement, wake 4s"},
		{4 * time.Second, Tick{}, "AskManagement, wake 5s"},
		{4 * time.Second, Decided{a, Confirm}, "save 6/0, 1 confirmed"},
		{4 * time.Second, Decided{a, Confirm}, "1 confirmed"},
		{4 * time.Second, Asked{"x", a}, "tell x 6 decision 3"},
		{5 * time.Second, Decided{a, RollBack}, "1 confirmed"}, // cannot be
		{5 * time.Second, Told{From: "x", Attempt: a, Decision: RollBack}, ""},
		{60 * time.Second, Tick{}, ""},
	})
	if at, s, d := m.Said(); at.Number != 2 || s != RolledBack || d != RollBack { // of 2 it only heard, which is newer
		t.Error(at, s, d)
	}
	// Unloaded by an operator: nothing was taken back, whatever is said again, and loaded again it is confirmed.
	play(t, m, []step{
		{61 * time.Second, Replaced{}, "save 0/0"},
		{62 * time.Second, Decided{a, Confirm}, ""},
		{63 * time.Second, Replaced{a.Policy}, "save 6/0, 1 confirmed"},
	})
	m, a = waiting(t)
	play(t, m, []step{{3 * time.Second, Told{From: "x", Attempt: a, Decision: Confirm}, "save 6/0, 1 confirmed"}})
	if at, s, d := m.Said(); at.Number != 1 || s != Confirmed || d != Confirm || m.Deadline() != 0 {
		t.Error(at, s, d)
	}
}

func TestRollsBackByItself(t *testing.T) {
	m, a := waiting(t)
	old := policy.Offer{Generation: 5, Digest: policy.Digest{5}}
	play(t, m, []step{
		{11500 * time.Millisecond, Tick{}, "AskPeers, wake 12s"},
		{12 * time.Second, Tick{}, "save 6/0, revert 6 to 5, wake 13s"},
	})
	if d := m.Durable(); !d.Reverting || d.Unconfirmed != a {
		t.Errorf("%+v", d)
	}
	if at, s, d := m.Said(); at != a || s != RollingBack || d != RollBack {
		t.Error(at, s, d)
	}
	// It dies here, and comes up again.
	m, effects := New(short, m.Durable(), a.Policy, int64(12*time.Second))
	if got := tell(effects); got != "revert 6 to 5, wake 13s" {
		t.Fatal(got)
	}
	play(t, m, []step{
		{12100 * time.Millisecond, NotReverted{a, "busy"}, "1 rolling back, wake 13.1s"},
		{12200 * time.Millisecond, Prepare{attempt(2, 7, 7)}, "wake 13.1s"},
		{12200 * time.Millisecond, Decided{a, Commit}, "wake 13.1s"},
		{13100 * time.Millisecond, Tick{}, "revert 6 to 5, wake 14.1s"},
		{13200 * time.Millisecond, Reverted{a, old}, "save 5/0, 1 rolled back"},
		{14 * time.Second, Decided{a, RollBack}, "1 rolled back"},
		{14 * time.Second, Decided{a, Commit}, "1 rolled back"},
		{14 * time.Second, Asked{"x", a}, "tell x 5 decision 4"},
		{15 * time.Second, Told{From: "x", Attempt: a, InForce: a.Policy, Decision: Commit}, "AskPeers"}, // has it been confirmed since?
	})
	d := m.Durable()
	if d.InForce != old || d.Reverting || !d.Unconfirmed.None() || d.RolledBack.Number != 1 || !slices.Equal(d.Declined, []policy.Digest{{6}}) {
		t.Errorf("%+v", d)
	}
	// It is confirmed after all: recovery takes it again, and nothing is left of the rollback.
	play(t, m, []step{
		{16 * time.Second, Told{From: "x", Attempt: a, InForce: a.Policy, Decision: Confirm}, "save 5/0"},
		{16 * time.Second, Decided{a, Confirm}, ""}, // not in force yet
		{17 * time.Second, Replaced{a.Policy}, "save 6/0, 1 confirmed"},
		{18 * time.Second, Told{From: "y", Attempt: a, Decision: RollBack}, ""}, // who has not heard it yet
	})
	if d := m.Durable(); len(d.Declined) != 0 || !d.RolledBack.None() || d.Confirmed.Number != 1 {
		t.Errorf("%+v", d)
	}
}

func TestToldOfARollback(t *testing.T) {
	old := policy.Offer{Generation: 5, Digest: policy.Digest{5}}
	m, a := waiting(t)
	play(t, m, []step{
		{3 * time.Second, Told{From: "x", Attempt: a, InForce: a.Policy, Decision: RollBack}, "save 6/0, revert 6 to 5, wake 4s"},
		// The confirmation was on its way: it goes back and comes again.
		{3 * time.Second, Decided{a, Confirm}, "save 6/0, wake 4s"},
		{3 * time.Second, Reverted{a, old}, "save 5/0, 1 rolled back"},
	})
	if d := m.Durable(); len(d.Declined) != 0 || d.Confirmed.Number != 1 || !d.RolledBack.None() {
		t.Errorf("%+v", d)
	}

	// One that gave its word only.
	m, _ = New(short, Durable{InForce: old}, old, 0)
	play(t, m, []step{
		{1 * time.Second, Prepare{a}, "load 6"},
		{1 * time.Second, Loaded{a}, "save 5/1, 1 prepared, wake 2s"},
		{1 * time.Second, Told{From: "x", Attempt: a, InForce: a.Policy, Decision: RollBack}, "save 5/0, unload 6, 1 rolled back"},
	})
	if d := m.Durable(); !slices.Equal(d.Declined, []policy.Digest{{6}}) {
		t.Errorf("%+v", d)
	}
	// The same policy again is another attempt, and another word.
	again := attempt(2, 6, 6)
	play(t, m, []step{
		{2 * time.Second, Prepare{again}, "load 6"},
		{2 * time.Second, Loaded{again}, "save 5/2, 2 prepared, wake 3s"},
		{2 * time.Second, Told{From: "x", Attempt: a, Decision: RollBack}, "wake 3s"},
		{2 * time.Second, Told{From: "x", Attempt: again, Decision: Confirm}, "switch 6, wake 3s"},
		{2 * time.Second, Switched{again}, "save 6/0, 2 confirmed"},
		{2 * time.Second, Told{From: "x", Attempt: a, Decision: RollBack}, ""},
	})
	if d := m.Durable(); len(d.Declined) != 0 || d.Previous != old {
		t.Errorf("%+v", d)
	}

	// One that has it by recovery goes back as well, to what it had before; one that recovery brings it to after all, too.
	m, _ = New(short, Durable{InForce: old}, old, 0)
	play(t, m, []step{
		{1 * time.Second, Replaced{a.Policy}, "save 6/0"},
		{2 * time.Second, Told{From: "x", Attempt: a, Decision: RollBack}, "save 6/0, revert 6 to 5, wake 3s"},
		{2 * time.Second, Reverted{a, old}, "save 5/0, 1 rolled back"},
		{3 * time.Second, Replaced{a.Policy}, "save 6/0, save 6/0, revert 6 to 5, wake 4s"},
		{3 * time.Second, Replaced{policy.Offer{Generation: 7, Digest: policy.Digest{7}}}, "save 7/0, 1 rolled back"},
		{4 * time.Second, Tick{}, ""},
	})
	// One that was away declines what it never had, whoever offers it.
	m, _ = New(short, Durable{InForce: old}, old, 0)
	play(t, m, []step{
		{1 * time.Second, Told{From: "x", Attempt: a, InForce: old, Decision: RollBack}, "save 5/0"},
		{1 * time.Second, Told{From: "x", Attempt: a, InForce: old, Decision: RollBack}, ""},
		{1 * time.Second, Prepare{a}, "1 rolled back"},
		{2 * time.Second, Decided{a, Confirm}, "save 5/0"},
	})
	if d := m.Durable(); len(d.Declined) != 0 {
		t.Errorf("%+v", d)
	}
}

// A kernel that does not make the change is no reason to stay in an attempt that the others went back from: also if it makes it in the end,
// and whenever the member dies.
func TestRolledBackWhileItCommits(t *testing.T) {
	old := policy.Offer{Generation: 5, Digest: policy.Digest{5}}
	a := attempt(1, 6, 6)
	a.Confirm = 10 * time.Second
	for _, told := range []Event{Told{From: "x", Attempt: a, InForce: old, Decision: RollBack}, Decided{a, RollBack}} {
		m, _ := New(short, Durable{InForce: old, Previous: policy.Offer{Generation: 4, Digest: policy.Digest{4}}}, old, 0)
		play(t, m, []step{
			{1 * time.Second, Prepare{a}, "load 6"},
			{1 * time.Second, Loaded{a}, "save 5/1, 1 prepared, wake 2s"},
			{2 * time.Second, Decided{a, Commit}, "switch 6, wake 3s"},
			{2 * time.Second, NotSwitched{a, "no memory"}, "1 committing, wake 3s"},
			{3 * time.Second, Tick{}, "switch 6, wake 4s"},
			{3 * time.Second, told, "save 5/0, revert 6 to 5, wake 4s"},
			{3 * time.Second, Switched{a}, "wake 4s"},
			{3 * time.Second, Asked{"x", a}, "tell x 5 decision 4, wake 4s"},
		})
		_, effects := New(short, m.Durable(), a.Policy, 0)
		if got := tell(effects); got != "revert 6 to 5, wake 1s" {
			t.Error(got)
		}
		play(t, m, []step{
			{4 * time.Second, Reverted{a, old}, "save 5/0, 1 rolled back"},
			{4 * time.Second, Prepare{attempt(2, 7, 7)}, "load 7"},
		})
		if d := m.Durable(); !slices.Equal(d.Declined, []policy.Digest{{6}}) || d.Previous.Generation != 4 || !d.Prepared.None() {
			t.Errorf("%+v", d)
		}
	}
	// What is confirmed stays to be committed.
	m, _ := New(short, Durable{InForce: old, Prepared: a}, old, 0)
	play(t, m, []step{
		{1 * time.Second, Loaded{a}, "AskPeers, wake 2s"},
		{1 * time.Second, Decided{a, Confirm}, "switch 6, wake 2s"},
		{1 * time.Second, Told{From: "x", Attempt: a, Decision: RollBack}, "wake 2s"},
	})
}

// A member that comes up while it waits asks at once, and waits for the whole of it again; what the kernel has done without the disk is found.
func TestCrashWhileWaiting(t *testing.T) {
	m, a := waiting(t)
	d := m.Durable()
	for _, kernel := range []policy.Offer{a.Policy, {}} {
		m, effects := New(short, d, kernel, int64(20*time.Second))
		if got := tell(effects); got != "1 committed, AskPeers, wake 21s" || m.Deadline() != int64(30*time.Second) {
			t.Error(got, time.Duration(m.Deadline()))
		}
	}
	d.InForce, d.Unconfirmed, d.Prepared = d.Previous, Attempt{}, a
	m, effects := New(short, d, a.Policy, 0)
	if got := tell(effects); got != "save 6/0, 1 committed, AskPeers, wake 1s" || m.Durable().Unconfirmed != a {
		t.Error(got)
	}
	// Unloaded by an operator, it still is not confirmed.
	play(t, m, []step{
		{1 * time.Second, Replaced{}, "save 0/0, wake 1.000000001s"},
		{10 * time.Second, Tick{}, "save 0/0, revert 6 to 5, wake 11s"},
		{10 * time.Second, Reverted{a, policy.Offer{}}, "save 0/0, 1 rolled back"},
	})
}

// The list of what was declined is bounded, and nobody's copy of it changes.
func TestDeclinedIsBounded(t *testing.T) {
	m, _ := New(short, Durable{}, policy.Offer{}, 0)
	var before []policy.Digest
	for i := range byte(40) {
		m.Step(int64(i), Told{From: "x", Attempt: attempt(uint64(i)+1, uint64(i)+1, i+1), Decision: RollBack})
		if i == 20 {
			before = m.Durable().Declined
		}
	}
	d := m.Durable()
	if len(d.Declined) != MaxDeclined || d.Declined[MaxDeclined-1] != (policy.Digest{40}) || before[MaxDeclined-1] != (policy.Digest{21}) {
		t.Errorf("%d declined: %v", len(d.Declined), d.Declined)
	}
}

// A member that has by recovery what was rolled back while nobody reached it asks a peer that has an older one, and goes back; who knows the
// policy to be confirmed says so, and it stays.
func TestWonders(t *testing.T) {
	old := policy.Offer{Generation: 5, Digest: policy.Digest{5}}
	a, later := attempt(1, 6, 6), attempt(2, 7, 7)
	whatever := Attempt{Policy: a.Policy}
	back, _ := New(short, Durable{InForce: old, RolledBack: later, Declined: []policy.Digest{{6}, {7}}}, old, 0)
	play(t, back, []step{{0, Asked{"x", whatever}, "tell x 5 decision 4"}})
	stays, _ := New(short, Durable{InForce: a.Policy, Confirmed: a}, a.Policy, 0)
	play(t, stays, []step{
		{0, Asked{"x", whatever}, "tell x 6 decision 3"},
		{1 * time.Second, Told{From: "x", Attempt: later, InForce: old, Decision: Unknown}, ""}, // it knows
	})

	m, _ := New(short, Durable{InForce: old}, old, 0)
	play(t, m, []step{
		{1 * time.Second, Replaced{a.Policy}, "save 6/0"},
		{2 * time.Second, Told{From: "x", Attempt: later, InForce: later.Policy, Decision: Commit}, ""}, // it has a newer one, which recovery takes
		{2 * time.Second, Told{From: "x", InForce: old}, "AskPeers"},
		{2 * time.Second, Told{From: "y", InForce: old}, ""},
		{3 * time.Second, Told{From: "y", InForce: old}, "AskPeers"},
		{3 * time.Second, Told{From: "y", Attempt: whatever, InForce: old}, ""}, // y does not know either
		{3 * time.Second, Told{From: "x", Attempt: Attempt{Number: forgotten, Policy: a.Policy}, InForce: old, Decision: RollBack}, "save 6/0, revert 6 to 5, wake 4s"},
		{3 * time.Second, Reverted{attempt(forgotten, 6, 6), old}, "save 5/0, 1 rolled back"},
	})
	if d := m.Durable(); !slices.Equal(d.Declined, []policy.Digest{{6}}) || d.InForce != old {
		t.Errorf("%+v", d)
	}
}

// A member that went back by itself asks a peer that has the policy still, whose HELLO tells of a later attempt.
func TestWondersWhatStayed(t *testing.T) {
	old, a, later := policy.Offer{Generation: 5, Digest: policy.Digest{5}}, attempt(1, 6, 6), attempt(2, 7, 7)
	m, _ := New(short, Durable{InForce: old, Ended: 2, RolledBack: later, Declined: []policy.Digest{{6}, {7}}}, old, 0)
	play(t, m, []step{
		{1 * time.Second, Told{From: "x", Attempt: later, InForce: a.Policy, Decision: RollBack}, "AskPeers"},
		{1 * time.Second, Told{From: "x", Attempt: a, InForce: a.Policy, Decision: Confirm}, "save 5/0"},
		{9 * time.Second, Told{From: "x", Attempt: later, InForce: a.Policy, Decision: RollBack}, ""},
	})
	if d := m.Durable(); !slices.Equal(d.Declined, []policy.Digest{{7}}) || d.Confirmed != a {
		t.Errorf("%+v", d)
	}
}

// Nobody heard of the confirmation before all had gone back, and there was a later attempt: management alone can tell.
func TestKept(t *testing.T) {
	old, a, later := policy.Offer{Generation: 5, Digest: policy.Digest{5}}, attempt(3, 6, 6), attempt(4, 7, 7)
	for name, c := range map[string]struct {
		rolledBack, confirmed Attempt // confirmed: as it is noted afterwards
	}{
		"the attempt is known":     {a, a},
		"the attempt is forgotten": {later, attempt(2, 6, 6)},
	} {
		t.Run(name, func(t *testing.T) {
			d := Durable{InForce: old, Ended: 4, Confirmed: attempt(1, 5, 5), RolledBack: c.rolledBack, Declined: []policy.Digest{{6}, {7}}}
			m, _ := New(short, d, old, 0)
			play(t, m, []step{
				{1 * time.Second, Kept{policy.Offer{Generation: 8, Digest: policy.Digest{8}}}, ""}, // it did not go back from that
				{2 * time.Second, Kept{a.Policy}, "save 5/0"},
				{3 * time.Second, Kept{a.Policy}, ""},
				{3 * time.Second, Asked{"x", Attempt{Policy: a.Policy}}, "tell x 5 decision 3"},
				{4 * time.Second, Replaced{a.Policy}, "save 6/0, " + strconv.FormatUint(c.confirmed.Number, 10) + " confirmed"},
				{5 * time.Second, Told{From: "x", Attempt: attempt(3, 6, 6), Decision: RollBack}, ""}, // who has not heard it yet
			})
			c.confirmed.Confirm = 0
			d = m.Durable()
			d.Confirmed.Confirm = 0
			if !slices.Equal(d.Declined, []policy.Digest{{7}}) || d.Confirmed != c.confirmed {
				t.Errorf("%+v", d)
			}
		})
	}
	// Not while it goes back from just that: else it would be declined once more when it has.
	m, _ := New(short, Durable{InForce: a.Policy, Previous: old, Unconfirmed: a, Reverting: true, Declined: []policy.Digest{{6}}}, a.Policy, 0)
	m.Step(1, Kept{a.Policy})
	m.Step(2, Reverted{a, old})
	m.Step(3, Kept{a.Policy})
	if d := m.Durable(); len(d.Declined) != 0 || d.Confirmed.Number != a.Number {
		t.Errorf("%+v", d)
	}
}

// A number that is out of all proportion does not end installs.
func TestNumberFarAhead(t *testing.T) {
	m, _ := New(short, Durable{}, policy.Offer{}, 0)
	for _, d := range []Decision{Confirm, RollBack} {
		play(t, m, []step{{time.Second, Told{From: "x", Attempt: attempt(1<<63, 9, 9), Decision: d}, ""}})
	}
	play(t, m, []step{
		{time.Second, Told{From: "x", Attempt: attempt(1<<20, 9, 9), Decision: Confirm}, "save 0/0"},
		{time.Second, Prepare{attempt(1<<20+1, 10, 10)}, "load 10"},
	})
}
