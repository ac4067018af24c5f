// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// ready waits until all copies are current.
func (w *world) ready() {
	w.t.Helper()
	w.eventually("copies are current", 5*time.Second, func() bool {
		w.hello()
		for _, m := range w.members {
			if m.stop != nil && !m.plane.State().Current {
				return false
			}
		}
		return true
	})
}

// verified compares two members for real.
func (w *world) verified(of, with int) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := w.members[of].plane.Verify(ctx, uint8(with))
	if err != nil {
		w.t.Fatalf("verify: %v", err)
	}
	if !r.Equal() {
		w.t.Fatalf("verify: %+v", r)
	}
}

func TestReplicate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, 2)
	w.ready()
	w.members[0].flows(record.OpNew, 0, 1000)
	w.eventually("new ones are everywhere", 3*time.Second, w.equal(1000))
	w.same()
	w.members[0].flows(record.OpDelete, 0, 400)
	w.eventually("ended ones are gone everywhere", 3*time.Second, w.equal(600))
	w.same()
	w.verified(0, 1)
	w.verified(1, 0)
	w.verified(2, 0)
}

// TestDeviceReturns: a device that went and came back before anybody knew has taken the socket with it, and the plane opens another.
func TestDeviceReturns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 1)
	w.ready()
	for i, m := range w.members {
		w.away(m, 0)
		w.members[0].flows(record.OpNew, 100*i, 100*(i+1))
		w.eventually("new ones are everywhere", 5*time.Second, w.equal(100*(i+1)))
	}
	w.same()
}

// TestFullSync: what the owner had before gets to who joins, and what a joiner has that the owner has not goes.
func TestFullSync(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 1)
	w.ready()
	w.members[1].halt()
	w.members[0].flows(record.OpNew, 0, 20_000)
	w.members[1].flows(record.OpNew, 15_000, 25_000)
	w.eventually("the owner has them", 5*time.Second, func() bool { return w.members[0].plane.State().Entries == 20_000 })
	w.members[1].start()
	w.hello()
	w.eventually("the joiner has the owner's table", 10*time.Second, w.equal(20_000))
	w.same()
	w.ready()
	if s := w.members[1].plane.State().FullSync; s.Removed != 5000 || s.Done < 4000 || !s.Full {
		t.Fatalf("full sync: %+v", s)
	}
}

// TestCopyFlushedHeals: what an operator does to a copy is undone; what he does to the owner is an order.
func TestFlush(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 1)
	w.ready()
	w.members[0].flows(record.OpNew, 0, 3000)
	w.eventually("new ones are everywhere", 3*time.Second, w.equal(3000))
	before := w.members[1].plane.Stats().Repairs
	w.members[1].tool("-F")
	w.eventually("the copy has healed", 8*time.Second, func() bool {
		return w.members[1].plane.Stats().Repairs > before && w.equal(3000)() && len(w.members[1].list()) == 3000
	})
	w.same()
	w.members[0].tool("-F")
	w.eventually("the order was carried out everywhere", 5*time.Second, w.equal(0))
	w.same()
}

// TestOutage: two seconds without a frame cost nothing.
func TestOutage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 2)
	w.ready()
	w.members[0].flows(record.OpNew, 0, 500)
	w.eventually("new ones are everywhere", 3*time.Second, w.equal(500))
	before := []uint64{w.members[0].plane.Stats().Repairs, w.members[1].plane.Stats().Repairs} // the full sync at the beginning
	w.cut(w.members[1], 0, false)
	w.members[0].flows(record.OpNew, 500, 1000)
	w.eventually("one interface is enough", 3*time.Second, w.equal(1000))
	w.cut(w.members[1], 1, false)
	w.members[0].flows(record.OpNew, 1000, 3000)
	w.members[0].flows(record.OpDelete, 0, 300)
	<-time.After(2 * time.Second)
	w.cut(w.members[1], 0, true)
	w.cut(w.members[1], 1, true)
	w.eventually("everything has arrived after the outage", 5*time.Second, w.equal(2700))
	w.same()
	for i, m := range w.members {
		if s := m.plane.Stats(); s.Evictions != 0 || s.Repairs != before[i] {
			t.Errorf("member %d: %d evictions, %d repairs more", m.id, s.Evictions, s.Repairs-before[i])
		}
	}
}

// TestEviction: who is away for long is not waited for, and gets what it missed when it returns.
func TestEviction(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, 1)
	w.ready()
	w.members[0].flows(record.OpNew, 0, 500)
	w.eventually("new ones are everywhere", 3*time.Second, w.equal(500))
	w.cut(w.members[1], 0, false)
	w.members[0].flows(record.OpNew, 500, 3000)
	w.eventually("the owner waits no more", 8*time.Second, func() bool { return w.members[0].plane.State().Peers[0].Evicted })
	if s := w.members[0].plane.State(); s.Status != StatusAtRisk {
		t.Errorf("status %v %q", s.Status, s.Reason)
	}
	w.members[0].flows(record.OpDelete, 0, 300)
	w.cut(w.members[1], 0, true)
	w.eventually("what it missed was repaired", 10*time.Second, w.equal(2700))
	w.same()
	w.eventually("all is well", 5*time.Second, func() bool { return w.members[0].plane.State().Status == StatusOK })
	if s := w.members[1].plane.Stats(); s.Repairs == 0 {
		t.Error("no repair")
	}
}

// TestTakeover: the copy becomes the owner, the former owner comes back as a copy; five times in a row.
func TestTakeover(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 1)
	w.ready()
	n := 0
	for round := range 5 {
		owner := round % 2
		w.members[owner].flows(record.OpNew, n, n+500)
		n += 500
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		if err := w.members[owner].plane.Flush(ctx); err != nil {
			t.Fatalf("flush: %v", err)
		}
		cancel()
		w.serve(1 - owner)
		w.eventually("both have all", 5*time.Second, w.equal(n))
		w.same()
		// The new owner's entries have their protocol's time-out: 120 s for an answered UDP flow at most; the copy's have hours.
		w.eventually("time-outs are the roles'", 5*time.Second, func() bool {
			return w.members[1-owner].longest() <= 600 && w.members[owner].shortest() > 10*3600
		})
	}
	w.verified(0, 1)
}

// TestRestart: the daemon of either side may be started again at any time.
func TestRestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 2)
	w.ready()
	w.members[0].flows(record.OpNew, 0, 2000)
	w.eventually("new ones are everywhere", 3*time.Second, w.equal(2000))
	w.members[0].halt()
	w.members[0].flows(record.OpDelete, 0, 100)
	w.members[0].flows(record.OpNew, 2000, 2500)
	w.members[0].start()
	w.serve(0)
	w.eventually("the owner's restart is caught up with", 10*time.Second, func() bool { w.hello(); return w.equal(2400)() })
	w.same()
	w.members[1].halt()
	w.members[0].flows(record.OpDelete, 100, 200)
	w.members[1].start()
	w.hello()
	w.eventually("the copy's restart is caught up with", 10*time.Second, w.equal(2300))
	w.same()
}

// TestLostEvents: a buffer that is too small loses events, which is noticed, said, and mended.
func TestLostEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 1, func(c *Config) { c.Buffer = 16 << 10 })
	w.ready()
	w.members[0].flows(record.OpNew, 0, 20_000)
	w.members[0].flows(record.OpDelete, 0, 5000)
	w.eventually("it was noticed", 3*time.Second, func() bool { return w.members[0].plane.Stats().EventsLost > 0 })
	if s := w.members[0].plane.State(); s.Status != StatusAtRisk {
		t.Errorf("status %v %q", s.Status, s.Reason)
	}
	w.eventually("it was mended", 15*time.Second, w.equal(15_000))
	w.same()
}

// TestServices: what is never copied is not, and what is to wait waits.
func TestServices(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 1, func(c *Config) {
		c.Services = []Service{{Name: "dns", Protocol: 17, From: 53, To: 53, After: 3 * time.Second}}
	})
	w.ready()
	w.members[0].flows(record.OpNew, 0, 100)
	w.members[0].flows(record.OpDelete, 0, 50)
	w.eventually("they are held", 2*time.Second, func() bool { return w.members[0].plane.State().Held == 50 })
	if n := len(w.members[1].list()); n != 0 {
		t.Fatalf("%d entries on the copy before their time", n)
	}
	w.eventually("those that lasted are copied", 3*time.Second, w.equal(50))
	w.same()
	for _, m := range w.members {
		c := m.cfg
		c.Services = []Service{{Name: "dns", Protocol: 17, From: 53, To: 53, Never: true}}
		must(t, m.plane.Reconfigure(c))
	}
	w.members[0].flows(record.OpNew, 200, 300)
	w.eventually("none counts", 5*time.Second, w.equal(0))
	w.eventually("what the copy had of them is gone", 5*time.Second, func() bool { return len(w.members[1].list()) == 0 })
	if n := len(w.members[0].list()); n != 150 {
		t.Errorf("%d entries on the owner, want the 50 of before and 100", n)
	}
}

// TestSocketIsTriedAgain: an interface whose socket could not be opened carries frames as soon as it can.
func TestSocketIsTriedAgain(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	w := newWorld(t, 2, 1, func(c *Config) {
		within := c.Within
		c.Within = func(f func() error) error {
			if c.Self == 0 && calls.Add(1) == 2 { // the first is for the kernel's sockets
				return errors.New("no socket today")
			}
			return within(f)
		}
	})
	w.ready()
	w.members[0].flows(record.OpNew, 0, 10)
	w.eventually("new ones are everywhere", 5*time.Second, w.equal(10))
}
