// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/rollout"
	"github.com/holdfast-project/holdfast/management/store"
)

// writeTimeout bounds one write of a decision; one that takes longer is tried again.
const writeTimeout = 5 * time.Second

// runner runs one attempt on this server, while it holds its lease.
type runner struct {
	co    *Coordinator
	c     *cluster
	lease store.Lease
	m     *rollout.Machine // of the runner's goroutine
	check *Check           // likewise, while the attempt is being prepared; nil: none
	wake  chan struct{}
	said  chan order
	ended chan struct{} // closed when it has

	mu      sync.Mutex
	reports map[string]rollout.Reported // the newest of each member that has not been taken

	shown map[string]rollout.Reported // under c.mu: for those who watch
}

// order is what a person wants.
type order struct {
	by      management.Actor
	confirm bool
	done    chan error
}

// put gives a report to the attempt, and does not wait.
func (r *runner) put(e rollout.Reported) {
	r.mu.Lock()
	r.reports[e.Member] = e
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *runner) take() map[string]rollout.Reported {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := maps.Clone(r.reports)
	clear(r.reports)
	return out
}

// run runs the attempt to its end, or until ctx ends or the lease is lost: then another server, or the next life of this one, goes on.
func (r *runner) run(ctx context.Context, a management.Attempt, takeOver bool) {
	defer func() { r.check.stop() }()
	var trials [][]string
	var tried <-chan rollout.Tried
	if r.check != nil {
		trials, tried = r.check.Groups, r.check.Ended
	}
	m, effects := rollout.New(r.co.o.Times, a, trials, takeOver, r.co.now(), r.co.o.Now().UnixNano())
	r.m = m
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	r.perform(ctx, effects, management.Actor{Kind: management.ByServer, Name: r.co.o.Server}, timer)
	server := management.Actor{Kind: management.ByServer, Name: r.co.o.Server}
	for !m.Done() {
		if r.check != nil && m.Attempt().Phase != management.Preparing {
			r.check.stop()
			r.check, tried = nil, nil // what it has is large
		}
		select {
		case <-ctx.Done():
			return
		case <-r.lease.Done():
			r.co.o.Log.Warn("another server may run the attempt", "cluster", a.Cluster, "attempt", a.Number)
			return
		case <-r.wake:
			for _, e := range r.take() {
				r.show(e)
				r.perform(ctx, m.Step(r.co.now(), e), server, timer)
			}
		case t := <-tried:
			r.perform(ctx, m.Step(r.co.now(), t), server, timer)
		case <-timer.C:
			r.perform(ctx, m.Step(r.co.now(), rollout.Tick{}), server, timer)
		case o := <-r.said:
			r.person(ctx, o, timer)
		}
	}
}

// show keeps what a member says for those who watch.
func (r *runner) show(e rollout.Reported) {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	if old := r.shown[e.Member]; old.State != e.State || old.Why != e.Why {
		r.shown[e.Member] = e
		r.c.moved()
	}
}

// person does what somebody wants, and answers once it is stored.
func (r *runner) person(ctx context.Context, o order, timer *time.Timer) {
	var event rollout.Event = rollout.Cancel{Why: "cancelled by " + o.by.String()}
	want := []management.Phase{management.Aborted, management.RolledBack}
	if o.confirm {
		if err := r.m.Confirmable(); err != nil {
			o.done <- err
			return
		}
		event, want = rollout.Confirm{}, []management.Phase{management.Confirmed}
	}
	r.perform(ctx, r.m.Step(r.co.now(), event), o.by, timer)
	for _, phase := range want {
		if r.m.Attempt().Phase == phase {
			o.done <- nil
			return
		}
	}
	if a := r.m.Attempt(); a.Phase.Over() {
		o.done <- &rollout.OverError{Number: a.Number, Phase: a.Phase}
		return
	}
	o.done <- errors.New("the store does not answer, and it is not known whether the decision was written: look at the attempt, and try again")
}

// perform does what the machine wants; by is who is to be audited for it.
func (r *runner) perform(ctx context.Context, effects []rollout.Effect, by management.Actor, timer *time.Timer) {
	for _, e := range effects {
		switch e := e.(type) {
		case rollout.Persist:
			a := r.m.Attempt()
			after, err := r.write(ctx, func(ctx context.Context) (management.Attempt, error) {
				return r.co.o.Records.Decide(ctx, by, a.Cluster, a.Number, e.To, e.Why, e.Replies)
			})
			r.perform(ctx, r.stored(after, err), by, timer)
		case rollout.End:
			a := r.m.Attempt()
			after, err := r.write(ctx, func(ctx context.Context) (management.Attempt, error) {
				return r.co.o.Records.EndAttempt(ctx, by, a.Cluster, a.Number, e.Replies)
			})
			r.perform(ctx, r.stored(after, err), by, timer)
		case rollout.Try:
			r.check.Try(e.Trial)
		case rollout.Tell:
			r.co.learn(r.c, r.m.Attempt())
		case rollout.Done:
			r.co.learn(r.c, r.m.Attempt())
		case rollout.WakeAt:
			timer.Reset(max(time.Duration(e.Time-r.co.now()), time.Millisecond))
		}
	}
}

func (r *runner) write(ctx context.Context, fn func(context.Context) (management.Attempt, error)) (management.Attempt, error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return fn(ctx)
}

// stored tells the machine how a write ended.
func (r *runner) stored(a management.Attempt, err error) []rollout.Effect {
	if err == nil || errors.Is(err, management.ErrDecided) && a.Number != 0 {
		return r.m.Step(r.co.now(), rollout.Stored{Attempt: a})
	}
	r.co.o.Log.Error("a decision cannot be written", "cluster", r.m.Attempt().Cluster, "attempt", r.m.Attempt().Number, "error", err)
	return r.m.Step(r.co.now(), rollout.NotStored{})
}
