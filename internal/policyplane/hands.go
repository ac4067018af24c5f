// SPDX-License-Identifier: Apache-2.0

package policyplane

import (
	"context"
	"time"

	"github.com/holdfast-project/holdfast/policy/nft"
)

// task is a change of the kernel. The hands run one after another, in order; done is called by the loop.
type task struct {
	name string
	// stills says that the watch over the policy in force has to look away meanwhile: what it compares with changes.
	stills bool
	run    func(ctx context.Context, k *nft.Kernel) error
	done   func(err error, took time.Duration)
}

type taskDone struct {
	task *task
	err  error
	took time.Duration
}

// hand gives the hands something to do.
func (l *loop) hand(t *task) {
	l.tasks = append(l.tasks, t)
	l.nextTask()
}

// nextTask begins a task unless one is under way.
func (l *loop) nextTask() {
	if l.busy || len(l.tasks) == 0 {
		return
	}
	t := l.tasks[0]
	l.tasks = l.tasks[1:]
	l.busy = true
	var still <-chan struct{}
	if t.stills {
		still = l.look.stop()
	}
	kernel, p, ctx := l.kernel, l.p, l.ctx
	l.group.Go(func() error {
		if still != nil {
			<-still
		}
		began := time.Now()
		err := t.run(ctx, kernel)
		p.tell(taskDone{t, err, time.Since(began)})
		return nil
	})
}

// finished takes in what a task did.
func (l *loop) finished(d taskDone) {
	l.busy = false
	d.task.done(d.err, d.took)
	l.nextTask()
	if !l.busy && d.task.stills {
		l.watch()
	}
}
