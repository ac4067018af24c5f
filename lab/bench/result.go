// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/holdfast-project/holdfast/lab/report"
	"github.com/holdfast-project/holdfast/lab/trial"
)

// Row is one figure of the comparison.
type Row struct {
	Case   string  `json:"case"`
	System string  `json:"system"`
	Metric string  `json:"metric"`
	Unit   string  `json:"unit"`
	N      int     `json:"n"`
	Median float64 `json:"median"`
	Worst  float64 `json:"worst"`
}

// Trial is one measurement.
type Trial struct {
	Round  int    `json:"round"`
	Case   string `json:"case"`
	System string `json:"system"`
	// GapMs is the longest gap of all flows less what the sender stalled; ArrivalGapMs what the receivers saw; GapFlow whose.
	GapMs        float64 `json:"gap_ms"`
	ArrivalGapMs float64 `json:"arrival_gap_ms"`
	GapFlow      string  `json:"gap_flow"`
	// Lost is the sum over all flows; LostMost that of the flow that lost most.
	Lost     int `json:"lost"`
	LostMost int `json:"lost_most"`
	// DualMs is the longest time in which two members answered for one address, Contested the probes that found it, also while the
	// harm was undone.
	DualMs    float64 `json:"dual_ms"`
	Contested int     `json:"contested"`
	// Twice is how many packets two members forwarded.
	Twice       int `json:"twice"`
	Transitions int `json:"transitions"`
	// Changes are the transitions in words: when after the harm began, who, from what to what, and why.
	Changes []string `json:"changes,omitempty"`
	// FaultMs is how long it took to do the harm. Missed is how many frames the observer's taps lost.
	FaultMs   float64 `json:"fault_ms"`
	Missed    uint    `json:"missed,omitempty"`
	Before    string  `json:"before"`
	After     string  `json:"after"`
	Unsettled string  `json:"unsettled,omitempty"`
	// Moved is how often the gateway moved by itself as the trial was to begin.
	Moved int `json:"moved,omitempty"`
}

// Measure is one measurement of a benchmark whose cases have different figures.
type Measure struct {
	Round  int    `json:"round"`
	Case   string `json:"case"`
	System string `json:"system"`
	// Values are the figures by metric.
	Values map[string]float64 `json:"values"`
	// Note says what a reader of the figures should know; "" if there is nothing.
	Note string `json:"note,omitempty"`
}

// Failure is a trial that could not be made.
type Failure struct {
	Round  int    `json:"round"`
	System string `json:"system"`
	Error  string `json:"error"`
}

// benchFailover is the benchmark whose results have tables of their own.
const benchFailover = "failover"

// Result is the outcome of a benchmark; its rows are what others compare, its trials what they come from.
type Result struct {
	Benchmark string    `json:"benchmark"`
	Started   time.Time `json:"started"`
	Took      string    `json:"took"`
	Host      Host      `json:"host"`
	Rounds    int       `json:"rounds"`
	Stress    string    `json:"stress"`
	Rows      []Row     `json:"rows"`
	Trials    []Trial   `json:"trials"`
	Measures  []Measure `json:"measures,omitempty"`
	Ratios    []Ratio   `json:"ratios,omitempty"`
	Failures  []Failure `json:"failures,omitempty"`
}

// metric is how a row is made of trials.
type metric struct {
	name, unit string
	of         func(Trial) float64
}

var metrics = []metric{
	{"gap_ms", "ms", func(t Trial) float64 { return t.GapMs }},
	{"lost", "packets", func(t Trial) float64 { return float64(t.Lost) }},
	{"dual_ms", "ms", func(t Trial) float64 { return t.DualMs }},
	{"transitions", "count", func(t Trial) float64 { return float64(t.Transitions) }},
	{"forwarded_twice", "packets", func(t Trial) float64 { return float64(t.Twice) }},
}

// measure takes a trial's figures from its outcome.
func measure(round int, system string, o trial.Outcome) Trial {
	gap, flow := o.Window.Gap()
	t := Trial{
		Round: round, Case: o.Case, System: system, GapMs: ms(gap), GapFlow: flow,
		Lost: o.Window.Lost(), DualMs: ms(o.Dual()), Contested: o.Contested(), Twice: o.Twice(),
		Transitions: len(o.Changes), FaultMs: ms(o.Took), Missed: o.Window.Missed(), Before: o.Before, After: o.After, Unsettled: o.Unsettled, Moved: o.Moved,
	}
	for _, c := range o.Changes {
		t.Changes = append(t.Changes, fmt.Sprintf("%.3fs %s %s > %s: %s", c.At.Sub(o.At).Seconds(), c.Member, c.From, c.To, c.Reason))
	}
	for _, f := range o.Window.Traffic.Flows {
		t.LostMost = max(t.LostMost, f.Lost)
		t.ArrivalGapMs = max(t.ArrivalGapMs, ms(f.LongestArrival.Arrival))
	}
	return t
}

// ms is a duration in milliseconds with microseconds' precision.
func ms(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}

// summarize makes the rows of all trials, ordered as cases, then systems, then metrics.
func summarize(trials []Trial, cases []string, systems []System) []Row {
	var rows []Row
	for _, c := range cases {
		for _, s := range systems {
			var of []Trial
			for _, t := range trials {
				if t.Case == c && t.System == s.Name {
					of = append(of, t)
				}
			}
			if len(of) == 0 {
				continue
			}
			for _, m := range metrics {
				var values []float64
				for _, t := range of {
					values = append(values, m.of(t))
				}
				rows = append(rows, row(c, s.Name, m.name, m.unit, values))
			}
		}
	}
	return rows
}

// row summarizes values, of which there must be one at least.
func row(name, system, metric, unit string, values []float64) Row {
	return Row{
		Case: name, System: system, Metric: metric, Unit: unit, N: len(values), Median: median(values), Worst: slices.Max(values),
	}
}

// median is the middle value, or the mean of the two in the middle; values must not be empty.
func median(values []float64) float64 {
	sorted := slices.SortedFunc(slices.Values(values), cmp.Compare[float64])
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// WriteJSON writes the whole result, which Read reads.
func (r Result) WriteJSON(w io.Writer) error { return encode(w, r) }

// WriteRows writes the rows alone, as a list.
func (r Result) WriteRows(w io.Writer) error { return encode(w, r.Rows) }

func encode(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("bench: write result: %w", err)
	}
	return nil
}

// WriteText writes the rows as tables for a person, one for each case.
func (r Result) WriteText(w io.Writer, s report.Style) error {
	if r.Benchmark != benchFailover {
		return r.WriteMetrics(w, s)
	}
	type key struct{ name, system, metric string }
	rows := map[key]Row{}
	var order []key
	for _, row := range r.Rows {
		k := key{row.Case, row.System, row.Metric}
		rows[k] = row
		if row.Metric == metrics[0].name {
			order = append(order, k)
		}
	}
	table := report.Table{Columns: []string{"case", "system", "n", "gap ms", "worst", "lost", "worst", "two answer ms", "worst", "changes", "worst"}}
	last := ""
	for _, k := range order {
		name := k.name
		if name == last {
			name = ""
		}
		last = k.name
		cells := []string{name, k.system, fmt.Sprint(rows[k].N)}
		for _, m := range metrics[:4] {
			row := rows[key{k.name, k.system, m.name}]
			cells = append(cells, figure(row.Median), figure(row.Worst))
		}
		dual := rows[key{k.name, k.system, "dual_ms"}].Worst > 0 || rows[key{k.name, k.system, "forwarded_twice"}].Worst > 0
		table.Add(dual, cells...)
	}
	if err := table.Write(w, s); err != nil {
		return err
	}
	for _, f := range r.Failures {
		if _, err := fmt.Fprintf(w, "round %d, %s: %s\n", f.Round, f.System, f.Error); err != nil {
			return err
		}
	}
	return nil
}

// WriteMarkdown writes the rows as one table in Markdown, a line for each case and system.
func (r Result) WriteMarkdown(w io.Writer) error {
	if r.Benchmark != benchFailover {
		return r.markdownMetrics(w)
	}
	p := func(format string, a ...any) error { _, err := fmt.Fprintf(w, format, a...); return err }
	errs := []error{
		p("%d rounds on %d processors, Linux %s, %s (load %.1f before)\n\n", r.Rounds, r.Host.CPUs, r.Host.Kernel, r.Started.Format("2006-01-02"), r.Host.Load),
		p("| case | system | n | gap_ms | worst | lost | worst | dual_ms | worst | transitions | worst |\n|---|---|---|---|---|---|---|---|---|---|---|\n"),
	}
	for i := 0; i+len(metrics) <= len(r.Rows); i += len(metrics) { // summarize writes all metrics of a case and system together
		row := r.Rows[i]
		errs = append(errs, p("| %s | %s | %d |", row.Case, row.System, row.N))
		for _, m := range r.Rows[i : i+4] {
			errs = append(errs, p(" %s | %s |", figure(m.Median), figure(m.Worst)))
		}
		errs = append(errs, p("\n"))
	}
	return errors.Join(errs...)
}

// Read reads a result that WriteJSON wrote.
func Read(r io.Reader) (Result, error) {
	var out Result
	if err := json.NewDecoder(r).Decode(&out); err != nil {
		return Result{}, fmt.Errorf("bench: read result: %w", err)
	}
	return out, nil
}

func figure(v float64) string {
	if v == float64(int(v)) {
		return fmt.Sprintf("%d", int(v))
	}
	return fmt.Sprintf("%.1f", v)
}
