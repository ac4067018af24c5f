// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"os"
	"runtime/pprof"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/dataplane/conntrack"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// TestCost measures what a record costs both sides together, and a full sync; HOLDFAST_COST=1 runs it. What the test itself needs to make the
// connections is measured before and taken off.
func TestCost(t *testing.T) {
	if os.Getenv("HOLDFAST_COST") == "" {
		t.Skip("HOLDFAST_COST=1 measures")
	}
	const n = 60_000
	rs := make([]record.Record, n)
	out := make([]conntrack.Outcome, 256)
	w := newWorld(t, 2, 2)
	w.ready()
	for i := range rs {
		rs[i] = udp(i, record.OpNew)
	}
	rate := func(perSecond int) {
		before := cpu()
		began := time.Now()
		for i := 0; i < n; i += 128 {
			must(t, w.members[0].table.Apply(rs[i:min(i+128, n)], out[:min(128, n-i)]))
			if perSecond > 0 {
				time.Sleep(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(perSecond))))
			}
		}
		made := time.Since(began)
		w.eventually("all are everywhere", 30*time.Second, w.equal(n))
		took := time.Since(began)
		used := cpu() - before
		t.Logf("rate %d: made in %v, replicated in %v, %.2f us CPU a record with making it, owner %+v", perSecond, made, took,
			float64(used.Microseconds())/n, w.members[0].plane.Stats().Batches)
		for i := range rs {
			rs[i].Op = record.OpDelete
		}
		before = cpu()
		for i := 0; i < n; i += 128 {
			must(t, w.members[0].table.Apply(rs[i:min(i+128, n)], out[:min(128, n-i)]))
		}
		w.eventually("all are gone", 30*time.Second, w.equal(0))
		t.Logf("deletes: %.2f us", float64((cpu()-before).Microseconds())/n)
		for i := range rs {
			rs[i].Op = record.OpNew
		}
	}
	if f, err := os.Create("/tmp/engine.prof"); err == nil {
		pprof.StartCPUProfile(f)
		defer f.Close()
	}
	for _, r := range []int{0, 40_000, 20_000, 5_000} {
		rate(r)
	}
	pprof.StopCPUProfile()
	for _, m := range w.members {
		m.halt()
	}
	before := cpu()
	for i := 0; i < n; i += 128 {
		must(t, w.members[0].table.Apply(rs[i:min(i+128, n)], out[:min(128, n-i)]))
	}
	t.Logf("making them alone: %.2f us", float64((cpu()-before).Microseconds())/n)
}

func cpu() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
