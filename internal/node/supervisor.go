// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"

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
}

func newSupervisor(ctx context.Context) *supervisor {
	group, ctx := errgroup.WithContext(ctx)
	return &supervisor{group: group, ctx: ctx}
}

func (s *supervisor) start(t task) {
	s.group.Go(func() error {
		if err := t.run(s.ctx); err != nil && !errors.Is(err, context.Canceled) {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		return nil
	})
}

// wait returns when every task has ended, with the first error.
func (s *supervisor) wait() error { return s.group.Wait() }
