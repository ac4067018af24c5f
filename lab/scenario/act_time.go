// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-project/holdfast/lab/report"
)

type mark struct{ text string }

func (a mark) run(ctx context.Context, r *runner) error {
	if a.text != "" {
		r.add(report.Event{Kind: report.Step, Text: a.text})
	}
	return r.mark(ctx)
}

// mark begins a window of measurement.
func (r *runner) mark(ctx context.Context) error {
	r.counters, r.memory = r.readCounters(ctx), r.readMemory()
	r.shared = nil
	if r.sc.Cluster.Method != "" {
		if all, _, _ := r.loads(ctx); len(all) > 0 {
			r.shared = all[0].Members
		}
	}
	if r.paths != nil {
		r.paths.Mark()
	}
	r.marked = time.Now()
	return nil
}

type note struct{ text string }

func (a note) run(_ context.Context, r *runner) error {
	r.add(report.Event{Kind: report.Note, Text: a.text})
	return nil
}

type wait struct{ d time.Duration }

func (a wait) run(ctx context.Context, _ *runner) error { return sleep(ctx, a.d) }

// lookEvery is how often a condition is looked at that may come true.
//
// Each look asks every daemon, which has better things to do; exact times are in the events.
const lookEvery = 10 * time.Millisecond

// run looks until the condition holds or its time is over, and judges.
func (a expectation) run(ctx context.Context, r *runner) error {
	begin := time.Now()
	r.asked = begin
	patience := a.within
	if a.awaited {
		patience = defaultPatience
	}
	waited := a.within > 0
	ok, got, err := a.cond.check(ctx, r)
	for err == nil && !ok && time.Since(begin) < patience {
		waited = true
		if err := sleep(ctx, lookEvery); err != nil {
			return err
		}
		r.judged = time.Time{}
		ok, got, err = a.cond.check(ctx, r)
	}
	took := time.Since(begin)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	if waited {
		got += fmt.Sprintf(" after %s", report.Ms(took))
		ok = ok && (a.must || a.awaited || took <= a.within)
	}
	if a.must {
		if !ok {
			return fmt.Errorf("did not come true: %s", got)
		}
		return nil
	}
	r.checks = append(r.checks, report.Check{Text: a.text, Got: got, Passed: ok, Never: a.never})
	r.add(report.Event{Kind: report.Expect, Text: a.text + ": " + got, Bad: !ok})
	return nil
}
