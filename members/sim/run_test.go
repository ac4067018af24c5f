// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfast-project/holdfast/internal/simtest"
)

// TestSeeds runs HOLDFAST_SIM_RUNS clusters (500 without it) from seeds 1, 2, ..., or from those that begin
// at HOLDFAST_SIM_FIRST, and prints the traces of the first that break a promise. HOLDFAST_SIM_SEED runs one
// seed only.
func TestSeeds(t *testing.T) {
	if s := os.Getenv("HOLDFAST_SIM_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("HOLDFAST_SIM_SEED=%q: %v", s, err)
		}
		if r := Run(seed, Options{}); r.Err != nil {
			t.Fatal(r.Trace)
		}
		return
	}
	n, first := simtest.Number(t, "HOLDFAST_SIM_RUNS", 500), simtest.Number(t, "HOLDFAST_SIM_FIRST", 1)
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	var next, steps, events, moves, life atomic.Int64
	var mu sync.Mutex
	failed := 0
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := next.Add(1); i <= n; i = next.Add(1) {
				r := Run(uint64(first+i-1), Options{})
				steps.Add(r.Steps)
				events.Add(r.Events)
				moves.Add(int64(r.Moves))
				life.Add(int64(r.Time))
				if r.Err == nil {
					continue
				}
				mu.Lock()
				if failed++; failed <= 2 {
					t.Error(r.Trace)
				} else {
					t.Errorf("seed %d: %v", r.Seed, r.Err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Logf("%d runs, %d failed: %d steps, %d events, %d moves, %.0f s of clusters' life", n, failed, steps.Load(), events.Load(),
		moves.Load(), float64(life.Load())/1e9)
}
