// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/internal/simtest"
)

// BenchmarkSim runs seeds on one core. An operation is a whole run.
func BenchmarkSim(b *testing.B) {
	var steps, life int64
	for i := range b.N {
		r := run(uint64(i%2000+1), Options{})
		steps += r.Steps
		life += int64(r.Time)
	}
	b.ReportMetric(float64(steps)/b.Elapsed().Seconds(), "steps/s")
	b.ReportMetric(float64(life)/1e9/b.Elapsed().Seconds(), "lifetime-s/s")
}

// row is a line of the file that all benchmarks write.
type row struct {
	Case   string  `json:"case"`
	System string  `json:"system"`
	Metric string  `json:"metric"`
	Unit   string  `json:"unit"`
	N      int     `json:"n"`
	Median float64 `json:"median"`
	Worst  float64 `json:"worst"`
}

// TestBench is `make bench-sim`: HOLDFAST_SIM_ROUNDS rounds (5) of 400 seeds on one core and on all, written to
// the file HOLDFAST_SIM_BENCH. It does nothing without that.
func TestBench(t *testing.T) {
	file := os.Getenv("HOLDFAST_SIM_BENCH")
	if file == "" {
		t.Skip("HOLDFAST_SIM_BENCH names no file")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	rounds := simtest.Number(t, "HOLDFAST_SIM_ROUNDS", 5)
	var rows []row
	for _, c := range []struct {
		name  string
		cores int
	}{{"one core", 1}, {"all cores", runtime.GOMAXPROCS(0)}} {
		var steps, events, life []float64
		for k := range rounds {
			s, e, l := rate(c.cores, 400, uint64(k)*400+1)
			steps, events, life = append(steps, s), append(events, e), append(life, l)
		}
		for _, m := range []struct {
			name, unit string
			values     []float64
		}{{"steps", "1/s", steps}, {"events", "1/s", events}, {"life", "s/s", life}} {
			slices.Sort(m.values)
			rows = append(rows, row{Case: c.name, System: "holdfast", Metric: m.name, Unit: m.unit, N: len(m.values),
				Median: m.values[len(m.values)/2], Worst: m.values[0]})
			t.Logf("%s: %s %.0f %s (median of %d, worst %.0f)", c.name, m.name, m.values[len(m.values)/2], m.unit, len(m.values), m.values[0])
		}
	}
	text, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// rate runs n seeds from first on and returns machine steps, simulator events and seconds of clusters' life, each a second.
func rate(cores, n int, first uint64) (steps, events, life float64) {
	var next, s, e, l atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for range cores {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				r := run(first+uint64(i), Options{})
				s.Add(r.Steps)
				e.Add(r.Events)
				l.Add(int64(r.Time))
			}
		})
	}
	wg.Wait()
	d := time.Since(began).Seconds()
	return float64(s.Load()) / d, float64(e.Load()) / d, float64(l.Load()) / 1e9 / d
}
