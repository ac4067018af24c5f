// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// TestShare: what begins and ends at any owner is so everywhere, and each compares itself with each.
func TestShare(t *testing.T) {
	t.Parallel()
	w := newShared(t, 3, 3, 2)
	w.ready()
	w.compared()
	before := w.repairs()
	w.traffic(record.OpNew, 0, 6000)
	w.eventually("new ones are everywhere", 3*time.Second, w.equal(6000))
	w.same()
	w.traffic(record.OpDelete, 0, 2500)
	w.eventually("ended ones are gone everywhere", 3*time.Second, w.equal(3500))
	w.same()
	w.verified(0, 1)
	w.verified(1, 2)
	w.verified(2, 0)
	<-time.After(1200 * time.Millisecond) // a mark of each
	w.compared()
	if after := w.repairs(); !slices.Equal(before, after) || w.differences() != 0 {
		t.Errorf("repairs %v, before %v; %d differences", after, before, w.differences())
	}
	for _, m := range w.members {
		s := m.plane.State()
		if s.Status != StatusOK || !s.Current || s.Role != RoleOwner || !s.Sharing || s.Owner != m.id || s.Buckets < 340 || s.Buckets > 342 || s.Term != 7 {
			t.Errorf("%+v", s)
		}
	}
	owned := w.members[0].plane.State().Peers
	if n := owned[0].Owned + owned[1].Owned; n != 682*3+428 { // of 2500..5999, buckets 452..879 have four, the others three
		t.Errorf("members 1 and 2 own %d of 3500", n)
	}
}

// TestShareMoves: buckets move back and forth while connections come and go. Nothing is ever different, and nothing has to be repaired.
func TestShareMoves(t *testing.T) {
	w := newShared(t, 3, 3, 2)
	w.ready()
	w.compared()
	before := w.repairs()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan int)
	const step, live = 100, 5000
	go func() { // 5000 a second
		i := 0
		for ; ctx.Err() == nil; i++ {
			w.traffic(record.OpNew, i*step, (i+1)*step)
			if gone := i*step - live; gone >= 0 {
				w.traffic(record.OpDelete, gone, gone+step)
			}
			<-time.After(20 * time.Millisecond)
		}
		done <- i
	}()
	for round := range 12 {
		to := uint8(round % 3)
		w.move(to, func(b int, _ uint8) bool { return b%7 == round%7 })
		<-time.After(300 * time.Millisecond)
	}
	cancel()
	n := <-done
	w.eventually("tables are equal", 5*time.Second, func() bool { return w.equal(min(n*step, live+step))() || w.equal(live)() })
	w.same()
	w.compared()
	if after := w.repairs(); !slices.Equal(before, after) || w.differences() != 0 {
		t.Errorf("repairs %v, before %v; %d differences", after, before, w.differences())
	}
	w.verified(0, 1)
	w.verified(2, 1)
}

// TestShareTimeouts: what a member gains gets its protocol's time-out, what it loses the copies'.
func TestShareTimeouts(t *testing.T) {
	t.Parallel()
	w := newShared(t, 2, 2, 1)
	w.ready()
	w.traffic(record.OpNew, 0, 1000)
	w.eventually("new ones are everywhere", 3*time.Second, w.equal(1000))
	w.eventually("each has its own", 3*time.Second, func() bool { return w.members[0].short() == 512 && w.members[1].short() == 488 })
	w.move(1, func(b int, _ uint8) bool { return b < 200 })
	w.eventually("each has its own after a move", 3*time.Second, func() bool { return w.members[0].short() == 312 && w.members[1].short() == 688 })
	w.move(1, func(int, uint8) bool { return true })
	// They know at once by which table it speaks, and ends count by that.
	w.soon("the other one knows by which table it speaks", 2*time.Second, func() bool {
		p := w.members[0].plane
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.peers[1].table == w.table.version()
	})
	w.eventually("one has all", 3*time.Second, func() bool { return w.members[0].short() == 0 && w.members[1].short() == 1000 })
	if s := w.members[0].plane.State(); s.Role != RoleCopy || !s.Current || s.Owner != 1 {
		t.Errorf("%+v", s)
	}
}

// TestShareDeath: the buckets of a member that dies go to the others, who have all that it had told.
func TestShareDeath(t *testing.T) {
	t.Parallel()
	w := newShared(t, 3, 3, 1)
	w.ready()
	w.traffic(record.OpNew, 0, 5000)
	w.eventually("new ones are everywhere", 3*time.Second, w.equal(5000))
	w.compared()
	dead := w.members[1]
	before := w.repairs()
	w.cut(dead, 0, false)
	dead.gets([]record.Record{udp(400, record.OpDelete)}) // of which nobody hears
	dead.halt()
	w.reassign(1, 0, 2)
	w.publish()
	w.traffic(record.OpNew, 5000, 6000)
	w.traffic(record.OpDelete, 0, 1000)
	w.eventually("the others go on", 3*time.Second, w.equal(5000))
	w.same()
	<-time.After(1200 * time.Millisecond)
	w.compared()
	if after := w.repairs(); after[0] != before[0] || after[2] != before[2] {
		t.Errorf("repairs %v, before %v", after, before)
	}
	if s := w.members[0].plane.State(); !s.Current || s.Buckets != 342+171 {
		t.Errorf("%+v", s)
	}

	// It comes back, gets all from both, and then its share.
	dead.start()
	w.hello()
	w.tell(dead)
	w.hello()
	if dead.plane.State().Current {
		t.Error("current before it has anything")
	}
	w.cut(dead, 0, true)
	w.eventually("it has what both own", 10*time.Second, func() bool { return dead.plane.State().Current && w.equal(5000)() })
	w.same()
	w.move(1, func(b int, _ uint8) bool { return b%3 == 1 })
	w.traffic(record.OpNew, 0, 1000)
	w.eventually("it has its share", 3*time.Second, w.equal(6000))
	w.same()
	w.verified(1, 0)
	w.verified(1, 2)
	w.compared()
}

// TestShareJoin: who joins under churn copies from each owner what it owns, and has nothing that they have not.
func TestShareJoin(t *testing.T) {
	t.Parallel()
	w := newShared(t, 3, 2, 1)
	w.ready()
	w.lose("1")
	w.traffic(record.OpNew, 0, 20_000)
	joiner := w.members[2]
	joiner.halt()
	joiner.flows(record.OpNew, 50_000, 51_000)
	joiner.start()
	w.hello()
	w.tell(joiner)
	w.hello()
	for i := range 40 {
		w.traffic(record.OpNew, 20_000+i*100, 20_100+i*100)
		w.traffic(record.OpDelete, i*100, 100+i*100)
		if i == 20 {
			w.move(0, func(b int, _ uint8) bool { return b%4 == 0 })
		}
		<-time.After(10 * time.Millisecond)
	}
	w.eventually("it is current", 10*time.Second, func() bool { return joiner.plane.State().Current })
	w.eventually("it has all", 10*time.Second, w.equal(20_000))
	w.same()
	w.compared()
}

// TestShareJoinOtherRules: a joiner that sorts otherwise at first, and learns of the others' hosts one by one, is current without a pause.
func TestShareJoinOtherRules(t *testing.T) {
	t.Parallel()
	w := newShared(t, 3, 2, 1, func(c *Config) {
		c.Local = []ccp.SyncAddress{{Addr: netip.AddrFrom4([4]byte{172, 17, 0, c.Self})}}
	})
	w.ready()
	w.traffic(record.OpNew, 0, 2000)
	w.eventually("new ones are everywhere", 3*time.Second, w.equal(2000))
	joiner := w.members[2]
	joiner.halt()
	joiner.tool("-F")
	other := bySourcePort
	other.Rules++
	joiner.start()
	joiner.plane.SetSlots(other)
	w.hello()
	w.tell(joiner)
	p := joiner.plane
	w.eventually("it asks both", 2*time.Second, func() bool {
		w.hello()
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.share.askers[0].stage == stageWords && p.share.askers[1].stage == stageWords
	})
	p.SetSlots(bySourcePort)
	w.tell(joiner)
	w.eventually("it is current", 5*time.Second, func() bool { return p.State().Current && w.equal(2000)() })
}

// TestShareOldTable: a member that hangs, with an old table, ends nothing that others own by now, and is one of them again once it has
// the new one.
func TestShareOldTable(t *testing.T) {
	t.Parallel()
	w := newShared(t, 3, 3, 1)
	w.ready()
	w.traffic(record.OpNew, 0, 3000)
	w.eventually("new ones are everywhere", 3*time.Second, w.equal(3000))
	w.compared()
	hung := w.members[1]
	w.reassign(1, 0, 2)
	w.tell(w.members[0])
	w.tell(w.members[2])
	hung.flows(record.OpDelete, 400, 500) // by its table its own
	hung.flows(record.OpNew, 3400, 3450)  // packets that it has just taken: these count
	w.eventually("what it met is everywhere, what it ended is not gone", 3*time.Second, func() bool {
		return w.members[0].plane.State().Entries == 3050 && w.members[2].plane.State().Entries == 3050
	})
	w.tell(hung)
	w.hello()
	w.eventually("it has healed", 8*time.Second, w.equal(3050))
	w.same()
	w.compared()
	if s := hung.plane.State(); s.Role != RoleCopy || !s.Current {
		t.Errorf("%+v", s)
	}
}

// TestShareRestart: the daemon of an owner is started again while its gate goes on.
func TestShareRestart(t *testing.T) {
	t.Parallel()
	w := newShared(t, 3, 3, 2)
	w.ready()
	w.traffic(record.OpNew, 0, 3000)
	w.eventually("new ones are everywhere", 3*time.Second, w.equal(3000))
	again := w.members[1]
	again.halt()
	w.traffic(record.OpDelete, 0, 1000)
	w.traffic(record.OpNew, 3000, 4000)
	again.start()
	w.hello()
	w.tell(again)
	w.eventually("all is caught up with", 3*time.Second, func() bool { w.hello(); return w.equal(3000)() })
	w.same()
	w.compared()
	w.eventually("all are current", 5*time.Second, func() bool {
		for _, m := range w.members {
			if !m.plane.State().Current {
				return false
			}
		}
		return true
	})
}

// TestShareFlush: an operator's order on one member is one for what that owns; the rest heals.
func TestShareFlush(t *testing.T) {
	t.Parallel()
	w := newShared(t, 2, 2, 1)
	w.ready()
	w.traffic(record.OpNew, 0, 2048)
	w.eventually("new ones are everywhere", 3*time.Second, w.equal(2048))
	w.members[0].tool("-F")
	w.eventually("what was its own is gone, and what was not is back", 8*time.Second, func() bool {
		return w.equal(1024)() && len(w.members[0].list()) == 1024
	})
	w.same()
	w.compared()
}

// TestShareRules: other rules sort connections into other buckets; nothing goes by that.
func TestShareRules(t *testing.T) {
	t.Parallel()
	w := newShared(t, 3, 3, 1)
	w.ready()
	w.traffic(record.OpNew, 0, 3000)
	w.eventually("new ones are everywhere", 3*time.Second, w.equal(3000))
	other := Slots{Rules: 0x5108, Of: func(o record.Tuple) uint16 { return (o.SrcPort + 500) % record.Buckets }}
	for _, m := range w.members {
		m.plane.SetSlots(other)
		<-time.After(1500 * time.Millisecond) // they differ for a while
	}
	w.eventually("all is as it was", 8*time.Second, w.equal(3000))
	w.compared()
	w.same()
	w.eventually("time-outs are those of the new owners", 3*time.Second, func() bool {
		for _, m := range w.members {
			if n := m.short(); n < 950 || n > 1050 {
				return false
			}
		}
		return true
	})
	for _, m := range w.members {
		if s := m.plane.Stats(); s.Removed != 0 || s.Deleted != 0 {
			t.Errorf("member %d: %d removed, %d deleted", m.id, s.Removed, s.Deleted)
		}
	}
}

// TestShareLostEvents: what an owner's kernel could not tell is found and mended, for what each owns.
func TestShareLostEvents(t *testing.T) {
	t.Parallel()
	w := newShared(t, 2, 2, 1, func(c *Config) { c.Buffer = 16 << 10 })
	w.ready()
	w.traffic(record.OpNew, 0, 20_000)
	w.traffic(record.OpDelete, 0, 5000)
	w.eventually("it was noticed", 3*time.Second, func() bool { return w.members[0].plane.Stats().EventsLost > 0 })
	w.eventually("it was mended", 15*time.Second, w.equal(15_000))
	w.same()
}

// TestShareHeld: what is held back of a bucket that moves is told before.
func TestShareHeld(t *testing.T) {
	t.Parallel()
	w := newShared(t, 2, 2, 1, func(c *Config) {
		c.Services = []Service{{Name: "dns", Protocol: 17, From: 53, To: 53, After: time.Hour}}
	})
	w.ready()
	w.traffic(record.OpNew, 0, 200)
	w.eventually("they are held", 2*time.Second, func() bool { return w.members[0].plane.State().Held == 200 })
	w.move(1, func(b int, _ uint8) bool { return b < 50 })
	w.eventually("the other one has those that moved", 2*time.Second, func() bool { return len(w.members[1].list()) == 50 })
	if s := w.members[0].plane.State(); s.Held != 150 || s.Entries != 50 {
		t.Errorf("%d held, %d entries", s.Held, s.Entries)
	}
	if w.members[1].plane.owns(51) || !w.members[1].plane.owns(49) || ccp.Nobody != 255 {
		t.Error("owners")
	}
}
