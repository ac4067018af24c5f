// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// part is a slice of a run.
func part(change func(*Result)) Result {
	r := Result{
		Benchmark: "failover", Started: time.Unix(1000, 0), Took: "1m30s", Rounds: 2, Host: Host{CPUs: 2, Kernel: "6.18", Machine: "x86_64", Load: 1},
		Trials: []Trial{
			{Round: 1, Case: "graceful", System: "b", GapMs: 1}, {Round: 1, Case: "power-off", System: "a", GapMs: 10},
			{Round: 2, Case: "power-off", System: "a", GapMs: 30},
		},
		Failures: []Failure{{Round: 2, System: "b", Error: "no"}},
	}
	if change != nil {
		change(&r)
	}
	return r
}

func TestJoin(t *testing.T) {
	got, err := Join(part(nil), part(func(r *Result) {
		r.Started, r.Host.Load, r.Trials[2].GapMs = time.Unix(500, 0), 3, 50
	}))
	if err != nil {
		t.Fatal(err)
	}
	if !got.Started.Equal(time.Unix(500, 0)) || got.Took != "3m0s" || got.Host.Load != 3 || got.Rounds != 4 {
		t.Errorf("%+v", got)
	}
	if len(got.Failures) != 2 || got.Failures[1].Round != 4 || got.Trials[5].Round != 4 {
		t.Errorf("rounds are not numbered on: %+v", got)
	}
	if got.Rows[0] != (Row{Case: "power-off", System: "a", Metric: "gap_ms", Unit: "ms", N: 4, Median: 20, Worst: 50}) {
		t.Errorf("%+v", got.Rows[0])
	}
	if !slices.ContainsFunc(got.Rows, func(r Row) bool { return r.Case == "graceful" && r.N == 2 }) || len(got.Rows) != 2*len(metrics) {
		t.Errorf("%d rows: %+v", len(got.Rows), got.Rows)
	}
	if one, err := Join(part(nil)); err != nil || len(one.Trials) != 3 || one.Rows != nil {
		t.Errorf("a single one is changed: %+v, %v", one, err)
	}
}

func TestJoinRefuses(t *testing.T) {
	for name, change := range map[string]func(*Result){
		"benchmark devices":   func(r *Result) { r.Benchmark = "devices" },
		"6.1":                 func(r *Result) { r.Host.Kernel = "6.1" },
		"4 processors":        func(r *Result) { r.Host.CPUs = 4 },
		"has no trials":       func(r *Result) { r.Trials = nil },
		"invalid duration \"": func(r *Result) { r.Took = "" },
	} {
		if _, err := Join(part(nil), part(change)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Join(); err == nil {
		t.Error("nothing was joined")
	}
}
