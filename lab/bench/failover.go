// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/holdfast-project/holdfast/lab/fault"
	"github.com/holdfast-project/holdfast/lab/machine"
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
		Benchmark: "failover", Started: began.Round(0), Host: thisHost(), Rounds: cfg.Rounds, Stress: cfg.Stress.String(),
	}}
	for round := 1; round <= cfg.Rounds && ctx.Err() == nil; round++ {
		for i := range cfg.Systems {
			r.round(ctx, round, cfg.Systems[(i+round-1)%len(cfg.Systems)])
		}
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
	if round > 1 {
		return
	}
	for _, name := range []string{CaseStress, CaseStressThread} {
		if !r.cfg.does(s, name) {
			continue
		}
		spec := topology.DefaultSpec("bench", r.cfg.Members)
		spec.ThreadedNAPI = name == CaseStressThread
		r.on(ctx, round, s, spec, func(ctx context.Context, st *trial.Stage, round int, s System) error {
			return r.try(ctx, st, round, s, trial.Stress(name, r.cfg.Stress))
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
	t := measure(round, s.Name, out)
	r.result.Trials = append(r.result.Trials, t)
	note := ""
	if t.Unsettled != "" {
		note = "  (" + t.Unsettled + ")"
	}
	fmt.Fprintf(r.cfg.Log, "round %d  %-20s %-20s gap %8.1f ms  lost %5d  two answer %7.1f ms  changes %d%s\n",
		round, c.Name, s.Name, t.GapMs, t.Lost, t.DualMs, t.Transitions, note)
	return nil
}

// on builds a topology, boots a system on it, observes it and lets fn make trials; everything is gone afterwards.
func (r *run) on(ctx context.Context, round int, s System, spec topology.Spec, fn func(context.Context, *trial.Stage, int, System) error) {
	if ctx.Err() != nil {
		return
	}
	if err := r.build(ctx, round, s, spec, fn); err != nil {
		r.result.Failures = append(r.result.Failures, Failure{Round: round, System: s.Name, Error: err.Error()})
		fmt.Fprintf(r.cfg.Log, "round %d  %s: %v\n", round, s.Name, err)
	}
}

func (r *run) build(
	ctx context.Context, round int, s System, spec topology.Spec, fn func(context.Context, *trial.Stage, int, System) error,
) (err error) {
	undo := func(what string, fn func() error) {
		if uerr := fn(); uerr != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", what, uerr))
		}
	}
	lab, err := topology.Build(spec)
	if err != nil {
		return err
	}
	defer undo("close topology", lab.Close)
	dir, err := os.MkdirTemp(r.cfg.Dir, "b")
	if err != nil {
		return err
	}
	defer undo("remove files", func() error { return os.RemoveAll(dir) })
	system, err := s.New(lab, dir)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	defer undo("close system", system.Close)
	st, err := r.boot(ctx, lab, system)
	if err != nil {
		return err
	}
	defer undo("close faults", st.Faults.Close)
	defer undo("stop observation", func() error { _, err := st.Observer.Stop(); return err })
	return fn(ctx, st, round, s)
}

// boot switches the members on and begins to observe them.
func (r *run) boot(ctx context.Context, lab *topology.Lab, system machine.System) (*trial.Stage, error) {
	st := trial.NewStage(ctx, system, fault.New(lab))
	bounded, cancel := context.WithTimeout(ctx, bootWithin)
	defer cancel()
	if err := system.Boot(bounded); err != nil {
		return nil, errors.Join(fmt.Errorf("boot: %w", err), st.Faults.Close())
	}
	var err error
	if st.Observer, err = observe.Start(ctx, lab, observe.Options{Priority: senderPriority}); err != nil {
		return nil, errors.Join(err, st.Faults.Close())
	}
	if _, err := st.ReadyWithin(ctx, bootWithin); err != nil {
		_, serr := st.Observer.Stop()
		return nil, errors.Join(fmt.Errorf("boot: %w", err), serr, st.Faults.Close())
	}
	return st, nil
}
