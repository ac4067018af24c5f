// SPDX-License-Identifier: Apache-2.0

package steer

import (
	"slices"
	"testing"
)

// TestRestart: a daemon that is away for a moment, a leader's too, disturbs nobody. Its gate goes on with the table that it has.
func TestRestart(t *testing.T) {
	each(t, 3, func(_ *testing.T, w *world) {
		for _, i := range []uint8{2, 0} {
			version := w.nodes[i].gate.table.Version
			w.nodes[i].restart(300 * ms)
			w.guard(others(3), 0, 900*ms)
			if now := w.nodes[i].gate.table.Version; i == 0 && now.Number != version.Number+restartLeap {
				w.fail("a leader restarted at %v goes on with %v", version, now)
			}
			w.settle(500*ms, "after a restart")
		}
	})
}

// TestRestartFails: a daemon that does not come back, or fails again and again, is waited for as long as its gate is open.
func TestRestartFails(t *testing.T) {
	for name, again := range map[string]bool{"stays away": false, "fails again and again": true} {
		t.Run(name, func(t *testing.T) {
			each(t, 3, func(_ *testing.T, w *world) {
				w.boundZero = 60 * ms
				w.nodes[2].restart(1 << 62)
				for range 14 {
					w.guard(others(3, 2), 0, 100*ms)
					if again {
						w.nodes[2].gate.restarting = w.now + 3000*ms
					}
				}
				if takes, _ := w.nodes[0].a.table.Takes(); takes[2] != 0 {
					w.fail("its gate is closed, and it has %d slots", takes[2])
				}
				w.nodes[2].start(true)
				w.settle(4000*ms, "it is back")
			})
		})
	}
}

// TestRestartEnds: a daemon that is back and has what was its is judged as any other, long before the gate's patience ends.
func TestRestartEnds(t *testing.T) {
	each(t, 3, func(_ *testing.T, w *world) {
		w.nodes[2].restart(100 * ms)
		w.run(800 * ms)
		w.nodes[0].step(SetWeight{Member: 1, Weight: 50})
		w.settle(300*ms, "a planned change after a restart")
		w.nodes[2].hung = w.now + 450*ms
		w.boundZero = 60 * ms
		w.run(5 * ms)
		w.nodes[0].step(SetWeight{Member: 2, Weight: 20})
		w.run(250 * ms)
		if w.nodes[2].open() {
			w.fail("it hangs, and its share is open")
		}
	})
}

// TestLeavesInOrder: the share of a member that has no slots any more lingers, one that is taken from a member with slots does not.
func TestLeavesInOrder(t *testing.T) {
	each(t, 3, func(_ *testing.T, w *world) {
		nd := w.nodes[2]
		nd.leaving = true
		w.run(500 * ms)
		if nd.a.share != 0 || !nd.inOrder {
			w.fail("left: share %d, in order %v", nd.a.share, nd.inOrder)
		}
		nd.leaving = false
		w.settle(3000*ms, "it is back")
		nd.broken = true
		w.boundZero = 60 * ms
		w.run(500 * ms)
		if nd.a.share != 0 || nd.inOrder {
			w.fail("broken: share %d, in order %v", nd.a.share, nd.inOrder)
		}
	})
}

// TestKeepsByClaim: who is to have its share again under a new term is asked so that its gate lingers; who is to lose it, so that it closes.
func TestKeepsByClaim(t *testing.T) {
	w := settledWorld(t, 1, 3, ModeMulticast)
	a := w.nodes[0].a
	a.out = nil
	a.fence(2, w.now, "")
	first := a.lead.follow[2].fence.term
	a.fencing(2, w.now)
	a.fence(2, w.now, "it does not confirm")
	a.fencing(2, w.now)
	want := []Effect{YieldShare{To: 2, Term: first, Keeps: true}, YieldShare{To: 2, Term: first + 1}}
	if !slices.Equal(a.out, want) {
		t.Errorf("%+v, want %+v", a.out, want)
	}
}

// TestRestartMidChange: the same in the middle of a change, with whatever phase the gate was left at.
func TestRestartMidChange(t *testing.T) {
	for _, mode := range []Mode{ModeMulticast, ModeUnicast} {
		for who := range uint8(3) {
			for at := range int64(12) {
				w := settledWorld(t, 5, 3, mode)
				w.nodes[0].step(SetWeight{Member: 1, Weight: 20})
				w.run(at * 3 * ms)
				w.nodes[who].restart(200 * ms)
				w.boundZero, w.boundTwin = 20*ms, 20*ms
				w.run(700 * ms)
				w.settle(3000*ms, "after a restart in a change")
				done(t, w)
			}
		}
	}
}

// TestReturnsHung: who was given up as silent, and comes back with an old table and nobody to read a new one, is closed by its gate.
func TestReturnsHung(t *testing.T) {
	each(t, 3, func(_ *testing.T, w *world) {
		w.quiet = 1 << 62
		w.nodes[2].hung = w.now + 450*ms
		w.cutting(80*ms, func(i, j int) bool { return i == 2 || j == 2 })
		w.run(70 * ms)
		if takes, _ := w.nodes[0].a.table.Takes(); takes[2] != 0 {
			w.fail("it is silent, and has %d slots", takes[2])
		}
		w.run(160 * ms)
		if w.nodes[2].open() {
			w.fail("its share is open")
		}
		w.settle(5000*ms, "it runs again")
	})
}

// TestRestartingGetsNothing: who cannot be told at present keeps what it has, and is given no more.
func TestRestartingGetsNothing(t *testing.T) {
	each(t, 3, func(_ *testing.T, w *world) {
		w.nodes[2].restart(400 * ms)
		w.run(50 * ms)
		w.nodes[1].crash()
		w.boundZero, w.boundTwin = 60*ms, 10*ms
		w.guard(others(3, 1), 0, 200*ms)
		if takes, _ := w.nodes[0].a.table.Takes(); takes[2] != 341 || takes[0] != Slots-341 {
			w.fail("slots %v", takes[:3])
		}
		w.settle(3000*ms, "its daemon is back")
	})
}
