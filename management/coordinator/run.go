// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/records"
	"github.com/holdfast-project/holdfast/management/store"
)

// sweepEvery is how often a server looks for attempts that no server runs. One is taken over when it was seen twice: a server that has
// just begun one takes its lease a moment later.
const sweepEvery = time.Second

// Run follows the store, and runs and takes over attempts, until ctx ends; then it waits until all that it began has stopped, and returns nil.
// What is under way is then left as it is stored.
func (co *Coordinator) Run(ctx context.Context) error {
	err := co.run(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // it was told to end while it began
	}
	return err
}

func (co *Coordinator) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var watches []<-chan store.Changes
	for _, kind := range []records.Kind{records.Clusters, records.Attempts, records.LiveReports} {
		w, err := co.o.Records.Watch(ctx, kind)
		if err != nil {
			return unlessOver(ctx, err)
		}
		watches = append(watches, w)
	}
	if err := co.readAll(ctx); err != nil {
		return unlessOver(ctx, err)
	}
	co.mu.Lock()
	co.ctx = ctx
	co.mu.Unlock()
	defer co.tasks.Wait()
	defer cancel()
	co.task(func() { co.pass.run(ctx) })
	seen := map[string]bool{}
	co.sweep(ctx, nil) // what this server ran in its life before has no other server
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case ch := <-watches[0]:
			err = co.clustersChanged(ctx, ch)
		case ch := <-watches[1]:
			err = co.attemptsChanged(ctx, ch)
		case ch := <-watches[2]:
			err = co.heard(ctx, ch.Keys)
		case <-ticker.C:
			seen = co.sweep(ctx, seen)
		}
		if err != nil && ctx.Err() == nil {
			co.o.Log.Warn("the store does not answer", "error", err)
			pause(ctx, time.Second)
			err = co.readAll(ctx) // what was missed
			if err != nil && ctx.Err() == nil {
				co.o.Log.Warn("the store does not answer", "error", err)
			}
		}
	}
}

// unlessOver is err, unless ctx has ended, which is none.
func unlessOver(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it is over
	}
	return err
}

func (co *Coordinator) task(fn func()) {
	co.tasks.Add(1)
	go func() {
		defer co.tasks.Done()
		fn()
	}()
}

// readAll reads all clusters, and the attempts that have not ended.
func (co *Coordinator) readAll(ctx context.Context) error {
	all, err := co.o.Records.Clusters(ctx)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, stored := range all {
		there[stored.Name] = true
		if err := co.know(ctx, stored); err != nil {
			return err
		}
	}
	co.mu.Lock()
	for name := range co.clusters {
		if !there[name] {
			delete(co.clusters, name)
		}
	}
	co.mu.Unlock()
	attempts, err := co.o.Records.OpenAttempts(ctx, nil)
	if err != nil {
		return err
	}
	for _, a := range attempts {
		c, err := co.cluster(ctx, a.Cluster)
		if err != nil {
			return err
		}
		co.learn(c, a)
	}
	return nil
}

// know takes a cluster as it is stored.
func (co *Coordinator) know(ctx context.Context, stored management.Cluster) error {
	c, err := co.cluster(ctx, stored.Name)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	stored.Config = nil
	stored.Attempt = max(stored.Attempt, c.c.Attempt)
	if c.c.Current != stored.Current || len(c.c.Members) != len(stored.Members) {
		defer c.tell()
	}
	c.c = stored
	for name := range c.members {
		if !stored.Has(name) {
			delete(c.members, name)
		}
	}
	return nil
}

func (co *Coordinator) clustersChanged(ctx context.Context, ch store.Changes) error {
	if ch.Lost {
		return co.readAll(ctx)
	}
	for _, key := range ch.Keys {
		name := strings.TrimPrefix(key, string(records.Clusters))
		stored, err := co.o.Records.Cluster(ctx, name)
		switch {
		case errors.Is(err, records.ErrNone):
			co.mu.Lock()
			delete(co.clusters, name)
			co.mu.Unlock()
			continue
		case err != nil:
			return err
		}
		if err := co.know(ctx, stored); err != nil {
			return err
		}
	}
	return nil
}

func (co *Coordinator) attemptsChanged(ctx context.Context, ch store.Changes) error {
	if ch.Lost {
		return co.readAll(ctx)
	}
	for _, key := range ch.Keys {
		clusterName, digits, _ := strings.Cut(strings.TrimPrefix(key, string(records.Attempts)), "/")
		number, err := strconv.ParseUint(digits, 10, 64)
		if err != nil {
			continue
		}
		a, err := co.o.Records.Attempt(ctx, clusterName, number)
		if errors.Is(err, records.ErrNone) {
			continue
		}
		if err != nil {
			return err
		}
		c, err := co.cluster(ctx, clusterName)
		if err != nil {
			return err
		}
		co.learn(c, a)
	}
	return nil
}

// runs reports whether an attempt runs on this server.
func (co *Coordinator) runs(clusterName string, number uint64) bool {
	co.mu.Lock()
	c := co.clusters[clusterName]
	co.mu.Unlock()
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.running[number] != nil
}

// sweep takes attempts over that no server runs. before are those that it saw the last time; nil: take all.
func (co *Coordinator) sweep(ctx context.Context, before map[string]bool) map[string]bool {
	seen := map[string]bool{}
	attempts, err := co.o.Records.OpenAttempts(ctx, co.runs)
	if err != nil {
		if ctx.Err() == nil {
			co.o.Log.Warn("the store does not answer", "error", err)
		}
		return seen
	}
	for _, a := range attempts {
		c, err := co.cluster(ctx, a.Cluster)
		if err != nil {
			continue
		}
		c.mu.Lock()
		// While numbers are unsure the store may be older than a decision: members have to report first.
		wait := c.running[a.Number] != nil || !a.Phase.Over() && c.c.Numbers.Unsure
		c.mu.Unlock()
		if wait {
			continue
		}
		key := a.Cluster + "/" + strconv.FormatUint(a.Number, 10)
		if seen[key] = true; before != nil && !before[key] {
			continue
		}
		switch err := co.start(ctx, c, a, nil, true); {
		case err == nil:
			co.o.Log.Info("an attempt is taken over", "cluster", a.Cluster, "attempt", a.Number, "phase", a.Phase.String())
		case !errors.Is(err, store.ErrHeld) && ctx.Err() == nil:
			co.o.Log.Warn("an attempt cannot be taken over", "cluster", a.Cluster, "attempt", a.Number, "error", err)
		}
	}
	return seen
}
