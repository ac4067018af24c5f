// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"math/rand/v2"
	"testing"

	"github.com/holdfast-project/holdfast/internal/simtest"
)

// drawn are the options of a seed.
func drawn(seed uint64) simOptions {
	rng := rand.New(rand.NewPCG(seed, 2))
	return simOptions{
		peers: 1 + rng.IntN(3), links: 1 + rng.IntN(2), loss: []float64{0, 0.01, 0.1, 0.3}[rng.IntN(4)], dup: []float64{0, 0.05}[rng.IntN(2)],
		delay: []int64{0, 100_000, 3 * ms, 20 * ms}[rng.IntN(4)], outages: rng.IntN(2) == 0, restarts: rng.IntN(2) == 0, squeeze: rng.IntN(3) == 0,
		rate: []float64{0.5, 4, 20}[rng.IntN(3)],
	}
}

// TestSimulation: whatever the links do and whoever restarts, copies equal the sender's table at every mark, unless they know that they
// lack something, and in the end.
func TestSimulation(t *testing.T) {
	runs := uint64(simtest.Runs(t, 300))
	var sum SenderCounters
	marks, repairs := 0, 0
	for seed := uint64(1); seed <= runs; seed++ {
		w := newWorld(seed, drawn(seed))
		if err := w.run(); err != nil {
			t.Fatalf("seed %d, %+v: %v", seed, drawn(seed), err)
		}
		sum.Coalesced += w.total.Coalesced
		sum.Annulled += w.total.Annulled
		sum.Refreshes += w.total.Refreshes
		sum.Evictions += w.total.Evictions
		sum.Returns += w.total.Returns
		sum.Requested += w.total.Requested
		sum.TimedOut += w.total.TimedOut
		marks, repairs = marks+w.marks, repairs+w.repairs
	}
	t.Logf("%d runs: %d marks compared, %d repairs, %+v", runs, marks, repairs, sum)
	for what, n := range map[string]uint64{"coalesced": sum.Coalesced, "annulled": sum.Annulled, "refreshes given up": sum.Refreshes,
		"evictions": sum.Evictions, "returns": sum.Returns, "requested": sum.Requested, "timed out": sum.TimedOut, "marks": uint64(marks),
		"repairs": uint64(repairs)} {
		if n == 0 {
			t.Errorf("%d runs without any of: %s", runs, what)
		}
	}
}
