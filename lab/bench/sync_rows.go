// SPDX-License-Identifier: Apache-2.0

package bench

import "slices"

// measureMetric is a figure of a benchmark of measures.
type measureMetric struct {
	name, unit string
	more       bool // the more the better: the worst is the least
}

// syncMetrics are all figures, in the order of the rows.
var syncMetrics = []measureMetric{
	{"cpu_us_per_record", "us", false},
	{"cpu_active_us_per_record", "us", false},
	{"cpu_backup_us_per_record", "us", false},
	{"cpu_commit_us_per_record", "us", false},
	{"records_per_s", "1/s", true},
	{"opened_per_s", "1/s", true},
	{"commit_s", "s", false},
	{"seconds", "s", false},
	{"transfer_s", "s", false},
	{"rss_mb", "MB", false},
	{"gap_ms", "ms", false},
	{"lost", "packets", false},
	{"tcp_gap_ms", "ms", false},
	{"tcp_dead", "count", false},
	{"missing", "flows", false},
	{"missing_10ms", "flows", false},
	{"missing_1ms", "flows", false},
	{"missing_older", "flows", false},
	{"oldest_missing_ms", "ms", false},
	{"opened_100ms", "flows", true},
	{"known_us", "us", false},
	{"known_p99_us", "us", false},
	{"new_us", "us", false},
	{"new_p99_us", "us", false},
}

// summarizeMeasures makes the rows of all measures, ordered as cases first appear, then systems, then the benchmark's metrics.
func summarizeMeasures(all []Measure, systems []System) []Row {
	var rows []Row
	var metrics []measureMetric
	for _, metric := range slices.Concat(syncMetrics, loadMetrics, policyMetrics) {
		if !slices.ContainsFunc(metrics, func(known measureMetric) bool { return known.name == metric.name }) {
			metrics = append(metrics, metric)
		}
	}
	for _, c := range measuredCases(all) {
		for _, s := range systems {
			for _, metric := range metrics {
				var values []float64
				for _, m := range all {
					if v, ok := m.Values[metric.name]; ok && m.Case == c && m.System == s.Name {
						values = append(values, v)
					}
				}
				if len(values) == 0 {
					continue
				}
				one := row(c, s.Name, metric.name, metric.unit, values)
				if metric.more {
					one.Worst = slices.Min(values)
				}
				rows = append(rows, one)
			}
		}
	}
	return rows
}

// measuredCases lists the cases of measures as they first appear.
func measuredCases(all []Measure) []string {
	var cases []string
	for _, m := range all {
		if !slices.Contains(cases, m.Case) {
			cases = append(cases, m.Case)
		}
	}
	return cases
}
