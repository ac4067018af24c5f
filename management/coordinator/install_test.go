// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/records"
	"github.com/holdfast-project/holdfast/management/rollout"
)

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
