// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/management/records"
	"github.com/holdfast-project/holdfast/management/rollout"
	"github.com/holdfast-project/holdfast/management/store"
	"github.com/holdfast-project/holdfast/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var anna = management.Actor{Kind: management.ByPerson, Name: "anna"}

// quick are times for tests.
var quick = rollout.Config{
	Silence: 2 * time.Second, Settle: 60 * time.Millisecond, Grace: 100 * time.Millisecond, Retry: 20 * time.Millisecond, Linger: 2 * time.Second,
}

// fleet is a cluster of members that behave, and the servers that they report to.
type fleet struct {
	t       *testing.T
	records *records.Records
	stop    context.CancelFunc
	ctx     context.Context
	members sync.WaitGroup
}

func newFleet(t *testing.T, names ...string) *fleet {
	t.Helper()
	s, err := store.OpenFile(filepath.Join(t.TempDir(), "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{t: t, records: records.New(s, records.Options{})}
	f.ctx, f.stop = context.WithCancel(context.Background())
	t.Cleanup(func() {
		f.stop()
		f.members.Wait()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := f.records.AddCluster(f.ctx, anna, management.Cluster{Name: "edge", ID: 7, Members: names, Config: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	return f
}

// server starts a coordinator and returns what ends it, as a crash of its process would: what it began is left as it is.
func (f *fleet) server(name string) (*Coordinator, func()) {
	f.t.Helper()
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	co, err := New(Options{
		Records: f.records, Server: name, Hold: 100 * time.Millisecond, Lease: 500 * time.Millisecond, Times: quick,
		Seal: func(b *policy.Bundle) (*policy.Sealed, error) { return policy.Seal(b, key) },
	})
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(f.ctx)
	ended := make(chan error, 1)
	go func() { ended <- co.Run(ctx) }()
	end := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			f.t.Error(err)
		}
	})
	f.t.Cleanup(end)
	for co.running() == nil {
		pause(f.ctx, time.Millisecond)
	}
	return co, end
}

func (co *Coordinator) running() context.Context {
	co.mu.Lock()
	defer co.mu.Unlock()
	return co.ctx
}

// fake is a member as a server sees it.
type fake struct {
	f       *fleet
	name    string
	refuses bool

	mu      sync.Mutex
	co      *Coordinator // whom it reports to; nil: nobody
	r       api.Report
	deaf    bool // it reports, and does nothing
	changed chan struct{}
}

// live makes the members report, to co.
func (f *fleet) live(co *Coordinator, names ...string) []*fake {
	var all []*fake
	for _, name := range names {
		x := &fake{f: f, name: name, co: co, changed: make(chan struct{}, 1)}
		for _, other := range names {
			if other != name {
				x.r.Peers = append(x.r.Peers, api.PeerReport{Name: other, Heard: true})
			}
		}
		all = append(all, x)
		f.members.Add(1)
		go func() {
			defer f.members.Done()
			x.run()
		}()
	}
	return all
}

func (x *fake) to(co *Coordinator) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.co = co
}

func (x *fake) run() {
	for x.f.ctx.Err() == nil {
		x.mu.Lock()
		co, r := x.co, x.r
		x.mu.Unlock()
		if co == nil {
			pause(x.f.ctx, 10*time.Millisecond)
			continue
		}
		o, err := co.Report(x.f.ctx, "edge", x.name, r)
		if err != nil {
			pause(x.f.ctx, 10*time.Millisecond)
			continue
		}
		x.ordered(o)
	}
}

func (x *fake) ordered(o api.Orders) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.r.Serial = o.Serial
	if x.deaf || o.Attempt == nil {
		return
	}
	a := &x.r.Attempt
	if a.Number != o.Attempt.Number {
		*a = api.AttemptState{Number: o.Attempt.Number, Policy: o.Attempt.Policy}
		x.r.HighestAttempt, x.r.Highest = a.Number, a.Policy.Generation
	}
	switch {
	case x.refuses:
		a.State, a.Why = "refused", "no such device"
	case o.Attempt.Phase == api.PhasePrepare && a.State == "":
		a.State = "prepared"
	case o.Attempt.Phase == api.PhaseCommit && a.State == "prepared":
		a.State, x.r.Previous, x.r.InForce = "committed", x.r.InForce, a.Policy
	case o.Attempt.Phase == api.PhaseConfirmed && a.State == "committed":
		a.State, a.Confirmed = "confirmed", true
	case o.Attempt.Phase == api.PhaseAbort:
		a.State = "aborted"
	case o.Attempt.Phase == api.PhaseRolledBack && a.State == "committed":
		a.State, x.r.InForce = "rolled-back", x.r.Previous
	}
}

func (f *fleet) install(co *Coordinator, edit func(*Install)) management.Attempt {
	f.t.Helper()
	i := Install{
		Cluster: "edge", Bundle: policy.Bundle{Author: "anna", File: "edge.nft", Ruleset: "table inet filter {\n}\n"}, By: anna,
		PrepareWithin: 20 * time.Second, ConfirmWithin: 20 * time.Second,
	}
	if edit != nil {
		edit(&i)
	}
	a, err := co.Install(f.ctx, i)
	if err != nil {
		f.t.Fatal(err)
	}
	return a
}

// over waits for the end of an attempt and tells it, as a server sees it.
func (f *fleet) over(co *Coordinator, number uint64) string {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.ctx, time.Minute)
	defer cancel()
	updates, err := co.Watch(ctx, "edge", number)
	if err != nil {
		f.t.Fatal(err)
	}
	var p Progress
	for p = range updates {
	}
	if !p.Over() {
		f.t.Fatalf("attempt %d does not end: %+v", number, p)
	}
	out := []string{strings.TrimSuffix(fmt.Sprintf("%s: %s", p.Attempt.Phase, p.Attempt.Why), ": ")}
	for _, r := range p.Attempt.Replies {
		out = append(out, fmt.Sprintf("%s %s", r.Member, r.State))
	}
	return strings.Join(out, ", ")
}

func check(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
