// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/management/records"
)

// Bounds of what is passed on between servers.
const (
	passEvery   = 50 * time.Millisecond
	passAtATime = 64
	// askWithin is how long a person waits for an answer of the server that runs the attempt.
	askWithin = 10 * time.Second
)

// passing writes what members of attempts that run elsewhere report, many at a time, the newest of each.
type passing struct {
	co   *Coordinator
	wake chan struct{}

	mu      sync.Mutex
	pending map[string][]byte
}

// passed is one of them: what the machine of an attempt needs of a report.
type passed struct {
	Server  string           `json:"server"`
	Attempt api.AttemptState `json:"attempt"`
	InForce api.Offer        `json:"in_force"`
	Peers   []api.PeerReport `json:"peers,omitempty"`
	Ask     *passedAsk       `json:"ask,omitempty"`
	Time    int64            `json:"time"` // so that each differs from the one before
}

// passedAsk is what a person wants of an attempt that another server runs.
type passedAsk struct {
	Number  uint64           `json:"number"`
	Confirm bool             `json:"confirm"`
	By      management.Actor `json:"by"`
}

// askName stands where a member's name does; no member can be called so.
const askName = "!ask"

func (p *passing) put(cluster, member string, r api.Report) {
	p.store(cluster, member, passed{Attempt: r.Attempt, InForce: r.InForce, Peers: r.Peers})
}

func (p *passing) store(cluster, member string, what passed) {
	what.Server, what.Time = p.co.o.Server, p.co.now()
	b, err := json.Marshal(what)
	if err != nil {
		p.co.o.Log.Error("a report cannot be passed on", "error", err)
		return
	}
	p.mu.Lock()
	p.pending[cluster+"/"+member] = b
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run writes until ctx ends.
func (p *passing) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		}
		p.mu.Lock()
		all := maps.Clone(p.pending)
		clear(p.pending)
		p.mu.Unlock()
		some := map[string][]byte{}
		for key, value := range all {
			some[key] = value
			if len(some) == passAtATime {
				p.write(ctx, some)
				clear(some)
			}
		}
		if len(some) > 0 {
			p.write(ctx, some)
		}
		pause(ctx, passEvery)
	}
}

func (p *passing) write(ctx context.Context, some map[string][]byte) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if err := p.co.o.Records.PutLive(ctx, some); err != nil && ctx.Err() == nil {
		p.co.o.Log.Warn("what members report cannot be passed on to other servers", "error", err)
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// heard takes what other servers passed on.
func (co *Coordinator) heard(ctx context.Context, keys []string) error {
	values, err := co.o.Records.Live(ctx, keys)
	if err != nil {
		return err
	}
	for key, value := range values {
		var what passed
		clusterName, member, ok := strings.Cut(key, "/")
		if err := json.Unmarshal(value, &what); err != nil || !ok {
			return fmt.Errorf("live record %s: %w", key, err)
		}
		if what.Server == co.o.Server {
			continue
		}
		co.mu.Lock()
		c := co.clusters[clusterName]
		co.mu.Unlock()
		if c == nil {
			continue
		}
		c.mu.Lock()
		for n, run := range c.running {
			a := c.attempts[n]
			switch {
			case what.Ask == nil:
				run.put(reported(a, member, api.Report{Attempt: what.Attempt, InForce: what.InForce, Peers: what.Peers}))
			case what.Ask.Number == n:
				go co.asked(run, *what.Ask)
			}
		}
		c.mu.Unlock()
	}
	return nil
}

// asked does what a person asked another server for; that one sees in the store what came of it.
func (co *Coordinator) asked(r *runner, ask passedAsk) {
	o := order{by: ask.By, confirm: ask.Confirm, done: make(chan error, 1)}
	select {
	case r.said <- o:
	case <-r.ended:
		return
	}
	select {
	case err := <-o.done:
		if err != nil {
			co.o.Log.Info("what another server was asked for is refused", "attempt", ask.Number, "by", ask.By.String(), "error", err)
		}
	case <-r.ended:
	}
}

// askOther asks the server that runs an attempt, and waits until the store says that it did.
func (co *Coordinator) askOther(ctx context.Context, a management.Attempt, o order) (management.Attempt, error) {
	co.pass.store(a.Cluster, askName, passed{Ask: &passedAsk{Number: a.Number, Confirm: o.confirm, By: o.by}})
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	updates, err := co.Watch(ctx, a.Cluster, a.Number)
	if err != nil {
		return a, err
	}
	for p := range updates {
		if a = p.Attempt; a.Phase.Over() {
			if o.confirm != (a.Phase == management.Confirmed) {
				return a, overError(a)
			}
			return a, nil
		}
	}
	return a, fmt.Errorf("attempt %d of cluster %s: %w: another server runs it, and has not decided so within %v: some member is not well, or that server is gone; look at its status, and ask again",
		a.Number, a.Cluster, records.ErrBusy, askWithin)
}
