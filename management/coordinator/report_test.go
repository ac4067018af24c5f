// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/management/records"
	"github.com/holdfast-project/holdfast/policy"
)

// What members report about numbers, and who may report at all.
func TestReport(t *testing.T) {
	f := newFleet(t, "a", "b")
	co, _ := f.server("one")
	if _, err := co.Report(f.ctx, "nowhere", "a", api.Report{}); !errors.Is(err, records.ErrNone) {
		t.Error(err)
	}
	if _, err := co.Report(f.ctx, "edge", "x", api.Report{}); !errors.Is(err, records.ErrMember) {
		t.Error(err)
	}
	if _, err := co.Report(f.ctx, "edge", "a", api.Report{Highest: 1 << 60}); !errors.Is(err, management.ErrValue) {
		t.Error("a member uses up the numbers:", err)
	}
	o, err := co.Report(f.ctx, "edge", "a", api.Report{Highest: 40, HighestAttempt: 50})
	if err != nil || o.Serial == 0 {
		t.Error(o, err)
	}
	_, err = co.Install(f.ctx, Install{Cluster: "edge", By: anna, Bundle: policy.Bundle{File: "f", Ruleset: "table ip t {\n}\n"}})
	if !errors.Is(err, management.ErrNumbersUnsure) {
		t.Error("numbers are given although one member was not asked:", err)
	}
	began := time.Now()
	if _, err := co.Report(f.ctx, "edge", "b", api.Report{Serial: o.Serial, Highest: 41}); err != nil || time.Since(began) < 100*time.Millisecond {
		t.Error("a report that has nothing to be told is not held:", err, time.Since(began))
	}
	a, err := co.Install(f.ctx, Install{Cluster: "edge", By: anna, Bundle: policy.Bundle{File: "f", Ruleset: "table ip t {\n}\n"}})
	if err != nil || a.Number != 51 || a.Policy.Generation != 42 {
		t.Error(a, err)
	}
	// Orders come at once, and a newer report releases the older one.
	if got, err := co.Report(f.ctx, "edge", "a", api.Report{Serial: o.Serial}); err != nil || got.Attempt == nil || got.Attempt.Phase != api.PhasePrepare {
		t.Error(got, err)
	} else {
		o = got
	}
	released := make(chan struct{})
	co.o.Hold = time.Minute
	go func() {
		defer close(released)
		_, _ = co.Report(f.ctx, "edge", "a", api.Report{Serial: o.Serial})
	}()
	for {
		ctx, cancel := context.WithTimeout(f.ctx, 20*time.Millisecond)
		_, _ = co.Report(ctx, "edge", "a", api.Report{Serial: o.Serial})
		cancel()
		select {
		case <-released:
			return
		default:
		}
	}
}

// Of two reports that come over two connections the one that was made later counts, in whatever order they come; another run begins anew.
func TestOvertaken(t *testing.T) {
	f := newFleet(t, "a", "b")
	co, _ := f.server("one")
	for _, c := range []struct {
		run   string
		seq   uint64
		state string
		shown string
	}{{"1", 2, "new", "new"}, {"1", 1, "old", "new"}, {"1", 2, "again", "again"}, {"1", 3, "newer", "newer"}, {"2", 1, "restarted", "restarted"}, {"", 0, "old version", "old version"}} {
		if _, err := co.Report(f.ctx, "edge", "a", api.Report{Run: c.run, Seq: c.seq, State: c.state}); err != nil {
			t.Fatal(err)
		}
		all, err := co.Members(f.ctx, "edge")
		if err != nil || all[0].Report.State != c.shown {
			t.Errorf("after %q: %q, %v", c.state, all[0].Report.State, err)
		}
	}
}

// An attempt that management has forgotten, restored from a backup, is aborted once all members have said that nobody went further than its word.
func TestForgotten(t *testing.T) {
	f := newFleet(t, "a", "b")
	co, _ := f.server("one")
	word := api.Report{HighestAttempt: 9, Highest: 5, Attempt: api.AttemptState{Number: 9, Policy: api.Offer{Generation: 5, Digest: policy.Digest{5}}, State: "prepared"}}
	if o, err := co.Report(f.ctx, "edge", "a", word); err != nil || o.Attempt != nil {
		t.Error("decided although one member has not reported", o, err)
	}
	if _, err := co.Report(f.ctx, "edge", "b", api.Report{}); err != nil {
		t.Error(err)
	}
	if o, err := co.Report(f.ctx, "edge", "a", word); err != nil || o.Attempt == nil || o.Attempt.Phase != api.PhaseAbort || o.Attempt.Number != 9 {
		t.Error(o, err)
	}
	if _, err := co.Report(f.ctx, "edge", "b", api.Report{InForce: word.Attempt.Policy}); err != nil {
		t.Error(err)
	}
	if o, err := co.Report(f.ctx, "edge", "a", word); err != nil || o.Attempt != nil {
		t.Error("aborted although a peer has it in force", o, err)
	}
}
