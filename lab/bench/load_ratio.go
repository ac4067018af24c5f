// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/holdfast-project/holdfast/lab/report"
)

// Ratio is how a system's figure compares with another's of the same rounds.
type Ratio struct {
	Case   string `json:"case"`
	System string `json:"system"`
	Of     string `json:"of"`
	Metric string `json:"metric"`
	N      int    `json:"n"`
	// Ratio is the geometric mean of the rounds'. Low and High bound it with a confidence of 95 %, by how the rounds differ (Student); 0 if there was one round only.
	Ratio float64 `json:"ratio"`
	Low   float64 `json:"low,omitempty"`
	High  float64 `json:"high,omitempty"`
}

// loadRatios are the comparisons that the benchmark is made for.
var loadRatios = []struct{ system, of, metric string }{
	{"kernel-events", systemKernel, "pps"},
	{"kernel-rules", systemKernel, "pps"},
	{"holdfast-ha", systemKernel, "pps"},
	{"holdfast-ha", "kernel-events", "pps"},
	{"holdfast-ha-no-sync", systemKernel, "pps"},
	{"kernel-events-hooks", systemKernel, "pps"},
	{"holdfast-ha", "kernel-events-hooks", "pps"},
	{"holdfast-ha", systemKernel, "packets_per_cpu_s"},
	{"holdfast-ha", systemKernel, "net_cpu_ns_per_packet"},
	{"holdfast-ha", "kernel-events", "net_cpu_ns_per_packet"},
	{"holdfast-multicast-2", "xt-cluster-2", "pps"},
	{"holdfast-multicast-2", "xt-cluster-2", "packets_per_cpu_s"},
	{"holdfast-multicast-2", "xt-cluster-2", "net_cpu_ns_per_packet"},
	{"holdfast-multicast-2", "xt-cluster-2", netWithoutDaemons},
	{"holdfast-multicast-2", "xt-cluster-2", "beyond_generator_ns_per_packet"},
	{"kernel-multicast-2", "xt-cluster-2", "pps"},
	{"kernel-multicast-2", "xt-cluster-2", "net_cpu_ns_per_packet"},
	{"kernel-multicast-2-events", "xt-cluster-2", "pps"},
	{"kernel-multicast-2-events", "xt-cluster-2", "net_cpu_ns_per_packet"},
	{"holdfast-multicast-2", "xt-cluster-2-sync", "pps"},
	{"holdfast-multicast-2", "xt-cluster-2-sync", "packets_per_cpu_s"},
	{"holdfast-multicast-2", "xt-cluster-2-sync", "net_cpu_ns_per_packet"},
	{"holdfast-multicast-2", "xt-cluster-2-sync", netWithoutDaemons},
	{"holdfast-multicast-2", "xt-cluster-2-sync", "beyond_generator_ns_per_packet"},
	{"kernel-multicast-2-events", "xt-cluster-2-sync", "pps"},
	{"kernel-multicast-2-events", "xt-cluster-2-sync", "net_cpu_ns_per_packet"},
	{"xt-cluster-2-sync", "xt-cluster-2", "pps"},
	{"xt-cluster-2-sync", "xt-cluster-2", "net_cpu_ns_per_packet"},
	{"xt-cluster-2-sync", "xt-cluster-2", netWithoutDaemons},
	{"holdfast-ha", "holdfast-ha" + otherBuild, "pps"},
	{"holdfast-ha", "holdfast-ha" + otherBuild, netWithoutDaemons},
	{"holdfast-multicast-2", "holdfast-multicast-2" + otherBuild, "pps"},
	{"holdfast-multicast-2", "holdfast-multicast-2" + otherBuild, netWithoutDaemons},
	{"holdfast-unicast-2", "holdfast-unicast-2" + otherBuild, "pps"},
	{"holdfast-unicast-2", "xt-cluster-2", "pps"},
	{"holdfast-unicast-2", "xt-cluster-2", "beyond_generator_ns_per_packet"},
}

// student has, for n degrees of freedom, the factor of the standard error within which the mean lies with a confidence of 95 %.
var student = []float64{0, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086}

// ratios compares what was measured in the same rounds.
func ratios(all []Measure) []Ratio {
	var out []Ratio
	for _, name := range measuredCases(all) {
		for _, c := range loadRatios {
			of := map[int]float64{}
			for _, m := range all {
				if v := m.Values[c.metric]; m.Case == name && m.System == c.of && v > 0 {
					of[m.Round] = v
				}
			}
			var logs []float64
			for _, m := range all {
				if v, base := m.Values[c.metric], of[m.Round]; m.Case == name && m.System == c.system && v > 0 && base > 0 {
					logs = append(logs, math.Log(v/base))
				}
			}
			if len(logs) > 0 {
				r := Ratio{Case: name, System: c.system, Of: c.of, Metric: c.metric, N: len(logs)}
				r.Ratio, r.Low, r.High = interval(logs)
				out = append(out, r)
			}
		}
	}
	return out
}

// interval is the geometric mean of what the values are logarithms of, and its bounds.
func interval(logs []float64) (ratio, low, high float64) {
	n := float64(len(logs))
	mean, square := 0.0, 0.0
	for _, v := range logs {
		mean += v / n
	}
	if len(logs) == 1 {
		return math.Exp(mean), 0, 0
	}
	for _, v := range logs {
		square += (v - mean) * (v - mean)
	}
	off := student[min(len(logs), len(student))-1] * math.Sqrt(square/(n-1)/n)
	return math.Exp(mean), math.Exp(mean - off), math.Exp(mean + off)
}

// writeRatios writes the comparisons as a table for a person; nothing if there are none.
func (r Result) writeRatios(w io.Writer, s report.Style) error {
	if len(r.Ratios) == 0 {
		return nil
	}
	table := report.Table{Columns: []string{"case", "system", "of", "metric", "n", "ratio", "low", "high"}}
	for _, c := range r.Ratios {
		table.Add(false, append([]string{c.Case, c.System, c.Of, c.Metric, fmt.Sprint(c.N)}, c.figures()...)...)
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	return table.Write(w, s)
}

// figures are the ratio and its bounds.
func (c Ratio) figures() []string {
	out := []string{fmt.Sprintf("%.3f", c.Ratio)}
	for _, bound := range []float64{c.Low, c.High} {
		text := "-"
		if c.N > 1 {
			text = fmt.Sprintf("%.3f", bound)
		}
		out = append(out, text)
	}
	return out
}

// markdownRatios writes the same table in Markdown.
func (r Result) markdownRatios(w io.Writer) error {
	if len(r.Ratios) == 0 {
		return nil
	}
	if _, err := fmt.Fprint(w, "\n| case | system | of | metric | n | ratio | low | high |\n|---|---|---|---|---|---|---|---|\n"); err != nil {
		return err
	}
	for _, c := range r.Ratios {
		f := slices.Concat([]string{c.Case, c.System, c.Of, c.Metric, fmt.Sprint(c.N)}, c.figures())
		for _, cell := range f {
			if _, err := fmt.Fprintf(w, "| %s ", cell); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintln(w, "|"); err != nil {
			return err
		}
	}
	return nil
}
