// SPDX-License-Identifier: Apache-2.0

package policyplane

import (
	"context"
	"slices"
	"time"

	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/nft"
)

// task is a change of the kernel. The hands run one after another, in order; done is called by the loop.
type task struct {
	name string
	key  taskKey // of what is asked for again and again until it is done; zero: every one counts
	// stills says that the watch over the policy in force has to look away meanwhile: what it compares with changes, or so much is loaded beside it
	// that to be told of that would take longer than to load it.
	stills bool
	// unless, if given, is asked right before it begins: what was before it in the row may have made it pointless, or wrong.
	unless func() bool
	run    func(ctx context.Context, k *nft.Kernel) error
	done   func(err error, took time.Duration)
}

// taskKey tells what a machine wants from what it wanted before.
type taskKey struct {
	name    string
	attempt uint64
	digest  policy.Digest
}

type taskDone struct {
	task *task
	err  error
	took time.Duration
}

// hand gives the hands something to do, unless just that waits already.
func (l *loop) hand(t *task) {
	if t.key != (taskKey{}) && slices.ContainsFunc(l.tasks, func(o *task) bool { return o.key == t.key }) {
		return
	}
	if t.key != (taskKey{}) && l.busy && l.running.key == t.key {
		return
	}
	l.tasks = append(l.tasks, t)
	l.nextTask()
}

// nextTask begins a task unless one is under way.
func (l *loop) nextTask() {
	if l.busy {
		return
	}
	for len(l.tasks) > 0 && l.tasks[0].unless != nil && l.tasks[0].unless() {
		l.tasks = l.tasks[1:]
	}
	if len(l.tasks) == 0 {
		return
	}
	t := l.tasks[0]
	l.tasks = l.tasks[1:]
	l.busy, l.running = true, t
	l.yield()
	var still <-chan struct{}
	if t.stills {
		still = l.lookAway()
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
	l.watched = l.watched && !d.task.stills
	l.nextTask()
	if !l.busy {
		l.stillHere()
		l.rematch()
	}
}

// stillHere begins to watch again what tasks had made the watch look away from.
func (l *loop) stillHere() {
	if !l.watched {
		l.watch()
	}
}
