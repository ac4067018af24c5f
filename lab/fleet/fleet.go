// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-project/holdfast/internal/manager"
	"github.com/holdfast-project/holdfast/internal/policyplane"
	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/install"
)

// startRate is how many members a second begin to report: what a fleet does after a server's restart, without its scatter.
const startRate = 400

// tooMany is how long an operator's tool waits when the server has enough to do.
const tooMany = 200 * time.Millisecond

// Fleet is the members of a site while they report to a server.
type Fleet struct {
	site    *Site
	url     string
	members []*member
	stop    context.CancelFunc
	tasks   sync.WaitGroup
}

// member is one that does at once what it is ordered.
type member struct {
	identity
	site *Site
	m    *manager.Manager

	mu sync.Mutex
	r  policyplane.Report
}

// Start lets all members report to a server, until Stop.
func (s *Site) Start(ctx context.Context, url string) (*Fleet, error) {
	ctx, stop := context.WithCancel(ctx)
	f := &Fleet{site: s, url: url, stop: stop}
	for _, id := range s.members {
		m, err := manager.Open(manager.Options{URLs: []string{url}, Dir: id.dir, Cluster: id.cluster, Member: id.name})
		if err != nil {
			f.Stop()
			return nil, err
		}
		x := &member{identity: id, site: s, m: m}
		x.r.Member = policyplane.Description{State: "STANDBY", Version: "fleet"}
		for i := range s.o.Members {
			if name := memberName(i); name != id.name {
				x.r.Peers = append(x.r.Peers, policyplane.PeerReport{Name: name, Heard: true})
			}
		}
		f.members = append(f.members, x)
	}
	f.tasks.Go(func() {
		tick := time.NewTicker(time.Second / startRate)
		defer tick.Stop()
		for _, x := range f.members {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			x.m.Report(x.r)
			f.tasks.Go(func() { _ = x.m.Run(ctx) }) // it returns nil
			f.tasks.Go(func() { x.run(ctx) })
		}
	})
	return f, nil
}

// Stop ends all members.
func (f *Fleet) Stop() {
	f.stop()
	f.tasks.Wait()
}

// Reachable is how many members the server has answered; why is what one of the others says.
func (f *Fleet) Reachable() (n int, why string) {
	for _, x := range f.members {
		if ok, reason := x.m.Reachable(); ok {
			n++
		} else {
			why = x.cluster + "/" + x.name + ": " + reason
		}
	}
	return n, why
}

// Wait waits until the server has answered all members.
func (f *Fleet) Wait(ctx context.Context) error {
	for {
		n, why := f.Reachable()
		if n == len(f.members) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d members reach the server: %s: %w", n, len(f.members), why, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// run does what is ordered until ctx ends.
func (x *member) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case o := <-x.m.Orders():
			x.ordered(ctx, o.Attempt)
		}
	}
}

func (x *member) ordered(ctx context.Context, o policyplane.OrderedAttempt) {
	if o.Number == 0 {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	a := &x.r.Attempt
	if a.Number != o.Number {
		*a = policyplane.Attempt{Number: o.Number, Policy: o.Policy}
		x.r.HighestAttempt, x.r.Highest = o.Number, max(x.r.Highest, o.Policy.Generation)
	}
	before := *a
	switch {
	case o.Phase == policyplane.PhasePrepare && a.State == install.Idle:
		a.State = install.Prepared
		if err := x.fetch(ctx, o.Policy); err != nil {
			a.State, a.Why = install.Refused, err.Error()
		}
	case o.Phase == policyplane.PhaseCommit && a.State == install.Prepared:
		a.State, x.r.Previous, x.r.InForce, a.Committed = install.Committed, x.r.InForce, o.Policy, time.Now().UnixNano()
	case o.Phase == policyplane.PhaseConfirmed && a.State == install.Committed:
		a.State, a.Confirmed = install.Confirmed, true
	case o.Phase == policyplane.PhaseAbort && !a.Confirmed:
		a.State = install.Aborted
	case o.Phase == policyplane.PhaseRolledBack && a.State == install.Committed:
		a.State, a.RolledBack, x.r.InForce = install.RolledBack, true, x.r.Previous
	}
	if *a != before {
		x.m.Report(x.r)
	}
}

// fetch gets a policy as a member does, and verifies it.
func (x *member) fetch(ctx context.Context, what policy.Offer) error {
	file, err := x.m.Fetch(ctx, what)
	if err != nil {
		return err
	}
	sealed, err := policy.Open(file, policy.Trust{Cluster: x.id, Keys: x.site.keys})
	if err == nil && sealed.Head().Digest() != what.Digest {
		err = errors.New("it is another policy")
	}
	return err
}

// InstallAll installs a ruleset on the first n clusters, at most atOnce at a time, and returns how long it took from the first request until all
// members had it confirmed.
func (f *Fleet) InstallAll(ctx context.Context, n, atOnce int, ruleset string) (time.Duration, error) {
	clients := make([]*api.Client, len(f.site.operators))
	for i := range clients {
		c, err := f.site.client(i, f.url)
		if err != nil {
			return 0, err
		}
		defer c.Close()
		clients[i] = c
	}
	began := time.Now()
	numbers := make([]uint64, n)
	g, installing := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i := range n {
		g.Go(func() (err error) {
			for {
				numbers[i], err = installOn(installing, clients[i%len(clients)], clusterName(i), ruleset)
				if api.CodeOf(err) != api.CodeTooMany {
					return err
				}
				select { // the server says: wait
				case <-installing.Done():
					return err
				case <-time.After(tooMany):
				}
			}
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	for i, x := range f.members[:n*f.site.o.Members] {
		if err := x.confirmed(ctx, numbers[i/f.site.o.Members]); err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}

// confirmed waits until a member knows that an attempt is confirmed.
func (x *member) confirmed(ctx context.Context, number uint64) error {
	for {
		x.mu.Lock()
		a := x.r.Attempt
		x.mu.Unlock()
		if a.Number == number && a.Confirmed {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s/%s: attempt %d is not confirmed there: %w", x.cluster, x.name, number, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// installOn asks for an install and follows it to its end, and returns its number.
func installOn(ctx context.Context, c *api.Client, cluster, ruleset string) (uint64, error) {
	var last *api.Install
	var refused *api.Error
	err := c.Lines(ctx, "POST", "/v1/clusters/"+cluster+"/installs", api.InstallRequest{File: "fleet.nft", Ruleset: ruleset}, func(l api.InstallLine) error {
		if l.Install != nil {
			last = l.Install
		}
		if l.Error != nil {
			refused = l.Error
		}
		return nil
	})
	switch {
	case err != nil:
		return 0, fmt.Errorf("cluster %s: %w", cluster, err)
	case refused != nil:
		return 0, fmt.Errorf("cluster %s: %w", cluster, refused)
	case last == nil || last.Phase != "confirmed":
		return 0, fmt.Errorf("cluster %s: the install ended otherwise: %+v", cluster, last)
	}
	return last.Number, nil
}
