// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-project/holdfast/lab/observe"
	"github.com/holdfast-project/holdfast/lab/topology"
	"github.com/holdfast-project/holdfast/lab/trial"
)

const (
	// spread covers the longest period of any system's timers: keepalived advertises every second by default.
	spread = time.Second
	// senderPriority keeps the senders on time under stress; every system's own real-time threads are above it.
	senderPriority = 5
	// bootWithin bounds the time until a system is ready.
	bootWithin = 90 * time.Second
)

// run is a benchmark under way.
type run struct {
	cfg    Config
	result Result
}

// Failover makes the benchmark. The result has what was measured even when the error is not nil; trials that could not be
// made are in its Failures and no error.
func Failover(ctx context.Context, cfg Config) (Result, error) {
	cfg, err := cfg.check()
	if err != nil {
		return Result{}, err
	}
	began := time.Now()
	r := &run{cfg: cfg, result: Result{
		Benchmark: benchFailover, Started: began.Round(0), Host: thisHost(), Rounds: cfg.Rounds, Stress: cfg.Stress.String(),
	}}
	for round := 1; round <= cfg.Rounds && ctx.Err() == nil; round++ {
		for i := range cfg.Systems {
			r.round(ctx, round, cfg.Systems[(i+round-1)%len(cfg.Systems)])
		}
	}
	for _, name := range []string{CaseStress, CaseStressThread} {
		r.stress(ctx, name)
	}
	r.result.Rows = summarize(r.result.Trials, CaseNames(), cfg.Systems)
	r.result.Took = time.Since(began).Round(time.Second).String()
	return r.result, ctx.Err()
}

// round makes one round with one system: the usual topology first, then the ones that a case needs for itself.
func (r *run) round(ctx context.Context, round int, s System) {
	if slices.ContainsFunc(usualCases(), func(name string) bool { return r.cfg.does(s, name) }) {
		r.on(ctx, round, s, topology.DefaultSpec("bench", r.cfg.Members), r.usual)
	}
	if r.cfg.does(s, CaseManyVIPs) {
		spec := topology.DefaultSpec("bench", r.cfg.Members)
		spec.VIPs, spec.RouteVIP = manyVIPs, -1 // the end stations' router is the address that is announced last
		r.on(ctx, round, s, spec, func(ctx context.Context, st *trial.Stage, round int, s System) error {
			return r.try(ctx, st, round, s, trial.PowerOff(CaseManyVIPs))
		})
	}
}

// usual are the cases on the usual topology.
func (r *run) usual(ctx context.Context, st *trial.Stage, round int, s System) error {
	for _, name := range usualCases() {
		if !r.cfg.does(s, name) {
			continue
		}
		c := trial.Failback(topology.MemberName(0))
		if name != CaseFailback {
			var err error
			if c, err = trial.Find(name); err != nil {
				return err
			}
		}
		if err := r.try(ctx, st, round, s, c); err != nil {
			return err
		}
	}
	return nil
}

// usualCases are the cases that need no topology of their own.
func usualCases() []string {
	return slices.DeleteFunc(CaseNames(), func(name string) bool {
		return name == CaseManyVIPs || name == CaseStress || name == CaseStressThread
	})
}

// try makes one trial and keeps its figures.
func (r *run) try(ctx context.Context, st *trial.Stage, round int, s System, c trial.Case) error {
	out, err := st.Run(ctx, c, trial.Options{Spread: spread})
	if err != nil {
		return err
	}
	r.keep(round, s, out)
	return nil
}

// keep takes a trial's figures into the result.
func (r *run) keep(round int, s System, out trial.Outcome) {
	t := measure(round, s.Name, out)
	r.result.Trials = append(r.result.Trials, t)
	note := ""
	if t.Unsettled != "" {
		note = "  (" + t.Unsettled + ")"
	}
	if t.Moved > 0 {
		note += fmt.Sprintf("  (moved by itself before: %d times)", t.Moved)
	}
	fmt.Fprintf(r.cfg.Log, "round %d  %-20s %-20s gap %8.1f ms  lost %5d  two answer %7.1f ms  changes %d%s\n",
		round, out.Case, s.Name, t.GapMs, t.Lost, t.DualMs, t.Transitions, note)
}

// failed notes a trial that could not be made.
func (r *run) failed(round int, s System, err error) {
	r.result.Failures = append(r.result.Failures, Failure{Round: round, System: s.Name, Error: err.Error()})
	fmt.Fprintf(r.cfg.Log, "round %d  %s: %v\n", round, s.Name, err)
}

// on builds a topology, boots a system on it, observes it and lets fn make trials; everything is gone afterwards.
func (r *run) on(ctx context.Context, round int, s System, spec topology.Spec, fn func(context.Context, *trial.Stage, int, System) error) {
	if ctx.Err() != nil {
		return
	}
	stand, err := open(ctx, r.cfg.Dir, s, spec, observe.Options{Priority: senderPriority}, nil)
	if err == nil {
		err = errors.Join(fn(ctx, stand.stage, round, s), stand.close())
	}
	if err != nil {
		r.failed(round, s, err)
	}
}
