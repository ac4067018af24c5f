// SPDX-License-Identifier: Apache-2.0

package trial_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/lab/fault"
	"github.com/holdfast-project/holdfast/lab/observe"
	"github.com/holdfast-project/holdfast/lab/topology"
	"github.com/holdfast-project/holdfast/lab/topology/topologytest"
	"github.com/holdfast-project/holdfast/lab/trial"
	"github.com/holdfast-project/holdfast/lab/trial/trialtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stage builds a topology with the pretended cluster, which needs delay for a takeover.
func stage(t *testing.T, delay time.Duration) (*trial.Stage, context.Context) {
	t.Helper()
	labtest.Require(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return stageIn(ctx, t, delay), ctx
}

func stageIn(ctx context.Context, t *testing.T, delay time.Duration) *trial.Stage {
	t.Helper()
	l := topologytest.Build(t, topology.DefaultSpec("trial", 2))
	s := trialtest.New(l, "pretended", delay)
	faults := fault.New(l)
	t.Cleanup(func() {
		if err := faults.Close(); err != nil {
			t.Error(err)
		}
	})
	st := trial.NewStage(ctx, s, faults)
	if err := s.Boot(ctx); err != nil {
		t.Fatal(err)
	}
	var err error
	if st.Observer, err = observe.Start(ctx, l, observe.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := st.Observer.Stop(); err != nil {
			t.Error(err)
		}
	})
	return st
}

func TestTrials(t *testing.T) {
	const delay = 60 * time.Millisecond
	st, ctx := stage(t, delay)
	t.Run("power-off", func(t *testing.T) {
		out, err := st.Run(ctx, trial.PowerOff("power-off"), trial.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if out.Before != "fw1" || out.After != "fw2" || out.Unsettled != "" {
			t.Errorf("from %q to %q, %s", out.Before, out.After, out.Unsettled)
		}
		longest := time.Duration(0)
		for _, f := range out.Window.Traffic.Flows {
			longest = max(longest, f.LongestArrival.Arrival)
		}
		if gap, flow := out.Window.Gap(); longest < delay || gap <= 0 || gap > longest {
			t.Errorf("nothing came for %v, gap of %v in %s, the takeover took %v", longest, gap, flow, delay)
		}
		if out.Window.Lost() == 0 {
			t.Error("nothing was lost")
		}
		if out.Window.Contested() != 0 || out.Window.Twice() != 0 || len(out.Changes) != 1 {
			t.Errorf("contested %d twice %d changes %v", out.Window.Contested(), out.Window.Twice(), out.Changes)
		}
	})
	t.Run("graceful", func(t *testing.T) {
		c, err := trial.Find("graceful")
		if err != nil {
			t.Fatal(err)
		}
		out, err := st.Run(ctx, c, trial.Options{Spread: 10 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		if out.Before != "fw2" || out.After != "fw1" || len(out.Changes) != 2 {
			t.Errorf("from %q to %q, changes %v", out.Before, out.After, out.Changes)
		}
	})
	t.Run("sigkill leaves two", func(t *testing.T) {
		c, err := trial.Find("sigkill")
		if err != nil {
			t.Fatal(err)
		}
		c.Hold = 500 * time.Millisecond
		out, err := st.Run(ctx, c, trial.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if out.After != "" || out.Window.Dual() < 100*time.Millisecond {
			t.Errorf("after %q, dual %v, though two answer for 500 ms", out.After, out.Window.Dual())
		}
	})
}

// restless says now and then that another member serves.
type restless struct {
	*trialtest.System
	moves int
}

func (s *restless) Serving(ctx context.Context) []string {
	if s.moves > 0 {
		s.moves--
		return []string{"fw9"}
	}
	return s.System.Serving(ctx)
}

// A system that moves by itself as a trial begins is tried anew, which is counted; also if the case has switched a member off already.
func TestMovedByItself(t *testing.T) {
	st, ctx := stage(t, 20*time.Millisecond)
	s := &restless{System: st.System.(*trialtest.System), moves: 2}
	st.System = s
	c := trial.Failback("fw1")
	c.Harm = func(ctx context.Context, st *trial.Stage, _ string) (trial.Undo, error) {
		return nil, st.System.PowerOn(ctx, "fw1")
	}
	out, err := st.Run(ctx, c, trial.Options{})
	if err != nil || out.Before != "fw2" || out.Moved != 2 {
		t.Fatalf("%v: from %q, moved %d times", err, out.Before, out.Moved)
	}
	if out, err = st.Run(ctx, trial.PowerOff("power-off"), trial.Options{}); err != nil || out.Moved != 0 {
		t.Fatalf("%v: moved %d times", err, out.Moved)
	}
	s.moves = 5
	if _, err := st.Run(ctx, trial.PowerOff("power-off"), trial.Options{}); err == nil {
		t.Error("one that never stays is tried")
	}
}

func TestTogether(t *testing.T) {
	const delay, hold = 30 * time.Millisecond, 400 * time.Millisecond
	one, ctx := stage(t, delay)
	two := stageIn(ctx, t, delay)
	harmed, undone := 0, 0
	c := trial.Case{
		Name: "both", Hold: hold,
		Harm: func(_ context.Context, st *trial.Stage, server string) (trial.Undo, error) {
			harmed++
			return func(ctx context.Context) error { undone++; return st.System.PowerOn(ctx, server) }, st.System.PowerOff(server)
		},
	}
	outs, errs := trial.Together(ctx, []*trial.Stage{one, two}, c, trial.Options{})
	if errs[0] != nil || errs[1] != nil || harmed != 1 || undone != 1 {
		t.Errorf("errors %v, harmed %d times and undone %d", errs, harmed, undone)
	}
	if outs[0].Window.Lost() == 0 || outs[1].Window.Lost() != 0 || !outs[0].At.Equal(outs[1].At) {
		t.Errorf("lost %d and %d, at %v and %v", outs[0].Window.Lost(), outs[1].Window.Lost(), outs[0].At, outs[1].At)
	}
	if took := outs[1].Window.To.Sub(outs[1].At); took < hold {
		t.Errorf("looked for %v", took)
	}
}

func TestFindNamesTheCases(t *testing.T) {
	if _, err := trial.Find("volcano"); err == nil {
		t.Error("a case that does not exist was found")
	}
	for _, c := range trial.Cases() {
		if got, err := trial.Find(c.Name); err != nil || got.Title != c.Title {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
}
