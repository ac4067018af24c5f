// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"hash/fnv"
	"os"
	"testing"
)

// traceHash runs the seeds from 1 on and returns one number for all that happened in them.
func traceHash(runs uint64) string {
	h := fnv.New64a()
	opt := Options{Log: func(at int64, text string) { fmt.Fprintf(h, "%d %s\n", at, text) }}
	for seed := uint64(1); seed <= runs; seed++ {
		r := run(seed, opt)
		fmt.Fprintf(h, "%d %d %d %d %v\n", seed, r.Events, r.Moves, r.Time, r.Err)
	}
	return fmt.Sprintf("%016x", h.Sum64())
}

// TestTraceHash prints a hash of the traces of 150 seeds. Whoever makes the machine or the simulator faster without changing
// what it does runs it before and after, the second time with the number of the first in HOLDFAST_SIM_HASH.
func TestTraceHash(t *testing.T) {
	got := traceHash(150)
	t.Logf("HOLDFAST_SIM_HASH=%s", got)
	if want := os.Getenv("HOLDFAST_SIM_HASH"); want != "" && got != want {
		t.Errorf("the traces have the hash %s, not %s: something happens that did not before, or at another time", got, want)
	}
}
