// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/policy"
)

const (
	second = int64(time.Second)
	base   = 1000 * second // when scripts begin
)

func attempt(members ...string) management.Attempt {
	a := management.Attempt{
		Cluster: "edge", Number: 3, Policy: management.Ref{Generation: 7, Digest: policy.Digest{7}}, By: "anna",
		PrepareWithin: 60 * second, ConfirmWithin: 30 * second, Phase: management.Preparing, Begun: base,
	}
	for _, m := range members {
		a.Replies = append(a.Replies, management.Reply{Member: m})
	}
	return a
}

// script plays events against a machine and a store that always works, and tells what it did.
type script struct {
	t       *testing.T
	m       *Machine
	stored  management.Attempt
	broken  bool // the store does not answer
	wake    int64
	now     int64
	reports map[string]Reported
}

func begin(t *testing.T, a management.Attempt, takeOver bool, trials ...[]string) *script {
	s := &script{t: t, stored: a, reports: map[string]Reported{}, now: base}
	m, effects := New(Default(), a, trials, takeOver, base, base)
	s.m = m
	s.perform(effects)
	return s
}

// perform returns what was decided: "aborted: why", "end", "done".
func (s *script) perform(effects []Effect) []string {
	var out []string
	for _, e := range effects {
		switch e := e.(type) {
		case Persist:
			if s.broken {
				out = append(out, s.perform(s.m.Step(s.now, NotStored{}))...)
				continue
			}
			after, _, err := s.stored.Move(e.To, e.Why, e.Replies, s.now)
			if err != nil {
				s.t.Fatal(err)
			}
			s.stored = after
			out = append(out, strings.TrimSuffix(fmt.Sprintf("%s: %s", e.To, e.Why), ": "))
			out = append(out, s.perform(s.m.Step(s.now, Stored{s.stored}))...)
		case End:
			s.stored.Ended, s.stored.Replies = s.now, e.Replies
			out = append(out, "end")
			out = append(out, s.perform(s.m.Step(s.now, Stored{s.stored}))...)
		case Try:
			out = append(out, fmt.Sprintf("try %d", e.Trial))
		case Done:
			out = append(out, "done")
		case WakeAt:
			if e.Time <= s.now {
				s.t.Fatalf("wake at %d, and it is %d", e.Time, s.now)
			}
			s.wake = e.Time
		}
	}
	return out
}

// at lets time pass in steps of half a second in which all that report do, then says something.
func (s *script) at(now time.Duration, events ...Event) string {
	var out []string
	until := base + int64(now)
	for s.now < until {
		s.now = min(s.now+second/2, until)
		for _, r := range s.reports {
			out = append(out, s.perform(s.m.Step(s.now, r))...)
		}
		if s.wake != 0 && s.wake <= s.now {
			s.wake = 0
			out = append(out, s.perform(s.m.Step(s.now, Tick{}))...)
		}
	}
	for _, e := range events {
		if r, ok := e.(Reported); ok {
			s.reports[r.Member] = r
		}
		out = append(out, s.perform(s.m.Step(s.now, e))...)
	}
	return strings.Join(out, ", ")
}

func says(member string, state State, heard ...string) Reported {
	return Reported{Member: member, State: state, Heard: heard}
}

func want(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestAllWell(t *testing.T) {
	s := begin(t, attempt("a", "b"), false)
	want(t, s.at(0, says("a", Idle, "b"), says("b", Idle, "a"), says("a", Loading, "b"), says("b", Loading, "a")), "")
	want(t, s.at(time.Second, says("a", Prepared, "b"), says("b", Prepared, "a")), "committed")
	if o := OrderOf(s.stored, "b", 3*time.Second); o.Phase != PhaseCommit || o.Within != 33*time.Second || o.Number != 3 || o.Policy.Generation != 7 {
		t.Error(o)
	}
	want(t, s.at(1200*time.Millisecond, says("a", Committed, "b"), says("b", Committed, "a")), "")
	want(t, s.at(4*time.Second), "confirmed")
	if took := time.Duration(s.stored.Settled - s.stored.Decided); took > 2*time.Second {
		t.Error("confirmed after", took)
	}
	want(t, s.at(5*time.Second, says("a", Confirmed, "b")), "")
	want(t, s.at(5*time.Second, says("b", Confirmed, "a")), "end, done")
	if s.stored.Phase != management.Confirmed || s.stored.Replies[0].State != management.MemberConfirmed || !s.m.Done() {
		t.Error(s.stored)
	}
	if o := OrderOf(s.stored, "c", 0); o != (Order{}) {
		t.Error("somebody else's member is ordered", o)
	}
}

// Every way in which an attempt does not come to its end, and what is said of it.
func TestNotWell(t *testing.T) {
	prepared := func(s *script) {
		s.at(0, says("a", Prepared, "b", "c"), says("b", Prepared, "a", "c"), says("c", Prepared, "a", "b"))
	}
	committed := func(s *script) {
		prepared(s)
		s.at(100*time.Millisecond, says("a", Committed, "b", "c"), says("b", Committed, "a", "c"))
	}
	for name, c := range map[string]struct {
		edit func(*management.Attempt)
		play func(*script)
		want string
		left string // "MEMBER STATE" of the replies that are not confirmed
	}{
		"one refuses": {play: func(s *script) {
			s.at(0, says("a", Prepared), says("b", Loading), Reported{Member: "c", State: Refused, Why: "no device wan"})
		}, want: "aborted: c refused (no device wan)"},
		"one is not heard": {play: func(s *script) { s.at(0, says("a", Prepared), says("b", Prepared)) }, want: "aborted: c was not heard"},
		"one is slow": {play: func(s *script) { s.at(0, says("a", Prepared), says("b", Prepared), says("c", Loading)) },
			want: "aborted: c is still loading"},
		"one goes silent when it had prepared": {play: func(s *script) {
			s.at(0, says("a", Prepared), says("b", Prepared))
			delete(s.reports, "b")
			s.at(20*time.Second, says("c", Prepared))
		}, want: "aborted: b is silent (prepared)"},
		"one does not commit": {play: committed, want: "committed, rolled-back: c has not committed"},
		"one is silent after its commit": {play: func(s *script) {
			committed(s)
			delete(s.reports, "c")
			s.at(200*time.Millisecond, says("c", Committed, "a", "b"))
			delete(s.reports, "c")
		}, want: "committed, rolled-back: c has not reported since it committed"},
		"one does not hear another any more": {play: func(s *script) {
			committed(s)
			s.at(200*time.Millisecond, says("c", Committed, "b"))
		}, want: "committed, rolled-back: c does not hear a"},
		"one goes back": {play: func(s *script) {
			committed(s)
			s.at(2*time.Second, Reported{Member: "b", State: RolledBack, Why: "not confirmed"})
		}, want: "committed, rolled-back: b rolled-back (not confirmed)"},
		"nobody confirms": {edit: func(a *management.Attempt) { a.Manual = true }, play: func(s *script) {
			committed(s)
			s.at(time.Second, says("c", Committed, "a", "b"))
		}, want: "committed, rolled-back: nobody confirmed within 30s"},
		"cancelled while it is prepared": {play: func(s *script) { s.at(0, says("a", Prepared), Cancel{"cancelled by anna"}) }, want: "aborted: cancelled by anna"},
		"cancelled after the commit": {play: func(s *script) {
			committed(s)
			s.at(time.Second, Cancel{"cancelled by anna"})
		}, want: "committed, rolled-back: cancelled by anna"},
		"best effort, nobody prepares": {edit: func(a *management.Attempt) { a.BestEffort = true },
			play: func(s *script) {
				s.at(0, says("a", Refused), says("b", Refused))
			}, want: "aborted: a refused; b refused; c was not heard"},
	} {
		t.Run(name, func(t *testing.T) {
			a := attempt("a", "b", "c")
			if c.edit != nil {
				c.edit(&a)
			}
			s := begin(t, a, false)
			c.play(s)
			s.at(2 * time.Minute)
			got := strings.TrimSuffix(fmt.Sprintf("%s: %s", s.stored.Phase, s.stored.Why), ": ")
			if strings.HasPrefix(c.want, "committed, ") {
				got = "committed, " + got
				if s.stored.Decided == s.stored.Settled {
					t.Error("it was never committed")
				}
			}
			want(t, got, c.want)
			if !s.m.Done() {
				t.Error("it does not end")
			}
		})
	}
}

func TestBestEffort(t *testing.T) {
	a := attempt("a", "b", "c")
	a.BestEffort = true
	s := begin(t, a, false)
	want(t, s.at(0, says("a", Prepared), Reported{Member: "b", State: Refused, Why: "no device"}), "")
	want(t, s.at(59*time.Second), "")
	want(t, s.at(61*time.Second), "committed")
	want(t, s.at(62*time.Second, says("a", Committed)), "")
	want(t, s.at(64*time.Second), "confirmed")
	s.at(65*time.Second, says("a", Confirmed), says("c", Prepared)) // it turns up, and follows
	if o := OrderOf(s.stored, "c", 0); o.Phase != PhaseConfirmed {
		t.Error(o)
	}
	want(t, s.at(66*time.Second, says("c", Confirmed)), "end, done")
	var got []string
	for _, r := range s.stored.Replies {
		got = append(got, fmt.Sprintf("%s %s %s", r.Member, r.State, r.Why))
	}
	want(t, strings.Join(got, ", "), "a confirmed , b refused no device, c confirmed ")
}

func TestConfirm(t *testing.T) {
	a := attempt("a", "b")
	a.Manual = true
	s := begin(t, a, false)
	var over *OverError
	var unwell *NotWellError
	if err := s.m.Confirmable(); !errors.As(err, &over) || !strings.Contains(err.Error(), "being prepared") {
		t.Error(err)
	}
	s.at(0, says("a", Prepared, "b"), says("b", Prepared, "a"))
	s.at(time.Second, says("a", Committed, "b"))
	if err := s.m.Confirmable(); !errors.As(err, &unwell) || unwell.Members["b"] != "has not committed" {
		t.Error(err)
	}
	want(t, s.at(2*time.Second, says("b", Committed, "a"), Confirm{}), "")
	want(t, s.at(4*time.Second), "") // a person has to
	want(t, s.at(4*time.Second, Confirm{}), "confirmed")
	if err := s.m.Confirmable(); !errors.As(err, &over) || !strings.Contains(err.Error(), "already") {
		t.Error(err)
	}
	want(t, s.at(4*time.Second, Cancel{"cancelled"}), "")
}

// What a server that takes over does, by what is stored.
func TestTakeOver(t *testing.T) {
	s := begin(t, attempt("a", "b"), true)
	want(t, s.at(2*time.Second, says("a", Prepared), says("b", Prepared)), "")
	s.at(3 * time.Second)
	want(t, fmt.Sprint(s.stored.Phase, ": ", s.stored.Why), "aborted: the management server that ran it stopped before it was decided")

	// The store is older than the decision.
	s = begin(t, attempt("a", "b"), true)
	want(t, s.at(time.Second, says("a", Prepared), says("b", Committed)), "committed")

	a := attempt("a", "b")
	a, _, _ = a.Move(management.Committed, "", []management.Reply{
		{Member: "a", State: management.MemberPrepared, Heard: []string{"b"}}, {Member: "b", State: management.MemberPrepared, Heard: []string{"a"}},
	}, base)
	s = begin(t, a, true)
	want(t, s.at(time.Second, says("a", Committed, "b"), says("b", Committed)), "")
	want(t, s.at(10*time.Second), "") // whom b heard before is stored
	want(t, s.at(10*time.Second, says("b", Committed, "a")), "confirmed")

	// The store is older than the confirmation, or than the rollback, and it is long ago.
	for _, c := range []struct {
		says Reported
		want string
	}{{says("b", Confirmed, "a"), "confirmed"}, {says("b", RolledBack, "a"), ""}} {
		old := a
		old.Decided -= 3600 * second
		s = begin(t, old, true)
		want(t, s.at(0, says("a", Committed, "b")), "")
		if got := s.at(2*time.Second, c.says); got != c.want {
			t.Errorf("%s: %q", c.says.State, got)
		}
	}
	want(t, s.at(3*time.Second), "rolled-back: b rolled-back")

	// The store does not answer when the take-over is to be decided: it is tried again, and nobody prepares meanwhile.
	s = &script{t: t, stored: attempt("a"), reports: map[string]Reported{}, broken: true, now: base}
	m, effects := New(Default(), s.stored, nil, true, base, base)
	s.m = m
	s.perform(effects)
	want(t, s.at(4*time.Second, says("a", Prepared)), "")
	s.broken = false
	if got := s.at(5 * time.Second); !strings.HasPrefix(got, "aborted") {
		t.Error(got)
	}
	// Another one has ended it.
	a.Ended = 5
	if s := begin(t, a, true); !s.m.Done() {
		t.Error("goes on with an attempt that is over")
	}
}

// The records' times are of another clock than the machine's: limits count from what it saw, and a take-over counts at most the limit.
func TestClocks(t *testing.T) {
	for _, skew := range []int64{-120 * second, 120 * second} {
		a := attempt("a")
		a.Begun += skew
		m, _ := New(Default(), a, nil, false, base, base+skew)
		if effects := m.Step(base+second, says("a", Loading)); effects[0] != (WakeAt{base + 60*second}) {
			t.Errorf("skew %d: %v", skew, effects)
		}
		p, ok := m.Step(base+2*second, says("a", Prepared))[0].(Persist)
		if !ok || p.To != management.Committed || p.Replies[0].At != base+skew+2*second {
			t.Errorf("skew %d: %+v", skew, p)
		}
		a, _, _ = a.Move(management.Committed, "", p.Replies, base+skew+2*second)
		m.Step(base+2*second, Stored{a})
		if effects := m.Step(base+3*second, says("a", Committed)); effects[0] != (WakeAt{base + 32*second}) {
			t.Errorf("skew %d, committed: %v", skew, effects)
		}
		// A server takes it over whose clock is behind, right, or ahead by more than the time for the confirmation; what is near it TestTakeOverLate has.
		for _, ahead := range []int64{-600, 12, 45, 86400} {
			m, _ := New(Default(), a, nil, true, base, base+skew+ahead*second)
			if effects := m.Step(base+4*second, Tick{}); len(effects) != 1 || effects[0] != (WakeAt{base + 30*second}) {
				t.Errorf("skew %d, taken over by one that is %d s ahead: %v", skew, ahead, effects)
			}
			m.Step(base+5*second, says("a", Committed))
			if p, ok := m.Step(base+7*second, says("a", Committed))[0].(Persist); !ok || p.To != management.Confirmed {
				t.Errorf("skew %d, taken over by one that is %d s ahead: %+v", skew, ahead, p)
			}
			m, _ = New(Default(), a, nil, true, base, base+skew+ahead*second)
			if p, ok := m.Step(base+5*second, says("a", RolledBack))[0].(Persist); !ok || p.To != management.RolledBack {
				t.Errorf("skew %d, overdue by the member's own clock: %+v", skew, p)
			}
		}
	}
}

// A server takes over as the members' own limits run out: it confirms nothing before they have, by the records' clock or since members still wait.
func TestTakeOverLate(t *testing.T) {
	a, _, _ := attempt("a", "b").Move(management.Committed, "", []management.Reply{
		{Member: "a", State: management.MemberPrepared, Heard: []string{"b"}}, {Member: "b", State: management.MemberPrepared, Heard: []string{"a"}},
	}, base)
	taken := func(after time.Duration) *script {
		s := &script{t: t, stored: a, reports: map[string]Reported{}, now: base}
		m, effects := New(Default(), a, nil, true, base, base+int64(after))
		s.m = m
		s.perform(effects)
		want(t, s.at(0, says("a", Committed, "b"), says("b", Committed, "a")), "")
		return s
	}
	s := taken(29 * time.Second)
	want(t, s.at(2*time.Second), "")
	if err := s.m.Confirmable(); err == nil || !strings.Contains(err.Error(), "a may go back by itself now; b may") {
		t.Error(err)
	}
	want(t, s.at(4500*time.Millisecond, says("a", RolledBack, "b")), "rolled-back: a rolled-back")
	s = taken(29 * time.Second) // by another clock: nobody goes back
	want(t, s.at(7500*time.Millisecond), "")
	want(t, s.at(8*time.Second), "confirmed")
}

// The store says that another server decided otherwise: that holds.
func TestOtherDecided(t *testing.T) {
	m, _ := New(Default(), attempt("a"), nil, false, base, base)
	effects := m.Step(base+second, says("a", Prepared))
	if p, ok := effects[0].(Persist); !ok || p.To != management.Committed {
		t.Fatal(effects)
	}
	if effects := m.Step(base+2*second, Cancel{"no"}); effects != nil {
		t.Error("two decisions at once", effects)
	}
	other, _, _ := attempt("a").Move(management.Aborted, "cancelled", nil, base+second)
	effects = m.Step(base+3*second, Stored{other})
	if _, ok := effects[0].(Tell); !ok || m.Attempt().Phase != management.Aborted {
		t.Error(effects)
	}
}

// TestTrials: the policy is committed when a member of each group has loaded it, or management, which tries where no member can tell.
func TestTrials(t *testing.T) {
	group := [][]string{{"a", "b"}, {"c"}}
	prepared := []Event{says("a", Prepared), says("b", Prepared), says("c", Prepared)}
	refused := func(member string) Reported { return Reported{Member: member, State: Refused, Why: "no room"} }
	begun := func(t *testing.T, bestEffort bool) *script {
		a := attempt("a", "b", "c")
		a.BestEffort = bestEffort
		return begin(t, a, false, group...)
	}
	t.Run("members load it", func(t *testing.T) {
		s := begun(t, false)
		want(t, s.at(0, prepared[:2]...), "")
		want(t, s.at(0, prepared[2]), "committed")
	})
	t.Run("it waits for who is slow", func(t *testing.T) {
		s := begun(t, true)
		want(t, s.at(0, prepared[0], refused("b"), says("c", Loading)), "")
		want(t, s.at(20*time.Second), "")
		want(t, s.at(20*time.Second, prepared[2]), "committed")
	})
	t.Run("who is left behind is tried for", func(t *testing.T) {
		for _, c := range []struct{ why, then string }{
			{"", "committed"}, {"no", "aborted: refused by management's check: no"},
		} {
			s := begun(t, true)
			want(t, s.at(0, prepared[0], prepared[1], refused("c")), "try 1")
			want(t, s.at(time.Second, Tried{Trial: 7}, Tried{Trial: 1, Why: c.why}), c.then)
		}
	})
	t.Run("who is silent is tried for", func(t *testing.T) {
		s := begun(t, true)
		want(t, s.at(0, prepared[0], prepared[1]), "")
		want(t, s.at(4*time.Second), "try 1")
		want(t, s.at(5*time.Second, Tried{Trial: 1}), "") // perhaps it comes
		want(t, s.at(61*time.Second), "committed")
	})
	t.Run("who is too slow is tried for, and left behind", func(t *testing.T) {
		for _, state := range []State{Idle, Loading} {
			s := begun(t, true)
			want(t, s.at(0, prepared[0], prepared[1], says("c", state)), "")
			want(t, s.at(30*time.Second), "try 1")
			want(t, s.at(32*time.Second, Tried{Trial: 1}), "") // perhaps it comes
			want(t, s.at(60*time.Second), "committed")
		}
	})
	t.Run("the time is short", func(t *testing.T) {
		a := attempt("a", "b", "c")
		a.BestEffort, a.PrepareWithin = true, second
		s := begin(t, a, false, group...)
		want(t, s.at(0, prepared[0]), "")
		want(t, s.at(500*time.Millisecond), "try 1")
		want(t, s.at(700*time.Millisecond, Tried{Trial: 1}), "")
		want(t, s.at(time.Second), "committed")
	})
	t.Run("who becomes silent at the end is tried for", func(t *testing.T) {
		for _, c := range []struct {
			end  time.Duration
			then []Event
			want string
		}{
			{70 * time.Second, []Event{Tried{Trial: 1}}, "committed"},
			{70 * time.Second, []Event{prepared[2]}, "committed"}, // it has come back
			{91 * time.Second, nil, "aborted: management's check did not end in time for c"},
		} {
			s := begun(t, true)
			want(t, s.at(0, prepared[0], says("b", Loading), prepared[2]), "")
			s.at(56 * time.Second)
			delete(s.reports, "c")
			want(t, s.at(61*time.Second), "try 1")
			want(t, s.at(69*time.Second), "")
			want(t, s.at(c.end, c.then...), c.want)
		}
	})
	t.Run("nobody is tried for who has to load it", func(t *testing.T) {
		s := begun(t, false)
		want(t, s.at(0, prepared[0], prepared[1], says("c", Loading)), "")
		want(t, s.at(61*time.Second), "aborted: c is still loading")
	})
	t.Run("nobody is there", func(t *testing.T) {
		s := begun(t, false)
		want(t, s.at(4*time.Second), "try 0, try 1")
		want(t, s.at(4*time.Second, Tried{Trial: 0, Why: "edge.nft:4: no"}), "aborted: refused by management's check: edge.nft:4: no")
		want(t, s.at(4*time.Second, prepared...), "")
	})
	t.Run("it refuses what a member loads later", func(t *testing.T) {
		s := begun(t, false)
		want(t, s.at(4*time.Second), "try 0, try 1")
		want(t, s.at(4*time.Second, prepared[0], Tried{Trial: 0, Why: "no"}), "aborted: refused by management's check: no")
	})
	t.Run("a silent member's load counts no more", func(t *testing.T) {
		s := begun(t, false)
		want(t, s.at(0, prepared[2]), "")
		delete(s.reports, "c")
		want(t, s.at(10*time.Second, prepared[0], prepared[1]), "try 0, try 1")
		want(t, s.at(11*time.Second, prepared[2]), "committed")
	})
	t.Run("the trial does not end", func(t *testing.T) {
		s := begun(t, true)
		want(t, s.at(0, prepared[0], prepared[1], refused("c")), "try 1")
		want(t, s.at(61*time.Second), "aborted: management's check did not end in time for c")
	})
	t.Run("all refuse", func(t *testing.T) {
		s := begun(t, true)
		want(t, s.at(0, refused("a"), refused("b"), refused("c")), "try 0, aborted: a refused (no room); b refused (no room); c refused (no room), end, done")
	})
}
