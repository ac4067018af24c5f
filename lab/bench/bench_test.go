// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/lab/machine"
	"github.com/holdfast-project/holdfast/lab/report"
	"github.com/holdfast-project/holdfast/lab/topology"
	"github.com/holdfast-project/holdfast/lab/trial/trialtest"
)

func TestMain(m *testing.M) {
	// One goroutine starts all processes and lives as long as this one.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/holdfast-project/holdfast/lab/netns.starter"))
}

// pretended is a system whose takeover takes a known time.
func pretended(name string, delay time.Duration) System {
	return System{Name: name, New: func(lab *topology.Lab, _ string) (machine.System, error) {
		return trialtest.New(lab, name, delay), nil
	}}
}

func TestFailover(t *testing.T) {
	labtest.Require(t)
	var log bytes.Buffer
	broken := System{Name: "broken", New: func(*topology.Lab, string) (machine.System, error) { return nil, context.DeadlineExceeded }}
	res, err := Failover(context.Background(), Config{
		Rounds: 1, Members: 2, Cases: []string{"power-off", CaseStress}, Stress: 500 * time.Millisecond, Dir: t.TempDir(), Log: &log,
		Systems: []System{pretended("quick", 20*time.Millisecond), pretended("slow", 200*time.Millisecond), broken},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Trials) != 4 || len(res.Rows) != 4*len(metrics) {
		t.Fatalf("%d trials, %d rows:\n%s", len(res.Trials), len(res.Rows), log.String())
	}
	gap := map[string]float64{}
	for _, row := range res.Rows {
		if row.N != 1 || row.Median > row.Worst {
			t.Errorf("%+v", row)
		}
		if row.Case == "power-off" && row.Metric == "gap_ms" {
			gap[row.System] = row.Median
		}
	}
	// What the sender stood still is taken off, and the host adds what it likes.
	if gap["quick"] <= 0 || gap["slow"] < 20 {
		t.Errorf("gaps %v, want some 20 ms and some 200 ms", gap)
	}
	if len(res.Failures) != 2 || res.Failures[0].System != "broken" || res.Failures[1].System != "broken" {
		t.Errorf("failures %+v", res.Failures)
	}
	var b bytes.Buffer
	if err := res.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	back, err := Read(&b)
	if err != nil || len(back.Rows) != len(res.Rows) {
		t.Errorf("%d rows read back, %v", len(back.Rows), err)
	}
	b.Reset()
	if err := back.WriteMarkdown(&b); err != nil || strings.Count(b.String(), "\n") != 4+len(res.Trials) {
		t.Errorf("%v:\n%s", err, b.String())
	}
	b.Reset()
	if err := res.WriteText(&b, report.Style{}); err != nil || !strings.Contains(b.String(), "slow") {
		t.Errorf("%v:\n%s", err, b.String())
	}
}

func TestSummarize(t *testing.T) {
	var trials []Trial
	for _, gap := range []float64{30, 10, 20, 40} {
		trials = append(trials, Trial{Case: "power-off", System: "a", GapMs: gap})
	}
	trials = append(trials, Trial{Case: "power-off", System: "b", GapMs: 7, Lost: 3})
	rows := summarize(trials, CaseNames(), []System{{Name: "b"}, {Name: "a"}, {Name: "c"}})
	want := map[string]Row{
		"b": {Case: "power-off", System: "b", Metric: "gap_ms", Unit: "ms", N: 1, Median: 7, Worst: 7},
		"a": {Case: "power-off", System: "a", Metric: "gap_ms", Unit: "ms", N: 4, Median: 25, Worst: 40},
	}
	for _, row := range rows {
		if row.Metric == "gap_ms" && row != want[row.System] {
			t.Errorf("%+v, want %+v", row, want[row.System])
		}
	}
	if rows[0].System != "b" {
		t.Error("rows are not in the order of the systems")
	}
}

func TestConfigCheck(t *testing.T) {
	good := Config{Rounds: 1, Systems: []System{{Name: "a"}}, Stress: time.Second}
	tests := []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"good", func(*Config) {}, ""},
		{"no rounds", func(c *Config) { c.Rounds = 0 }, "0 rounds"},
		{"no systems", func(c *Config) { c.Systems = nil }, "no system"},
		{"unknown case", func(c *Config) { c.Cases = []string{"volcano"} }, "volcano"},
		{"stress for no time", func(c *Config) { c.Stress = 0 }, "stress of 0s"},
	}
	for _, tt := range tests {
		c := good
		tt.change(&c)
		_, err := c.check()
		if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}
