// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// runs returns how many seeds to run: HOLDFAST_SIM_RUNS, or a number that suits a developer's machine.
func runs(t *testing.T, otherwise int) int {
	s := os.Getenv("HOLDFAST_SIM_RUNS")
	if s == "" {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("HOLDFAST_SIM_RUNS=%q: %v", s, err)
	}
	return n
}

// TestSeeds runs clusters from seeds 1, 2, ... and prints the trace of the first that breaks a promise.
// HOLDFAST_SIM_SEED runs one seed only, with its whole trace.
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
	n := int64(runs(t, 500))
	var next, steps, events, moves, life atomic.Int64
	var mu sync.Mutex
	failed := 0
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for seed := next.Add(1); seed <= n; seed = next.Add(1) {
				r := Run(uint64(seed), Options{})
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
					t.Errorf("seed %d: %v", seed, r.Err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Logf("%d runs, %d failed: %d steps, %d events, %d moves, %.0f s of clusters' life", n, failed, steps.Load(), events.Load(),
		moves.Load(), float64(life.Load())/1e9)
}
