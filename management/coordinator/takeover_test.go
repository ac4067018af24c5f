// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/management"
)

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
