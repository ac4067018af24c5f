// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/lab/conntrackd"
	"github.com/holdfast-project/holdfast/lab/machine"
	"github.com/holdfast-project/holdfast/lab/report"
	"github.com/holdfast-project/holdfast/lab/topology"
)

func TestParseSyncCase(t *testing.T) {
	tests := []struct {
		name, kind  string
		connections int
	}{
		{"replicate-500k", kindReplicate, 500_000},
		{"full-sync-1m", kindFullSync, 1_000_000},
		{"power-off-10", kindPowerOff, 10},
		{"power-off-4000000", kindPowerOff, 4_000_000},
		{caseLast, caseLast, 0},
		{caseLatency, caseLatency, 0},
		{"power-off-5m", "", 0},
		{"power-off-0", "", 0},
		{"power-off-k", "", 0},
		{"power-off", "", 0},
		{"volcano-10", "", 0},
	}
	for _, tt := range tests {
		kind, n, err := parseSyncCase(tt.name)
		if kind != tt.kind || n != tt.connections || (err == nil) != (tt.kind != "") {
			t.Errorf("%s: %q %d %v", tt.name, kind, n, err)
		}
	}
	for _, name := range SyncCaseNames() {
		if _, _, err := parseSyncCase(name); err != nil {
			t.Error(err)
		}
	}
	if n := (SyncConfig{}).Connections(); n != 1_000_000 {
		t.Errorf("the usual cases need %d connections", n)
	}
	if _, err := (SyncConfig{Rounds: 1, Systems: []System{{}}, Cases: []string{"volcano"}}).check(); err == nil {
		t.Error("a case that there is not is measured")
	}
}

// measured is a result of two systems, one round.
func measured(cpu, rate float64) Result {
	return Result{
		Benchmark: benchSync, Took: "1s", Rounds: 1,
		Measures: []Measure{
			{Round: 1, Case: "replicate-500k", System: "b", Values: map[string]float64{"cpu_us_per_record": cpu, "records_per_s": rate}},
			{Round: 1, Case: "replicate-500k", System: "a", Values: map[string]float64{"cpu_us_per_record": 10 * cpu}},
		},
	}
}

func TestRowsOfMeasures(t *testing.T) {
	joined, err := Join(measured(1, 100), measured(3, 300))
	if err != nil {
		t.Fatal(err)
	}
	want := []Row{
		{Case: "replicate-500k", System: "b", Metric: "cpu_us_per_record", Unit: "us", N: 2, Median: 2, Worst: 3},
		{Case: "replicate-500k", System: "b", Metric: "records_per_s", Unit: "1/s", N: 2, Median: 200, Worst: 100},
		{Case: "replicate-500k", System: "a", Metric: "cpu_us_per_record", Unit: "us", N: 2, Median: 20, Worst: 30},
	}
	if !slices.Equal(joined.Rows, want) {
		t.Errorf("%+v", joined.Rows)
	}
	if joined.Measures[3].Round != 2 || joined.Rounds != 2 {
		t.Errorf("rounds are not numbered on: %+v", joined)
	}
	var b bytes.Buffer
	if err := joined.WriteMarkdown(&b); err != nil || strings.Count(b.String(), "\n") != 4+len(want) {
		t.Errorf("%v:\n%s", err, b.String())
	}
	b.Reset()
	if err := joined.WriteText(&b, report.Style{}); err != nil || !strings.Contains(b.String(), "records_per_s") {
		t.Errorf("%v:\n%s", err, b.String())
	}
}

func TestP99(t *testing.T) {
	values := make([]float64, 200)
	for i := range values {
		values[i] = float64(200 - i)
	}
	if got := p99(values); got != 198 {
		t.Errorf("%v", got)
	}
	if got := p99([]float64{7}); got != 7 {
		t.Errorf("of one: %v", got)
	}
}

// TestSync measures conntrackd with small tables, and a cluster that synchronises nothing, which must not pass for one that does.
func TestSync(t *testing.T) {
	labtest.Require(t, "conntrackd", "keepalived", "nft")
	var log bytes.Buffer
	res, err := Sync(context.Background(), SyncConfig{
		Rounds: 1, Cases: []string{"replicate-2k", "power-off-2k", caseLast}, LastRate: 2000, Stuck: 2 * time.Second, Dir: t.TempDir(), Log: &log,
		Systems: []System{
			{Name: "conntrackd", New: func(lab *topology.Lab, dir string) (machine.System, error) {
				return conntrackd.New(lab, conntrackd.Options{Dir: dir, Advert: 100 * time.Millisecond})
			}},
			{Name: "forgetful", Only: []string{"power-off-2k"}, New: pretended("forgetful", 0).New},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, m := range res.Measures {
		for metric, v := range m.Values {
			got[m.Case+" "+metric] = v
		}
	}
	// How fast the host and conntrackd were is not judged here: only that all is measured, and goes together.
	for name, least := range map[string]float64{
		"replicate-2k cpu_us_per_record": 1, "replicate-2k cpu_commit_us_per_record": 0.1, "replicate-2k records_per_s": 1, "replicate-2k rss_mb": 1,
		"power-off-2k gap_ms": 1, "power-off-2k lost": 1, "power-off-2k tcp_gap_ms": 1, "last-100ms missing": 0, "last-100ms opened_100ms": 0,
	} {
		if v, ok := got[name]; !ok || v < least || math.IsInf(v, 0) || math.IsNaN(v) {
			t.Errorf("%s is %v (%v), want a figure of at least %v", name, v, ok, least)
		}
	}
	parts := got["replicate-2k cpu_active_us_per_record"] + got["replicate-2k cpu_backup_us_per_record"] + got["replicate-2k cpu_commit_us_per_record"]
	if whole := got["replicate-2k cpu_us_per_record"]; math.Abs(whole-parts) > 1e-6 {
		t.Errorf("a record takes %v us, its parts %v", whole, parts)
	}
	if missing, opened := got["last-100ms missing"], got["last-100ms opened_100ms"]; missing > opened {
		t.Errorf("%v of %v connections are missing", missing, opened)
	}
	if dead := got["power-off-2k tcp_dead"]; dead != 0 {
		t.Errorf("%v streams died", dead)
	}
	if len(res.Failures) != 1 || !strings.Contains(res.Failures[0].Error, "of 2000 connections") {
		t.Errorf("failures %+v", res.Failures)
	}
	if t.Failed() {
		t.Log(log.String())
	}
}
