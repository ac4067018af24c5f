// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/lab/churn"
	"github.com/holdfast-project/holdfast/lab/fault"
	"github.com/holdfast-project/holdfast/lab/members"
	"github.com/holdfast-project/holdfast/lab/pmtu"
	"github.com/holdfast-project/holdfast/lab/report"
	"github.com/holdfast-project/holdfast/lab/stall"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// Options say how scenarios are run.
type Options struct {
	// Dir is an existing directory for the laboratory's files, with a short path; the caller removes it.
	Dir string
	// Binary is the path of holdfastd; "" looks where a build leaves it.
	Binary string
	// Pcap is a directory for one capture per segment; "" records nothing.
	Pcap string
	// Timeline gets what happens; nil makes one.
	Timeline *report.Timeline
	// AllowClockStep lets steps move the host's wall clock.
	AllowClockStep bool
}

// Run runs a scenario and tells what became of it. Nothing of it is left afterwards, also when ctx ends.
func Run(ctx context.Context, sc *Scenario, o Options) report.Result {
	if o.Timeline == nil {
		o.Timeline = new(report.Timeline)
	}
	r := &runner{sc: sc, opts: o, timeline: o.Timeline}
	res := report.Result{Name: sc.Name, Started: time.Now()}
	host, err := stall.Start(r.hostStood)
	if err == nil {
		defer host.Stop()
		err = r.setUp(ctx)
	}
	if err == nil {
		err = r.steps(ctx)
	}
	// What was measured is worth reporting however the steps ended.
	res.Details = r.details()
	err = errors.Join(err, r.tearDown())
	if err != nil {
		res.Err = err.Error()
		r.add(report.Event{Kind: report.Note, Text: res.Err, Bad: true})
	}
	res.Took, res.Events, res.Checks, res.Files = time.Since(res.Started), r.timeline.Events(), r.checks, r.files
	return res
}

// runner is one run of a scenario.
type runner struct {
	sc       *Scenario
	opts     Options
	timeline *report.Timeline
	lab      *topology.Lab
	cluster  *members.Cluster
	faults   *fault.Faults
	instruments
	floods    map[string]*fault.Flood
	cpus      map[string]*processors
	churns    map[string]*churn.Run
	churned   []churn.Report // of those that have ended
	tooBig    []pmtu.Report
	stressing *fault.Stress
	helpers   helpers
	managing  managing
	stepped   time.Duration // by how much the wall clock was moved
	marked    time.Time
	asked     time.Time             // when the expectation that is judged was first looked at
	judged    time.Time             // the end of the window that checks in a row judge; zero when the next one begins a row
	counters  map[string]counterSet // at the last mark, by member
	memory    map[string]float64    // likewise, in MiB
	shared    []control.LoadMember  // likewise, of load sharing
	checks    []report.Check
	files     []string

	mu      sync.Mutex
	changes []members.Event // state changes, each of the member that tells it
	stood   []span          // when the host stood still
}

func (r *runner) add(e report.Event) { r.timeline.Add(e) }

// hostStood notes that a processor could not be had: what members did then they may have done for that reason.
func (r *runner) hostStood(processor int, at time.Time, d time.Duration) {
	r.mu.Lock()
	r.stood = append(r.stood, span{at, at.Add(d)})
	r.mu.Unlock()
	r.add(report.Event{At: at, Kind: report.Note, Subject: "host", Text: fmt.Sprintf("processor %d could not be had", processor), Lasted: d})
}

func (r *runner) setUp(ctx context.Context) (err error) {
	if r.lab, err = topology.Build(r.sc.Spec); err != nil {
		return err
	}
	r.faults = fault.New(r.lab)
	r.floods, r.churns, r.cpus = map[string]*fault.Flood{}, map[string]*churn.Run{}, map[string]*processors{}
	r.add(report.Event{Kind: report.Note, Text: fmt.Sprintf("topology of %d members and %d segments is up", r.sc.Spec.Members, len(r.sc.Spec.Segments))})
	dir := filepath.Join(r.opts.Dir, r.sc.Name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	o := ClusterOptions(r.sc, r.opts.Binary, dir)
	r.policySection(&o)
	if r.cluster, err = members.New(r.lab, o); err != nil {
		return err
	}
	r.cluster.WatchEvents(context.Background(), r.told)
	if err := r.openManagement(ctx); err != nil {
		return err
	}
	if err := r.record(ctx); err != nil {
		return err
	}
	if err := r.boot(ctx); err != nil {
		return err
	}
	if err := r.startTraffic(ctx); err != nil {
		return err
	}
	return r.mark(ctx)
}

// ClusterOptions is a scenario's cluster as its members' package wants it.
func ClusterOptions(sc *Scenario, binary, dir string) members.Options {
	c := sc.Cluster
	return members.Options{
		Binary: binary, Dir: dir, Profile: c.Profile, Recovery: c.Recovery, Transport: c.Transport, Attach: c.Attach,
		Timers: c.Timers, NoVMAC: c.NoVMAC, NoNeighbours: c.NoNeighbours, Extra: c.YAML, Interfaces: c.Interfaces, Builds: c.Builds,
		Ruleset: c.Ruleset, Sysctls: c.Sysctls, Method: c.Method, Sharing: c.Sharing,
	}
}

func (r *runner) boot(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stepPatience)
	defer cancel()
	var names []string
	for _, m := range r.cluster.Members() {
		if !slices.Contains(r.sc.Cluster.Later, m.Name()) {
			names = append(names, m.Name())
		}
	}
	r.add(report.Event{Kind: report.Note, Text: fmt.Sprintf("booting %v", names)})
	return r.cluster.BootOnly(ctx, names...)
}

// told takes what a member tells into the timeline.
func (r *runner) told(e members.Event) {
	own := e.OwnChange()
	if own {
		r.mu.Lock()
		r.changes = append(r.changes, e)
		r.mu.Unlock()
	}
	ev := report.Event{At: e.At, Kind: report.Note, Subject: e.On, Text: e.Code}
	switch {
	case own:
		ev.Kind, ev.Text = report.State, fmt.Sprintf("%s -> %s", e.From, e.To)
	case e.StateChange():
		ev.Text += fmt.Sprintf(": %s %s -> %s", e.Member, e.From, e.To)
	}
	for _, s := range []string{e.Interface, e.Device} {
		if s != "" {
			ev.Text += " " + s
		}
	}
	if e.Reason != "" {
		ev.Text += " (" + e.Reason + ")"
	}
	r.add(ev)
}

func (r *runner) steps(ctx context.Context) error {
	for _, s := range r.sc.Steps {
		switch s.When {
		case After:
			if err := sleep(ctx, s.Delay); err != nil {
				return err
			}
		case At:
			if err := sleep(ctx, time.Until(r.marked.Add(s.Delay))); err != nil {
				return err
			}
		}
		if err := r.do(ctx, s); err != nil {
			return fmt.Errorf("%s:%d: %s: %w", r.sc.File, s.Line, s.Text, err)
		}
	}
	return nil
}

// do carries out a step. What is expected at once in a row is judged of one window: only the first check of it waits until what is under way
// has come.
func (r *runner) do(ctx context.Context, s Step) error {
	if e, is := s.do.(expectation); !is || e.within > 0 || s.When != Next {
		r.judged = time.Time{}
	}
	return s.do.run(ctx, r)
}

// tearDown undoes everything; it goes on when a part of it fails.
func (r *runner) tearDown() error {
	var errs []error
	for segment := range r.floods {
		errs = append(errs, r.stopFlood(segment))
	}
	for name := range r.churns {
		errs = append(errs, r.stopChurn(name))
	}
	for _, p := range r.cpus {
		errs = append(errs, p.close())
	}
	errs = append(errs, r.stopStress(), r.stopTraffic(), r.restoreClock(), r.helpers.close())
	if r.cluster != nil {
		errs = append(errs, r.cluster.Close())
	}
	errs = append(errs, r.managing.close())
	errs = append(errs, r.stopRecording())
	if r.faults != nil {
		errs = append(errs, r.faults.Close())
	}
	if r.lab != nil {
		errs = append(errs, r.lab.Close())
	}
	return errors.Join(errs...)
}

// sleep lets time pass, unless ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
