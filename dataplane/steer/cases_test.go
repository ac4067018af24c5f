// SPDX-License-Identifier: Apache-2.0

package steer

import (
	"fmt"
	"slices"
	"testing"
)

// settledWorld is a cluster of equal members that has been at rest for a while. Member 0 leads it.
func settledWorld(t *testing.T, seed uint64, n uint8, mode Mode) *world {
	t.Helper()
	w := newWorld(seed, n, mode)
	w.flushSlow = 20 * ms
	w.quiet = 1 << 62
	w.settle(5000*ms, "after the start")
	w.run(200 * ms)
	w.quiet = 0
	if w.err == nil && w.nodes[0].leads() == 0 {
		w.fail("member 0 does not lead")
	}
	done(t, w)
	return w
}

func done(t *testing.T, w *world) {
	t.Helper()
	if w.err != nil {
		t.Fatalf("%v\n%s", w.err, w.traced())
	}
}

// each plays a case in both modes with some seeds.
func each(t *testing.T, n uint8, play func(t *testing.T, w *world)) {
	for _, mode := range []Mode{ModeMulticast, ModeUnicast} {
		for seed := range uint64(8) {
			t.Run(fmt.Sprintf("%d/%d", mode, seed), func(t *testing.T) {
				w := settledWorld(t, seed+1, n, mode)
				play(t, w)
				done(t, w)
			})
		}
	}
}

// guard watches that packets of known connections in the slots of some members are always taken, and by one member, for a time.
func (w *world) guard(members [Members]bool, most int64, for_ int64) {
	var slots []int
	for s, e := range w.nodes[0].gate.table.Entry {
		if members[e.Taker()] {
			slots = append(slots, s)
		}
	}
	var worst, bad int64
	for end := w.now + for_; w.now < end && w.err == nil; {
		w.run(ms)
		ok := true
		for _, s := range slots {
			if known, _ := w.takers(s); known != 1 {
				ok = false
				break
			}
		}
		if ok {
			bad = 0
		} else if bad += ms; bad > worst {
			worst = bad
		}
	}
	if worst > most {
		w.fail("slots of members %v are not taken by one member for %d ms, want %d at most", members[:w.n], worst/ms, most/ms)
	}
}

func others(n uint8, not ...uint8) (set [Members]bool) {
	for i := range n {
		set[i] = true
	}
	for _, i := range not {
		set[i] = false
	}
	return set
}

// TestMemberDies: its slots are taken by the others once it is known to be silent. What is the others' goes on as if nothing had been.
func TestMemberDies(t *testing.T) {
	each(t, 4, func(_ *testing.T, w *world) {
		before := w.nodes[0].a.table
		w.nodes[2].crash()
		w.boundZero = 60 * ms
		w.guard(others(4, 2), 0, 300*ms)
		w.settle(500*ms, "after a death")
		for s, e := range w.nodes[0].a.table.Entry {
			if o := before.Entry[s]; o.Taker() != 2 && e != o {
				w.fail("slot %d moved from %d to %d", s, o.Taker(), e.Taker())
			}
		}
		w.nodes[2].boot()
		w.guard(others(4), 0, 2500*ms)
		w.settle(100*ms, "it is back")
	})
}

// TestLeaderDies: in multicast what is the others' goes on; in unicast all waits for the next pivot, as in mode ha.
func TestLeaderDies(t *testing.T) {
	each(t, 3, func(_ *testing.T, w *world) {
		w.nodes[0].crash()
		w.boundZero = 150 * ms
		most := int64(0)
		if w.mode == ModeUnicast {
			most = 150 * ms
		}
		w.guard(others(3, 0), most, 600*ms)
		w.settle(500*ms, "after the leader's death")
	})
}

// TestLeaderDiesMidChange: at whatever step of a planned change the leader dies, the next one brings it to an end, and who stays is not disturbed.
func TestLeaderDiesMidChange(t *testing.T) {
	for _, mode := range []Mode{ModeMulticast, ModeUnicast} {
		for at := stagePrepareGain; at <= stageCommitAll; at++ {
			for seed := range uint64(6) {
				w := settledWorld(t, seed+1, 4, mode)
				w.nodes[0].step(SetWeight{Member: 3, Weight: 10})
				for end := w.now + 500*ms; w.nodes[0].a.lead.stage != at && w.now < end; {
					w.run(ms / 20)
				}
				if got := w.nodes[0].a.lead.stage; got != at {
					if at == stageCommitAll && got == stageIdle {
						continue // it passes through it in one step
					}
					t.Fatalf("the leader is at %s, not at %s\n%s", stageNames[got], stageNames[at], w.traced())
				}
				w.nodes[0].crash()
				w.boundZero, w.boundTwin = 150*ms, 20*ms
				w.run(500 * ms)
				w.settle(1000*ms, "after the leader's death at "+stageNames[at])
				done(t, w)
				if got := w.nodes[1].a.Weights()[3]; got != 10 && at != stagePrepareGain { // there it had told nobody yet
					t.Errorf("at %s: the operator's order died with the leader: weight %d\n%s", stageNames[at], got, w.traced())
				}
			}
		}
	}
}

// TestHungLoser: a member that does not take note of a change is fenced off before anybody takes what was its.
func TestHungLoser(t *testing.T) {
	each(t, 3, func(t *testing.T, w *world) {
		w.nodes[2].hung = w.now + 450*ms
		w.run(5 * ms)
		w.nodes[0].step(SetWeight{Member: 2, Weight: 20})
		w.boundZero, w.boundTwin = 60*ms, 10*ms
		w.run(250 * ms)
		if w.nodes[2].open() {
			w.fail("the hung member's share is open")
		}
		if now, _ := w.nodes[0].a.table.Takes(); now[2] != 0 {
			w.fail("the hung member takes %d slots", now[2])
		}
		w.settle(4000*ms, "it is back")
		table := w.nodes[0].a.table
		if table.Share[2] <= table.Term {
			t.Errorf("share %d, want one above the term %d: its gate was fenced off", table.Share[2], table.Term)
		}
		// The next leader's term is above it.
		w.boundZero = 150 * ms
		w.nodes[0].crash()
		w.run(300 * ms)
		w.settle(1000*ms, "under another leader")
		if table := w.nodes[2].a.table; table.Share[2] != table.Term {
			t.Errorf("share %d under term %d", table.Share[2], table.Term)
		}
	})
}

// TestRestsAfterDeath: what a dead member's slots were given to is not moved on before the heirs have compared what they have, unless one leaves.
func TestRestsAfterDeath(t *testing.T) {
	each(t, 4, func(_ *testing.T, w *world) {
		w.boundZero = 60 * ms
		for _, leaves := range []bool{false, true} {
			w.nodes[3].crash()
			for end := w.now + 300*ms; w.nodes[0].a.lead.table.Share[3] != 0 && w.now < end; {
				w.run(ms / 10)
			}
			died := w.now
			if w.nodes[2].leaving = leaves; !leaves {
				w.nodes[0].step(SetWeight{Member: 1, Weight: 10})
			}
			for w.nodes[0].a.lead.stage != stagePrepareGain && w.now < died+400*ms {
				w.run(ms / 10)
			}
			switch took := w.now - died; {
			case took >= 400*ms:
				w.fail("no change")
			case (took < 99*ms) != leaves:
				w.fail("a change begins %d ms after a death, leaving %v", took/ms, leaves)
			}
			w.nodes[3].boot()
			w.nodes[2].leaving = false
			w.settle(8000*ms, "it is back")
		}
	})
}

// TestHungAlone: when a member hangs around the time of a change of weights, it alone is fenced off, whoever's the change is and whatever it would
// have got or given.
func TestHungAlone(t *testing.T) {
	for _, mode := range []Mode{ModeMulticast, ModeUnicast} {
		for seed := range uint64(4) {
			for _, order := range []SetWeight{{Member: 3, Weight: 10}, {Member: 2, Weight: 10}, {Member: 1, Weight: 90}, {Member: 0, Weight: 10}} {
				for _, by := range []uint8{0, 1} {
					w := settledWorld(t, seed+1, 4, mode)
					w.boundZero, w.boundTwin = 60*ms, 200*ms // one that hangs before it has flushed
					hang := func() { w.nodes[3].hung = w.now + 800*ms }
					if early := int64(seed) * 3 * ms; seed%2 == 0 {
						hang()
						w.run(early)
						w.nodes[by].step(order)
					} else {
						w.nodes[by].step(order)
						w.run(early / 3)
						hang()
					}
					w.run(700 * ms)
					for i, n := range w.excluded[:3] {
						if n != 0 {
							w.fail("member %d, which is well, was excluded", i)
						}
					}
					done(t, w)
				}
			}
		}
	}
}

// TestJoinerDies: before it has confirmed, while it takes what begins, and while it takes all.
func TestJoinerDies(t *testing.T) {
	for _, mode := range []Mode{ModeMulticast, ModeUnicast} {
		for at := stagePrepareGain; at <= stageCommitAll; at++ {
			for _, hangs := range []bool{false, true} {
				w := settledWorld(t, 3, 3, mode)
				w.nodes[2].crash()
				w.run(1500 * ms)
				w.settle(500*ms, "without it")
				w.nodes[2].boot()
				for end := w.now + 3000*ms; w.nodes[0].a.lead.stage != at && w.now < end; {
					w.run(ms / 20)
				}
				w.boundZero, w.boundTwin = 150*ms, 20*ms
				if hangs {
					w.nodes[2].hung = w.now + 400*ms
				} else {
					w.nodes[2].crash()
				}
				w.guard(others(3, 2), 150*ms, 300*ms)
				if !hangs {
					w.nodes[2].boot()
				}
				w.settle(8000*ms, "after the joiner's trouble at "+stageNames[at])
				done(t, w)
			}
		}
	}
}

// TestPartition: each side goes on for itself; when they see each other again one leads, and all take its tables.
func TestPartition(t *testing.T) {
	each(t, 4, func(_ *testing.T, w *world) {
		w.quiet = 1 << 62
		w.cutting(1000*ms, func(i, j int) bool { return i/2 != j/2 })
		w.run(500 * ms)
		for i, nd := range w.nodes {
			if takes, _ := nd.a.table.Takes(); takes[i] != Slots/2 {
				w.fail("member %d takes %d slots of its side", i, takes[i])
			}
		}
		w.run(500 * ms)
		w.run(100 * ms)
		w.quiet, w.boundTwin, w.boundZero = 0, 20*ms, 20*ms
		w.settle(3000*ms, "after the heal")
	})
}

// TestFrozen: planned changes wait, failures do not.
func TestFrozen(t *testing.T) {
	each(t, 3, func(_ *testing.T, w *world) {
		for _, nd := range w.nodes {
			nd.step(Freeze{On: true})
		}
		before := w.nodes[0].a.table
		w.nodes[0].step(SetWeight{Member: 1, Weight: 1})
		w.run(500 * ms)
		if w.nodes[0].a.table != before {
			w.fail("a planned change while frozen")
		}
		w.nodes[2].crash()
		w.run(200 * ms)
		if now, _ := w.nodes[0].a.table.Takes(); now[2] != 0 {
			w.fail("a dead member has %d slots", now[2])
		}
		w.run(int64(w.nodes[0].a.cfg.Timing.Confirm))
		if a := w.nodes[0].a; a.lead.busy(a) {
			w.fail("the leader looks each probe interval for nothing: %+v", *a.lead)
		}
		w.nodes[0].step(Freeze{})
		w.nodes[1].step(Freeze{})
		w.settle(500*ms, "not frozen any more")
	})
}

// TestBroken: a member that cannot carry gives its share up itself, at once.
func TestBroken(t *testing.T) {
	each(t, 3, func(_ *testing.T, w *world) {
		w.nodes[1].broken = true
		w.boundZero = 10 * ms
		w.guard(others(3, 1), 0, 300*ms)
		w.settle(300*ms, "without it")
		w.nodes[1].broken = false
		w.settle(3000*ms, "it is well again")
	})
}

// TestUnfit: a member that is not fit any more, whatever for, loses its share, and the others are not disturbed.
func TestUnfit(t *testing.T) {
	each(t, 3, func(_ *testing.T, w *world) {
		w.nodes[1].fit = false
		w.boundZero = 20 * ms
		w.guard(others(3, 1), 0, 300*ms)
		if takes, _ := w.nodes[0].a.table.Takes(); takes[1] != 0 || w.nodes[1].open() {
			w.fail("it has %d slots, and its share is open: %v", takes[1], w.nodes[1].open())
		}
		w.nodes[1].fit = true
		w.settle(3000*ms, "it is fit again")
	})
}

// TestPulseStops: a share that is not renewed goes before the gate closes by itself.
func TestPulseStops(t *testing.T) {
	each(t, 3, func(_ *testing.T, w *world) {
		w.nodes[2].noPulse = true
		w.boundZero = 20 * ms
		w.guard(others(3, 2), 0, 250*ms)
		if takes, _ := w.nodes[0].a.table.Takes(); takes[2] != 0 || w.nodes[2].open() {
			w.fail("it has %d slots, and its share is open: %v", takes[2], w.nodes[2].open())
		}
	})
}

// TestBetweenTwoLeaders: a member that hears two leaders, which do not hear each other, is the newer one's; the older one does not fight.
func TestBetweenTwoLeaders(t *testing.T) {
	each(t, 3, func(_ *testing.T, w *world) {
		w.quiet = 1 << 62
		w.cutting(1500*ms, func(i, j int) bool { return i+j == 1 })
		w.run(300 * ms)
		for range 100 {
			w.run(10 * ms)
			if g := w.nodes[2].gate; g.grantee != 1 || w.nodes[2].a.table.Leader != 1 || !w.nodes[2].open() {
				w.fail("fence %d/%d, table of %d, open %v", g.fence, g.grantee, w.nodes[2].a.table.Leader, w.nodes[2].open())
			}
			if takes, _ := w.nodes[0].a.table.Takes(); takes[0] != Slots {
				w.fail("the older leader has %d slots of its own", takes[0])
			}
		}
		w.run(300 * ms)
		w.settle(4000*ms, "they hear each other again")
	})
}

// TestOwnStall: a leader that did not run for a while does not blame the others for what it has not read.
func TestOwnStall(t *testing.T) {
	each(t, 3, func(_ *testing.T, w *world) {
		w.nodes[0].hung = w.now + 450*ms
		w.guard(others(3), 0, 700*ms)
		if s := w.nodes[0].a.table.Share; s != [Members]uint32{1, 1, 1} {
			w.fail("shares %v", s[:3])
		}
	})
}

// TestLacking: a member that lacks connections keeps what it has, and gains nothing, from whoever leaves or dies, until it has them.
func TestLacking(t *testing.T) {
	each(t, 3, func(_ *testing.T, w *world) {
		takes := func(what string, want ...int) {
			w.run(400 * ms)
			if now, then := w.nodes[0].a.table.Takes(); w.err == nil && (!slices.Equal(now[:3], want) || now != then) {
				w.fail("%s: slots %v, then %v", what, now[:3], then[:3])
			}
		}
		w.lacks[2] = true
		w.run(100 * ms)
		w.nodes[0].step(SetWeight{Member: 2, Weight: 200})
		takes("more weight", 342, 341, 341)
		w.nodes[1].leaving = true
		takes("another one leaves", Slots-341, 0, 341)
		w.nodes[1].leaving = false
		w.run(2000 * ms)
		w.nodes[1].crash()
		w.boundZero, w.boundTwin = 60*ms, 10*ms
		takes("another one dies", Slots-341, 0, 341)
		w.lacks[2] = false
		w.run(500 * ms)
		if now, _ := w.nodes[0].a.table.Takes(); now[2] == 341 {
			w.fail("it lacks nothing any more: slots %v", now[:3])
		}
	})
}

// TestLackingAll: where nobody has all connections, slots that nobody takes are given away nevertheless.
func TestLackingAll(t *testing.T) {
	each(t, 3, func(_ *testing.T, w *world) {
		w.lacks = others(3)
		w.run(100 * ms)
		w.nodes[1].crash()
		w.boundZero, w.boundTwin = 60*ms, 10*ms
		w.run(500 * ms)
		if now, _ := w.nodes[0].a.table.Takes(); now[0]+now[2] != Slots || now[2] == 341 {
			w.fail("slots %v", now[:3])
		}
	})
}

// TestBrokenAlone: who cannot carry closes its share without being told to.
func TestBrokenAlone(t *testing.T) {
	w := settledWorld(t, 1, 3, ModeMulticast)
	w.quiet = 1 << 62
	w.cutting(100*ms, func(i, j int) bool { return i == 1 || j == 1 })
	w.nodes[1].broken = true
	w.run(3 * ms)
	if w.nodes[1].open() {
		t.Error("its share is open")
	}
}
