// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// task is something that runs beside the loop. It ends, without an error, when its context does.
type task struct {
	name string
	run  func(context.Context) error
}

// supervisor starts every goroutine of the member and knows when all have ended. The first task that fails ends the others.
type supervisor struct {
	group *errgroup.Group
	ctx   context.Context //nolint:containedctx // the group's own context, given to each task

	mu   sync.Mutex
	runs map[string]int // how many tasks of a name have not ended
}

func newSupervisor(ctx context.Context) *supervisor {
	group, ctx := errgroup.WithContext(ctx)
	return &supervisor{group: group, ctx: ctx, runs: map[string]int{}}
}

func (s *supervisor) start(t task) {
	s.count(t.name, 1)
	s.group.Go(func() error {
		defer s.count(t.name, -1)
		if err := t.run(s.ctx); err != nil && !errors.Is(err, context.Canceled) {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		return nil
	})
}

func (s *supervisor) count(name string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.runs[name] += n; s.runs[name] == 0 {
		delete(s.runs, name)
	}
}

// wait returns when every task has ended, with the first error.
func (s *supervisor) wait() error { return s.group.Wait() }

// waitAtMost returns when every task has ended, with the first error, or after a time, with nothing but a line in the log that names
// those that have not. meanwhile is called every wordEvery.
func (s *supervisor) waitAtMost(limit time.Duration, meanwhile func(waited time.Duration), log *slog.Logger) error {
	ended := make(chan error, 1)
	go func() { ended <- s.wait() }()
	for began := time.Now(); time.Since(began) < limit; {
		select {
		case err := <-ended:
			return err
		case <-time.After(wordEvery):
			meanwhile(time.Since(began))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	log.Error("tasks that were told to end have not, ending without them", "tasks", slices.Sorted(maps.Keys(s.runs)), "after", limit)
	return nil
}
