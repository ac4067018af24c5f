// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/management/records"
	"github.com/holdfast-project/holdfast/management/rollout"
	"github.com/holdfast-project/holdfast/policy"
)

// Options are what a coordinator is made from.
type Options struct {
	Records *records.Records
	Server  string // name of this server: holder of leases, actor of what nobody asked for
	// Seal signs a bundle with management's key.
	Seal  func(*policy.Bundle) (*policy.Sealed, error)
	Log   *slog.Logger     // nil: none
	Hold  time.Duration    // how long a report is held; 0: a second
	Lease time.Duration    // how long an attempt waits for its server before another one takes it over; 0: 10 s
	Times rollout.Config   // zero: rollout.Default
	Now   func() time.Time // nil: time.Now
}

// Coordinator is the live half of management. All methods may be called from any goroutine.
type Coordinator struct {
	o       Options
	pass    *passing
	reports atomic.Uint64
	begin   time.Time // for time that does not jump
	epoch   int64

	mu       sync.Mutex
	clusters map[string]*cluster
	ctx      context.Context // of Run; nil: not running
	tasks    sync.WaitGroup
}

// New makes a coordinator; Run makes it work.
func New(o Options) (*Coordinator, error) {
	if o.Records == nil || o.Seal == nil || o.Server == "" {
		return nil, errors.New("coordinator: records, a key and a server's name are needed")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Hold <= 0 {
		o.Hold = time.Second
	}
	if o.Lease <= 0 {
		o.Lease = 10 * time.Second
	}
	if o.Times == (rollout.Config{}) {
		o.Times = rollout.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	begin := time.Now()
	co := &Coordinator{o: o, clusters: map[string]*cluster{}, begin: begin, epoch: o.Now().UnixNano()}
	co.pass = &passing{co: co, wake: make(chan struct{}, 1), pending: map[string][]byte{}}
	return co, nil
}

// now is nanoseconds since 1970 by a clock that was right at the start and does not jump.
func (co *Coordinator) now() int64 { return co.epoch + int64(time.Since(co.begin)) }

// Report takes a member's report and returns what it is to do: at once if that is not what it has seen, otherwise after Options.Hold, or when the
// member reports again. The error wraps records.ErrNone or records.ErrMember for a member that there is not, and management.ErrValue for numbers
// that cannot be.
func (co *Coordinator) Report(ctx context.Context, clusterName, member string, r api.Report) (api.Orders, error) {
	co.reports.Add(1)
	c, err := co.cluster(ctx, clusterName)
	if err != nil {
		return api.Orders{}, err
	}
	c.mu.Lock()
	if !c.c.Has(member) {
		c.mu.Unlock()
		return api.Orders{}, fmt.Errorf("%s: %w %s", member, records.ErrMember, clusterName)
	}
	news := r.Highest > c.c.Numbers.Generation || r.HighestAttempt > c.c.Numbers.Attempt || c.c.Numbers.Unsure
	c.mu.Unlock()
	if news {
		actor := management.Actor{Kind: management.ByMember, Name: clusterName + "/" + member}
		n, err := co.o.Records.Reported(ctx, actor, clusterName, member, r.Highest, r.HighestAttempt)
		if err != nil {
			return api.Orders{}, err
		}
		c.mu.Lock()
		c.c.Numbers = n
		c.mu.Unlock()
	}
	return co.hold(ctx, c, member, r)
}

func (co *Coordinator) hold(ctx context.Context, c *cluster, member string, r api.Report) (api.Orders, error) {
	if err := co.need(ctx, c, r.Attempt); err != nil {
		return api.Orders{}, err
	}
	c.mu.Lock()
	x := c.members[member]
	if x == nil {
		x = &live{}
		c.members[member] = x
	} else if x.report.Run == r.Run && r.Seq < x.report.Seq { // it was overtaken on another connection
		o := c.ordersFor(member, co.o.Times.Grace, co.o.Hold)
		c.mu.Unlock()
		return o, nil
	} else if x.release != nil {
		close(x.release)
	}
	x.report, x.last, x.release = r, time.Now(), make(chan struct{})
	released := x.release
	co.spread(c, member, r)
	c.mu.Unlock()

	timer := time.NewTimer(co.o.Hold)
	defer timer.Stop()
	for {
		c.mu.Lock()
		o := c.ordersFor(member, co.o.Times.Grace, co.o.Hold)
		changed := c.orders
		c.mu.Unlock()
		if o.Serial != r.Serial {
			return o, nil
		}
		select {
		case <-changed:
		case <-released:
			return o, nil
		case <-timer.C:
			return o, nil
		case <-ctx.Done():
			return o, ctx.Err()
		}
	}
}

// need reads an attempt that a member waits for the end of, if it is not in memory.
func (co *Coordinator) need(ctx context.Context, c *cluster, a api.AttemptState) error {
	c.mu.Lock()
	_, known := c.attempts[a.Number]
	name := c.c.Name
	c.mu.Unlock()
	if known || a.Number == 0 || !open(a) {
		return nil
	}
	stored, err := co.o.Records.Attempt(ctx, name, a.Number)
	if errors.Is(err, records.ErrNone) {
		return nil
	}
	if err == nil {
		c.mu.Lock()
		c.learn(stored)
		c.mu.Unlock()
	}
	return err
}

// spread gives a report to the attempts under way: here, or to the servers that run them. The caller holds c.mu.
func (co *Coordinator) spread(c *cluster, member string, r api.Report) {
	elsewhere := false
	for n, a := range c.attempts {
		if a.Ended != 0 {
			continue
		}
		if run := c.running[n]; run != nil {
			run.put(reported(a, member, r))
		} else {
			elsewhere = true
		}
	}
	if elsewhere {
		co.pass.put(c.c.Name, member, r)
	}
}

// cluster finds one, and reads it the first time.
func (co *Coordinator) cluster(ctx context.Context, name string) (*cluster, error) {
	co.mu.Lock()
	c := co.clusters[name]
	co.mu.Unlock()
	if c != nil {
		return c, nil
	}
	stored, err := co.o.Records.Cluster(ctx, name)
	if err != nil {
		return nil, err
	}
	c = newCluster(stored)
	if stored.Attempt != 0 {
		a, err := co.o.Records.Attempt(ctx, name, stored.Attempt)
		if err != nil {
			return nil, err
		}
		c.attempts[a.Number] = a
	}
	co.mu.Lock()
	defer co.mu.Unlock()
	if other := co.clusters[name]; other != nil {
		return other, nil
	}
	co.clusters[name] = c
	return c, nil
}

// learn takes an attempt as it is stored.
func (co *Coordinator) learn(c *cluster, a management.Attempt) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.learn(a)
}

// Members are the members of a cluster with what they reported, in the cluster's order.
func (co *Coordinator) Members(ctx context.Context, clusterName string) ([]Status, error) {
	c, err := co.cluster(ctx, clusterName)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []Status
	for _, name := range c.c.Members {
		s := Status{Name: name}
		if x := c.members[name]; x != nil {
			s.Report, s.Last, s.There = x.report, x.last, co.there(x)
		}
		out = append(out, s)
	}
	return out, nil
}

func (co *Coordinator) there(x *live) bool { return time.Since(x.last) < co.o.Times.Silence }

// Stats counts what is in memory.
func (co *Coordinator) Stats() Stats {
	s := Stats{Reports: co.reports.Load()}
	co.mu.Lock()
	all := make([]*cluster, 0, len(co.clusters))
	for _, c := range co.clusters {
		all = append(all, c)
	}
	co.mu.Unlock()
	for _, c := range all {
		c.mu.Lock()
		s.Clusters++
		s.Members += len(c.c.Members)
		s.Running += len(c.running)
		for _, x := range c.members {
			if co.there(x) {
				s.There++
			}
		}
		c.mu.Unlock()
	}
	return s
}
