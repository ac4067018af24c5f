// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"context"
	"crypto/ed25519"
	"errors"
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

func TestInstall(t *testing.T) {
	f := newFleet(t, "a", "b", "c")
	co, _ := f.server("one")
	members := f.live(co, "a", "b", "c")
	a := f.install(co, nil)
	check(t, f.over(co, a.Number), "confirmed, a confirmed, b confirmed, c confirmed")
	if c, err := f.records.Cluster(f.ctx, "edge"); err != nil || c.Current.Generation != 1 {
		t.Error(c.Current, err)
	}

	members[1].mu.Lock()
	members[1].refuses = true
	members[1].mu.Unlock()
	a = f.install(co, nil)
	check(t, f.over(co, a.Number), "aborted: b refused (no such device), a aborted, b refused, c aborted")
	a = f.install(co, func(i *Install) { i.BestEffort = true })
	check(t, f.over(co, a.Number), "confirmed, a confirmed, b refused, c confirmed")
	a = f.install(co, func(i *Install) { i.Members = []string{"c"} })
	check(t, f.over(co, a.Number), "confirmed, c confirmed")
	if s := co.Stats(); s.Members != 3 || s.There != 3 || s.Clusters != 1 || s.Reports == 0 {
		t.Errorf("%+v", s)
	}
	all, err := co.Members(f.ctx, "edge")
	if err != nil || len(all) != 3 || !all[2].There || all[2].Report.InForce.Generation != 4 {
		t.Errorf("%+v %v", all, err)
	}
}

// A server that stood still between the beginning of an attempt and its lease finds that another one runs it, without this one's check.
func TestTakenOverBeforeItBegan(t *testing.T) {
	f := newFleet(t, "a")
	co, _ := f.server("one")
	if _, err := f.records.Acquire(f.ctx, "attempt/edge/1", "two", time.Minute); err != nil {
		t.Fatal(err)
	}
	stopped := 0
	f.install(co, func(i *Install) { i.Check = &Check{Stop: func() { stopped++ }} })
	if stopped != 1 {
		t.Errorf("the check was stopped %d times", stopped)
	}
}

// A server that came up with a wrong clock, and got the right one later, makes policies by the right one, and goes on with its installs.
func TestClockIsSetLater(t *testing.T) {
	f := newFleet(t, "a")
	co, _ := f.server("one")
	f.live(co, "a")
	right := time.Now().Add(50 * 365 * 24 * time.Hour)
	co.o.Now = func() time.Time { return right }
	a := f.install(co, nil)
	check(t, f.over(co, a.Number), "confirmed, a confirmed")
	if p, err := f.records.Policy(f.ctx, "edge", a.Policy.Generation); err != nil || time.Unix(0, p.Created).Unix() != right.Unix() {
		t.Errorf("created %v, %v; want %v", time.Unix(0, p.Created), err, right)
	}
}

// A person has to confirm, and does, or does not; only one install at a time.
func TestConfirm(t *testing.T) {
	f := newFleet(t, "a", "b")
	co, _ := f.server("one")
	if _, err := co.Confirm(f.ctx, "edge", anna); !errors.Is(err, records.ErrNone) {
		t.Error(err)
	}
	members := f.live(co, "a", "b")
	a := f.install(co, func(i *Install) { i.Manual, i.ConfirmWithin = true, 20*time.Second })
	if _, err := co.Install(f.ctx, Install{Cluster: "edge", By: anna}); !errors.Is(err, records.ErrBusy) {
		t.Error("another install meanwhile:", err)
	}
	if c, err := f.records.Cluster(f.ctx, "edge"); err != nil || c.Numbers.Generation != 1 {
		t.Error("a generation was made for nothing", c.Numbers, err)
	}
	for {
		got, err := co.Confirm(f.ctx, "edge", anna)
		if err == nil {
			if got.Phase != management.Confirmed {
				t.Error(got.Phase)
			}
			break
		}
		var over *rollout.OverError
		var unwell *rollout.NotWellError
		if !errors.As(err, &unwell) && (!errors.As(err, &over) || over.Phase != management.Preparing) {
			t.Fatal(err)
		}
		pause(f.ctx, 5*time.Millisecond)
	}
	check(t, f.over(co, a.Number), "confirmed, a confirmed, b confirmed")
	a = f.install(co, func(i *Install) { i.Manual, i.ConfirmWithin = true, 300*time.Millisecond })
	check(t, f.over(co, a.Number), "rolled-back: nobody confirmed within 300ms, a rolled-back, b rolled-back")
	if c, err := f.records.Cluster(f.ctx, "edge"); err != nil || c.Current.Generation != 1 {
		t.Error("current after a rollback:", c.Current, err)
	}
	members[0].mu.Lock()
	members[0].deaf = true
	members[0].mu.Unlock()
	a = f.install(co, nil)
	if _, err := co.Cancel(f.ctx, "edge", anna); err != nil {
		t.Error(err)
	}
	if got := f.over(co, a.Number); !strings.HasPrefix(got, "aborted: cancelled by anna") {
		t.Error(got)
	}
	if _, err := co.Cancel(f.ctx, "edge", anna); !errors.As(err, new(*rollout.OverError)) {
		t.Error(err)
	}
}

// A server dies in the middle; its next life, or another one, goes on.
func TestTakeOver(t *testing.T) {
	f := newFleet(t, "a", "b")
	one, end := f.server("one")
	members := f.live(one, "a", "b")
	members[1].mu.Lock()
	members[1].deaf = true
	members[1].mu.Unlock()
	a := f.install(one, nil)
	for _, x := range members {
		x.to(nil)
	}
	end()
	if _, err := one.Install(f.ctx, Install{Cluster: "edge", By: anna}); err == nil {
		t.Error("a server that has stopped installs")
	}
	two, end := f.server("one")
	for _, x := range members {
		x.to(two)
	}
	check(t, f.over(two, a.Number), "aborted: the management server that ran it stopped before it was decided, a aborted, b silent")
	end()

	// The other one dies when it has decided: the third confirms.
	members[1].mu.Lock()
	members[1].deaf = false
	members[1].mu.Unlock()
	three, end := f.server("three")
	for _, x := range members {
		x.to(three)
	}
	a = f.install(three, func(i *Install) { i.Manual, i.ConfirmWithin = true, 20*time.Second })
	for {
		if stored, err := f.records.Attempt(f.ctx, "edge", a.Number); err != nil || stored.Phase == management.Committed {
			break
		}
		pause(f.ctx, 5*time.Millisecond)
	}
	end()
	four, _ := f.server("four")
	for _, x := range members {
		x.to(four)
	}
	for {
		if _, err := four.Confirm(f.ctx, "edge", anna); err == nil {
			break
		}
		pause(f.ctx, 20*time.Millisecond)
	}
	check(t, f.over(four, a.Number), "confirmed, a confirmed, b confirmed")
}

// Two servers on one store: members report to either, an install runs on one, and a person asks the other one.
func TestTwoServers(t *testing.T) {
	f := newFleet(t, "a", "b", "c")
	one, _ := f.server("one")
	two, _ := f.server("two")
	members := f.live(one, "a", "b", "c")
	members[1].to(two)
	members[2].to(two)
	a := f.install(one, func(i *Install) { i.Manual, i.ConfirmWithin = true, 20*time.Second })
	for {
		if stored, err := f.records.Attempt(f.ctx, "edge", a.Number); err != nil || stored.Phase == management.Committed {
			break
		}
		pause(f.ctx, 5*time.Millisecond)
	}
	for { // once all are well: who asks too early waits for long
		pause(f.ctx, 500*time.Millisecond)
		got, err := two.Confirm(f.ctx, "edge", anna)
		if err == nil {
			if got.Phase != management.Confirmed {
				t.Error(got.Phase)
			}
			break
		}
	}
	check(t, f.over(two, a.Number), "confirmed, a confirmed, b confirmed, c confirmed")
	check(t, f.over(one, a.Number), "confirmed, a confirmed, b confirmed, c confirmed")
}

// What members report about numbers, and who may report at all.
func TestReport(t *testing.T) {
	f := newFleet(t, "a", "b")
	co, _ := f.server("one")
	if _, err := co.Report(f.ctx, "nowhere", "a", api.Report{}); !errors.Is(err, records.ErrNone) {
		t.Error(err)
	}
	if _, err := co.Report(f.ctx, "edge", "x", api.Report{}); !errors.Is(err, records.ErrMember) {
		t.Error(err)
	}
	if _, err := co.Report(f.ctx, "edge", "a", api.Report{Highest: 1 << 60}); !errors.Is(err, management.ErrValue) {
		t.Error("a member uses up the numbers:", err)
	}
	o, err := co.Report(f.ctx, "edge", "a", api.Report{Highest: 40, HighestAttempt: 50})
	if err != nil || o.Serial == 0 {
		t.Error(o, err)
	}
	_, err = co.Install(f.ctx, Install{Cluster: "edge", By: anna, Bundle: policy.Bundle{File: "f", Ruleset: "table ip t {\n}\n"}})
	if !errors.Is(err, management.ErrNumbersUnsure) {
		t.Error("numbers are given although one member was not asked:", err)
	}
	began := time.Now()
	if _, err := co.Report(f.ctx, "edge", "b", api.Report{Serial: o.Serial, Highest: 41}); err != nil || time.Since(began) < 100*time.Millisecond {
		t.Error("a report that has nothing to be told is not held:", err, time.Since(began))
	}
	a, err := co.Install(f.ctx, Install{Cluster: "edge", By: anna, Bundle: policy.Bundle{File: "f", Ruleset: "table ip t {\n}\n"}})
	if err != nil || a.Number != 51 || a.Policy.Generation != 42 {
		t.Error(a, err)
	}
	// Orders come at once, and a newer report releases the older one.
	if got, err := co.Report(f.ctx, "edge", "a", api.Report{Serial: o.Serial}); err != nil || got.Attempt == nil || got.Attempt.Phase != api.PhasePrepare {
		t.Error(got, err)
	} else {
		o = got
	}
	released := make(chan struct{})
	co.o.Hold = time.Minute
	go func() {
		defer close(released)
		_, _ = co.Report(f.ctx, "edge", "a", api.Report{Serial: o.Serial})
	}()
	for {
		ctx, cancel := context.WithTimeout(f.ctx, 20*time.Millisecond)
		_, _ = co.Report(ctx, "edge", "a", api.Report{Serial: o.Serial})
		cancel()
		select {
		case <-released:
			return
		default:
		}
	}
}

// An attempt that management has forgotten, restored from a backup, is aborted once all members have said that nobody went further than its word.
// TestOvertaken: of two reports that come over two connections the one that was made later counts, in whatever order they come; another run begins anew.
func TestOvertaken(t *testing.T) {
	f := newFleet(t, "a", "b")
	co, _ := f.server("one")
	for _, c := range []struct {
		run   string
		seq   uint64
		state string
		shown string
	}{{"1", 2, "new", "new"}, {"1", 1, "old", "new"}, {"1", 2, "again", "again"}, {"1", 3, "newer", "newer"}, {"2", 1, "restarted", "restarted"}, {"", 0, "old version", "old version"}} {
		if _, err := co.Report(f.ctx, "edge", "a", api.Report{Run: c.run, Seq: c.seq, State: c.state}); err != nil {
			t.Fatal(err)
		}
		all, err := co.Members(f.ctx, "edge")
		if err != nil || all[0].Report.State != c.shown {
			t.Errorf("after %q: %q, %v", c.state, all[0].Report.State, err)
		}
	}
}

func TestForgotten(t *testing.T) {
	f := newFleet(t, "a", "b")
	co, _ := f.server("one")
	word := api.Report{HighestAttempt: 9, Highest: 5, Attempt: api.AttemptState{Number: 9, Policy: api.Offer{Generation: 5, Digest: policy.Digest{5}}, State: "prepared"}}
	if o, err := co.Report(f.ctx, "edge", "a", word); err != nil || o.Attempt != nil {
		t.Error("decided although one member has not reported", o, err)
	}
	if _, err := co.Report(f.ctx, "edge", "b", api.Report{}); err != nil {
		t.Error(err)
	}
	if o, err := co.Report(f.ctx, "edge", "a", word); err != nil || o.Attempt == nil || o.Attempt.Phase != api.PhaseAbort || o.Attempt.Number != 9 {
		t.Error(o, err)
	}
	if _, err := co.Report(f.ctx, "edge", "b", api.Report{InForce: word.Attempt.Policy}); err != nil {
		t.Error(err)
	}
	if o, err := co.Report(f.ctx, "edge", "a", word); err != nil || o.Attempt != nil {
		t.Error("aborted although a peer has it in force", o, err)
	}
}
