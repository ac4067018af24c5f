// SPDX-License-Identifier: Apache-2.0

package steer

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfast-project/holdfast/internal/simtest"
)

// seeds runs a kind of world from HOLDFAST_SIM_RUNS seeds, or from HOLDFAST_SIM_SEED alone.
func seeds(t *testing.T, runs int64, play func(seed uint64) *world) {
	first := int64(1)
	if s := os.Getenv("HOLDFAST_SIM_SEED"); s != "" {
		first, runs = simtest.Number(t, "HOLDFAST_SIM_SEED", 1), 1
	} else {
		runs = simtest.Number(t, "HOLDFAST_SIM_RUNS", runs)
	}
	var next, zero, twin, tables atomic.Int64
	var mu sync.Mutex
	failed := 0
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := next.Add(1); i <= runs; i = next.Add(1) {
				seed := uint64(first + i - 1)
				w := play(seed)
				mu.Lock()
				zero.Store(max(zero.Load(), w.worstZero))
				twin.Store(max(twin.Load(), w.worstTwin))
				tables.Add(int64(w.tables))
				if w.err != nil {
					if failed++; failed == 1 {
						t.Errorf("seed %d: %v\n%s", seed, w.err, w.traced())
					} else {
						t.Errorf("seed %d: %v", seed, w.err)
					}
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Logf("%d runs, %d failed, %d tables; taken by nobody for %d ms at most, twice for %d ms", runs, failed, tables.Load(),
		zero.Load()/ms, twin.Load()/ms)
}

func modeOf(seed uint64) Mode { return ModeMulticast + Mode(seed%2) }

// planned plays planned changes only: joins, leaves, weights.
func (w *world) planned(steps int) {
	for range steps {
		if w.err != nil {
			return
		}
		switch nd := w.nodes[w.r.n(int64(w.n))]; w.r.n(4) {
		case 0:
			nd.leaving = !nd.leaving
			w.logf("%d leaving: %v", nd.id, nd.leaving)
		default:
			m, x := uint8(w.r.n(int64(w.n))), uint16(w.r.n(101))
			w.logf("at %d: weight of %d is %d", nd.id, m, x)
			nd.tell(func() { nd.step(SetWeight{Member: m, Weight: x}) })
		}
		if w.r.chance(50) {
			w.run(w.r.n(300 * ms))
		} else {
			w.settle(5000*ms, "after a planned change")
		}
	}
}

// TestPlannedChanges: without faults a slot is at no time nobody's, nor two members'.
func TestPlannedChanges(t *testing.T) {
	seeds(t, 25, func(seed uint64) *world {
		w := newWorld(seed, 2+uint8(seed%7), modeOf(seed))
		w.flushSlow = 40 * ms
		w.quiet = 1 << 62
		w.settle(3000*ms, "after the start")
		w.quiet, w.boundZero, w.boundTwin = 0, 10*ms, 10*ms
		w.planned(20)
		for _, nd := range w.nodes {
			nd.leaving = false
		}
		w.settle(3000*ms, "at the end")
		return w
	})
}

// TestPlannedChangesLossy: the same with loss, delay, duplicates and flushes that fail.
func TestPlannedChangesLossy(t *testing.T) {
	seeds(t, 25, func(seed uint64) *world {
		w := newWorld(seed, 2+uint8(seed%7), modeOf(seed))
		w.flushSlow, w.flushFail, w.dup, w.slow = 70*ms, 20, 10, 4*ms
		w.loss, w.dead = w.r.n(8), 150*ms
		w.quiet = 1 << 62
		w.settle(5000*ms, "after the start")
		w.quiet, w.boundZero, w.boundTwin = 0, 60*ms, 60*ms
		w.planned(20)
		for _, nd := range w.nodes {
			nd.leaving = false
		}
		w.settle(8000*ms, "at the end")
		return w
	})
}

func (w *world) fault() {
	nd := w.nodes[w.r.n(int64(w.n))]
	long := w.r.n(800 * ms)
	switch w.r.n(13) {
	case 0:
		if nd.up {
			nd.crash()
			w.after(500*ms+w.r.n(1500*ms), func() {
				if !nd.up {
					nd.boot()
				}
			})
		}
	case 1:
		w.logf("%d hangs for %d ms", nd.id, long/ms)
		nd.hung = w.now + long
	case 2:
		w.logf("%d is paused for %d ms", nd.id, long/ms)
		nd.paused = w.now + long
	case 3:
		if nd.up && nd.alive {
			nd.restart(20*ms + w.r.n(600*ms))
		}
	case 4, 5:
		var side [Members]bool
		for i := range side {
			side[i] = w.r.chance(50)
		}
		w.logf("partition %v for %d ms", side[:w.n], long/ms)
		w.cutting(long, func(i, j int) bool { return side[i] != side[j] })
	case 6:
		a, b := w.r.n(int64(w.n)), w.r.n(int64(w.n))
		w.logf("one way %d to %d is cut for %d ms", a, b, long/ms)
		w.cutting(long, func(i, j int) bool { return int64(i) == a && int64(j) == b })
	case 7:
		w.loss = 20 + w.r.n(40)
		w.logf("loss %d", w.loss)
		w.after(long, func() { w.loss = 0 })
	case 8:
		nd.fit = !nd.fit
		w.logf("%d fit: %v", nd.id, nd.fit)
	case 9:
		nd.broken = !nd.broken
		w.logf("%d broken: %v", nd.id, nd.broken)
	case 10:
		nd.leaving = !nd.leaving
		w.logf("%d leaving: %v", nd.id, nd.leaving)
	case 11:
		m, x := uint8(w.r.n(int64(w.n))), uint16(w.r.n(101))
		w.logf("at %d: weight of %d is %d", nd.id, m, x)
		nd.tell(func() { nd.step(SetWeight{Member: m, Weight: x}) })
	case 12:
		w.frozen = !w.frozen
		w.logf("frozen: %v", w.frozen)
		on := w.frozen
		for _, nd := range w.nodes {
			nd.tell(func() { nd.step(Freeze{On: on}) })
		}
	}
}

func (w *world) cutting(long int64, cut func(i, j int) bool) {
	for i := range int(w.n) {
		for j := range int(w.n) {
			if i != j && cut(i, j) {
				w.cut[i][j] = true
			}
		}
	}
	w.after(long, func() {
		w.logf("healed")
		w.cut = [Members][Members]bool{}
	})
}

// TestFaults plays everything that can go wrong, and looks whether all ends well, and soon.
func TestFaults(t *testing.T) {
	seeds(t, 25, func(seed uint64) *world {
		w := newWorld(seed, 2+uint8(seed%7), modeOf(seed))
		w.flushSlow, w.flushFail, w.dup, w.slow = 70*ms, 10, 5, 3*ms
		w.quiet = 1 << 62
		for range 4 {
			for range 1 + w.r.n(6) {
				w.run(w.r.n(400 * ms))
				w.fault()
			}
			w.run(800 * ms)
			w.frozen = false
			for _, nd := range w.nodes {
				nd.tell(func() { nd.step(Freeze{}) })
				nd.fit, nd.leaving, nd.broken = true, false, false
			}
			w.run(1200 * ms)
			// From here on nothing goes wrong any more: what takes or fails to take is bounded.
			w.quiet, w.boundZero, w.boundTwin = w.now, 100*ms, 100*ms
			w.settle(70000*ms, fmt.Sprintf("after faults (seed %d)", seed))
			w.quiet = 1 << 62
		}
		return w
	})
}
