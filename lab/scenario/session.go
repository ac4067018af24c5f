// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/lab/members"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// Session is a scenario's topology and cluster, kept open to play with: its steps are given one by one. It is not safe for
// concurrent use.
type Session struct{ r *runner }

// Open builds a scenario's topology, boots its cluster and starts its traffic. Of its steps it takes the first only, and only if that is
// start-from: whoever comes to look finds a cluster at rest. Close must be called.
func Open(ctx context.Context, sc *Scenario, o Options) (*Session, error) {
	s := &Session{&runner{sc: sc, opts: o, timeline: o.Timeline}}
	err := s.r.setUp(ctx)
	if first, ok := sc.beginning(); ok && err == nil {
		err = first.run(ctx, s.r)
	}
	if err != nil {
		return nil, errors.Join(err, s.r.tearDown())
	}
	return s, nil
}

// beginning is the first step, if it is the one with which a cluster comes to rest.
func (sc *Scenario) beginning() (startFrom, bool) {
	if len(sc.Steps) == 0 {
		return startFrom{}, false
	}
	first, ok := sc.Steps[0].do.(startFrom)
	return first, ok
}

// Do carries out one step, in the words of a scenario. A failed expectation is an error here.
func (s *Session) Do(ctx context.Context, text string) error {
	steps, err := oneStep(s.r.sc, text)
	if err != nil {
		return err
	}
	judged := len(s.r.checks)
	for _, step := range steps {
		s.r.judged = time.Time{}
		if err := s.r.do(ctx, step); err != nil {
			return err
		}
	}
	for _, c := range s.r.checks[judged:] {
		if !c.Passed {
			return fmt.Errorf("%s: %s", c.Text, c.Got)
		}
	}
	return nil
}

// oneStep reads a step as one of the scenario's: it may name what that has.
func oneStep(of *Scenario, text string) ([]Step, error) {
	p := &parser{sc: &Scenario{File: "step", Spec: of.Spec, Cluster: Cluster{Policies: of.Cluster.Policies}}, block: "steps", line: 1}
	p.statement(strings.TrimSpace(text))
	p.finish()
	return p.sc.Steps, errors.Join(p.errs...)
}

// Lab returns the topology.
func (s *Session) Lab() *topology.Lab { return s.r.lab }

// Cluster returns the cluster on it.
func (s *Session) Cluster() *members.Cluster { return s.r.cluster }

// Close ends everything.
func (s *Session) Close() error { return s.r.tearDown() }
