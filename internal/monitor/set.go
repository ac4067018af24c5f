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
	want   []wanted
	began  uint64 // counts specs that came anew
	states map[string]*State
}

// wanted is a monitor that is to run. Number changes when it is taken away or changes, even if it comes back as it was before anybody
// has looked: whoever reads the reports has forgotten it meanwhile.
type wanted struct {
	Spec
	number uint64
}

// running is a monitor that runs.
type running struct {
	spec  wanted
	stop  context.CancelFunc
	ended chan struct{}
}

// New returns a set of monitors that run once Serve does. log may be nil.
func New(specs []Spec, log *slog.Logger) *Set {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Set{log: log, out: make(chan Report, reports), wake: make(chan struct{}, 1), tools: newTools(log), states: map[string]*State{}}
	s.number(specs)
	return s
}

// Reports is where the news of monitors arrives; while nobody reads, monitors wait.
func (s *Set) Reports() <-chan Report { return s.out }

// Reconfigure replaces the monitors. Those that are the same run on; one that changed under its name starts anew with the status that
// it had. It returns at once; a report of a monitor that is no more may still come.
func (s *Set) Reconfigure(specs []Spec) {
	s.mu.Lock()
	s.number(specs)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// number makes specs the wanted ones. s.mu is held, or nobody else has s.
func (s *Set) number(specs []Spec) {
	was := map[string]wanted{}
	for _, w := range s.want {
		was[w.Name] = w
	}
	s.want = make([]wanted, len(specs))
	for i, spec := range specs {
		w, there := was[spec.Name]
		if !there || !reflect.DeepEqual(w.Spec, spec) {
			s.began++
			w = wanted{spec, s.began}
		}
		s.want[i] = w
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
	want := map[string]wanted{}
	for _, spec := range s.want {
		want[spec.Name] = spec
	}
	s.mu.Unlock()
	for name, r := range have {
		if spec, there := want[name]; !there || spec.number != r.spec.number {
			r.stop() // all of them, before one is waited for
		}
	}
	for name, r := range have {
		spec, there := want[name]
		if there && spec.number == r.spec.number {
			continue
		}
		<-r.ended
		delete(have, name)
		if !there {
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
		m := &monitor{spec: spec.Spec, set: s, state: s.state(spec.Spec)}
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
