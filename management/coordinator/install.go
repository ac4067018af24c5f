// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/records"
	"github.com/holdfast-project/holdfast/management/rollout"
	"github.com/holdfast-project/holdfast/management/store"
	"github.com/holdfast-project/holdfast/policy"
)

// ErrStopped says that the coordinator does not run.
var ErrStopped = errors.New("the server is stopping: ask another one, or again")

// Install numbers and signs a policy, keeps it, and begins to install it; Watch tells how it goes on. The error wraps what records.AddPolicy and
// records.BeginAttempt return, or management.ErrValue.
func (co *Coordinator) Install(ctx context.Context, i Install) (_ management.Attempt, err error) {
	defer func() {
		if err != nil {
			i.Check.stop()
		}
	}()
	stored, err := co.o.Records.Cluster(ctx, i.Cluster)
	if err != nil {
		return management.Attempt{}, err
	}
	a := management.Attempt{
		Cluster: i.Cluster, BestEffort: i.BestEffort, Manual: i.Manual, PrepareWithin: int64(i.PrepareWithin), ConfirmWithin: int64(i.ConfirmWithin),
	}
	if a.PrepareWithin == 0 {
		a.PrepareWithin = int64(rollout.DefaultPrepare)
	}
	if a.ConfirmWithin == 0 {
		a.ConfirmWithin = int64(rollout.DefaultConfirm)
	}
	if a.Replies, err = chosen(stored, i.Members); err != nil {
		return a, err
	}
	if err := co.idle(ctx, stored); err != nil {
		return a, err
	}
	kept, err := co.o.Records.AddPolicy(ctx, i.By, i.Cluster, func(generation uint64) (*policy.Sealed, error) {
		b := i.Bundle
		b.Cluster, b.Generation, b.Created = stored.ID, generation, co.o.Now().Unix()
		return co.o.Seal(&b)
	})
	if err != nil {
		return a, err
	}
	a.Policy = kept.Ref()
	if a, err = co.o.Records.BeginAttempt(ctx, i.By, a); err != nil {
		return a, err
	}
	c, err := co.cluster(ctx, i.Cluster)
	if err != nil {
		return a, err
	}
	if err := co.start(ctx, c, a, i.Check, false); !errors.Is(err, store.ErrHeld) {
		return a, err
	}
	i.Check.stop()
	return a, nil // this server stood still for so long that the attempt was taken over: it has begun, and tells what becomes of it
}

// idle refuses what BeginAttempt would, before a generation is made for nothing.
func (co *Coordinator) idle(ctx context.Context, c management.Cluster) error {
	if c.Attempt == 0 {
		return nil
	}
	a, err := co.o.Records.Attempt(ctx, c.Name, c.Attempt)
	if err == nil && !a.Phase.Over() {
		err = fmt.Errorf("cluster %s: %w: attempt %d, generation %d, begun by %s, is %s: wait for it or cancel it", c.Name, records.ErrBusy, a.Number, a.Policy.Generation, a.By, a.Phase)
	}
	return err
}

// chosen are the replies of the members that take part.
func chosen(c management.Cluster, members []string) ([]management.Reply, error) {
	for i, m := range members {
		switch {
		case !c.Has(m):
			return nil, fmt.Errorf("%s: %w %s", m, records.ErrMember, c.Name)
		case slices.Contains(members[:i], m):
			return nil, fmt.Errorf("member %s: %w: it is named twice", m, management.ErrValue)
		}
	}
	var out []management.Reply
	for _, m := range c.Members {
		if len(members) == 0 || slices.Contains(members, m) {
			out = append(out, management.Reply{Member: m})
		}
	}
	return out, nil
}

// start runs an attempt here, if no other server does: then errors.Is(err, store.ErrHeld).
func (co *Coordinator) start(ctx context.Context, c *cluster, a management.Attempt, check *Check, takeOver bool) error {
	lease, err := co.o.Records.Acquire(ctx, fmt.Sprintf("attempt/%s/%d", a.Cluster, a.Number), co.o.Server, co.o.Lease)
	if err != nil {
		return err
	}
	r := &runner{
		co: co, c: c, lease: lease, check: check, wake: make(chan struct{}, 1), said: make(chan order), ended: make(chan struct{}),
		reports: map[string]rollout.Reported{}, shown: map[string]rollout.Reported{},
	}
	co.mu.Lock()
	running := co.ctx
	if running == nil || running.Err() != nil {
		co.mu.Unlock()
		return errors.Join(ErrStopped, co.release(lease))
	}
	co.tasks.Add(1)
	co.mu.Unlock()
	c.mu.Lock()
	c.learn(a)
	c.running[a.Number] = r
	for name, x := range c.members {
		if co.there(x) {
			r.put(reported(a, name, x.report))
		}
	}
	c.mu.Unlock()
	go func() {
		defer co.tasks.Done()
		r.run(running, a, takeOver)
		close(r.ended)
		c.mu.Lock()
		delete(c.running, a.Number)
		c.moved()
		c.mu.Unlock()
		if err := co.release(lease); err != nil {
			co.o.Log.Warn("a lease cannot be released", "cluster", a.Cluster, "attempt", a.Number, "error", err)
		}
	}()
	return nil
}

func (co *Coordinator) release(l store.Lease) error {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	return l.Release(ctx)
}

// Confirm confirms the newest attempt of a cluster. The error is a *rollout.NotWellError or a *rollout.OverError if it is not the time.
func (co *Coordinator) Confirm(ctx context.Context, clusterName string, by management.Actor) (management.Attempt, error) {
	return co.ask(ctx, clusterName, order{by: by, confirm: true})
}

// Cancel ends the newest attempt of a cluster: abort before its commit, rolled back after it. The error is a *rollout.OverError if it is over.
func (co *Coordinator) Cancel(ctx context.Context, clusterName string, by management.Actor) (management.Attempt, error) {
	return co.ask(ctx, clusterName, order{by: by})
}

func (co *Coordinator) ask(ctx context.Context, clusterName string, o order) (management.Attempt, error) {
	stored, err := co.o.Records.Cluster(ctx, clusterName)
	if err != nil {
		return management.Attempt{}, err
	}
	if stored.Attempt == 0 {
		return management.Attempt{}, fmt.Errorf("cluster %s: %w: nothing was installed yet", clusterName, records.ErrNone)
	}
	a, err := co.o.Records.Attempt(ctx, clusterName, stored.Attempt)
	if err != nil {
		return a, err
	}
	if a.Phase.Over() {
		return a, overError(a)
	}
	c, err := co.cluster(ctx, clusterName)
	if err != nil {
		return a, err
	}
	c.mu.Lock()
	r := c.running[a.Number]
	c.mu.Unlock()
	if r == nil {
		return co.askOther(ctx, a, o)
	}
	o.done = make(chan error, 1)
	select {
	case r.said <- o:
	case <-r.ended:
		return a, ErrStopped
	case <-ctx.Done():
		return a, ctx.Err()
	}
	select {
	case err = <-o.done:
	case <-r.ended:
		return a, ErrStopped
	case <-ctx.Done():
		return a, ctx.Err()
	}
	if err != nil {
		return a, err
	}
	return co.o.Records.Attempt(ctx, clusterName, a.Number)
}

func overError(a management.Attempt) error {
	return &rollout.OverError{Number: a.Number, Phase: a.Phase}
}

// Watch tells how an attempt goes on: what is known at once, then each change, until it is over or ctx ends; then the channel is closed. A slow reader
// misses what is between.
func (co *Coordinator) Watch(ctx context.Context, clusterName string, number uint64) (<-chan Progress, error) {
	c, err := co.cluster(ctx, clusterName)
	if err != nil {
		return nil, err
	}
	a, err := co.o.Records.Attempt(ctx, clusterName, number)
	if err != nil {
		return nil, err
	}
	out := make(chan Progress)
	go func() {
		defer close(out)
		for {
			c.mu.Lock()
			if known, ok := c.attempts[number]; ok {
				a = known
			}
			p, changed := co.show(c, a), c.progress
			c.mu.Unlock()
			select {
			case out <- p:
			case <-ctx.Done():
				return
			}
			if p.Over() {
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

// show is an attempt with what members say of it. The caller holds c.mu.
func (co *Coordinator) show(c *cluster, a management.Attempt) Progress {
	p := Progress{Attempt: a}
	r := c.running[a.Number]
	for _, reply := range a.Replies {
		m := MemberProgress{Name: reply.Member, State: rollout.StateOf(reply.State), Why: reply.Why}
		if x := c.members[reply.Member]; x != nil {
			m.There = co.there(x)
			if s, why := state(a, x.report); s != rollout.Idle && s != rollout.Silent {
				m.State, m.Why = s, why
			}
		}
		if r != nil {
			if e, ok := r.shown[reply.Member]; ok && e.State != rollout.Idle && e.State != rollout.Silent {
				m.State, m.Why = e.State, e.Why
			}
		}
		p.Members = append(p.Members, m)
	}
	return p
}
