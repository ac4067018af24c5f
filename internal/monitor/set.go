// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"context"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/holdfast-project/holdfast/internal/monitor/verdict"
)

// reports is how many reports may wait for their reader before monitors wait.
const reports = 128

// Set is the monitors of one member. Its methods are safe for concurrent use.
type Set struct {
	log   *slog.Logger
	out   chan Report
	wake  chan struct{}
	tools *tools

	mu     sync.Mutex
	want   []Spec
	states map[string]*State
}

// running is a monitor that runs.
type running struct {
	spec  Spec
	stop  context.CancelFunc
	ended chan struct{}
}

// New returns a set of monitors that run once Serve does. log may be nil.
func New(specs []Spec, log *slog.Logger) *Set {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Set{log: log, out: make(chan Report, reports), wake: make(chan struct{}, 1), tools: newTools(log),
		want: slices.Clone(specs), states: map[string]*State{}}
}

// Reports is where the news of monitors arrives; while nobody reads, monitors wait.
func (s *Set) Reports() <-chan Report { return s.out }

// Reconfigure replaces the monitors. Those that are the same run on; one that changed under its name starts anew with the status that
// it had. It returns at once; a report of a monitor that is no more may still come.
func (s *Set) Reconfigure(specs []Spec) {
	s.mu.Lock()
	s.want = slices.Clone(specs)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// States returns how all monitors stand, by name.
func (s *Set) States() []State {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]State, 0, len(s.states))
	for _, st := range s.states {
		all = append(all, *st)
	}
	slices.SortFunc(all, func(a, b State) int { return strings.Compare(a.Monitor, b.Monitor) })
	return all
}

// Serve runs the monitors until ctx ends and all of them have, except for checks that do not return.
func (s *Set) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	defer s.tools.close()
	defer tasks.Wait()
	defer cancel()
	s.tools.open(ctx, &tasks)
	have := map[string]*running{}
	for {
		s.reconcile(ctx, &tasks, have)
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		}
	}
}

// reconcile stops and starts monitors until those run that are wanted.
func (s *Set) reconcile(ctx context.Context, tasks *sync.WaitGroup, have map[string]*running) {
	s.mu.Lock()
	want := map[string]Spec{}
	for _, spec := range s.want {
		want[spec.Name] = spec
	}
	s.mu.Unlock()
	for name, r := range have {
		if spec, wanted := want[name]; !wanted || !reflect.DeepEqual(spec, r.spec) {
			r.stop() // all of them, before one is waited for
		}
	}
	for name, r := range have {
		spec, wanted := want[name]
		if wanted && reflect.DeepEqual(spec, r.spec) {
			continue
		}
		<-r.ended
		delete(have, name)
		if !wanted {
			s.mu.Lock()
			delete(s.states, name)
			s.mu.Unlock()
		}
	}
	for name, spec := range want {
		if have[name] != nil {
			continue
		}
		own, stop := context.WithCancel(ctx)
		r := &running{spec: spec, stop: stop, ended: make(chan struct{})}
		have[name] = r
		m := &monitor{spec: spec, set: s, state: s.state(spec)}
		tasks.Go(func() {
			defer close(r.ended)
			defer stop()
			m.run(own)
		})
	}
}

// state returns the state of a monitor that starts: that of its predecessor of the same name, if there was one.
func (s *Set) state(spec Spec) *State {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.states[spec.Name]
	if st == nil {
		st = &State{Report: Report{Monitor: spec.Name, Status: verdict.Init}}
		s.states[spec.Name] = st
	}
	st.Device, st.Kind = spec.Device, spec.Check.kind()
	return st
}
