// SPDX-License-Identifier: Apache-2.0

package bench

// loadMetrics are the figures of the benchmark of forwarding, in the order of the rows.
var loadMetrics = []measureMetric{
	{"pps", "1/s", true},
	{"cpu_ns_per_packet", "ns", false},
	{"net_cpu_ns_per_packet", "ns", false},
	{"packets_per_cpu_s", "1/s", true},
	{"processors_busy", "count", false},
	{"lost_percent", "percent", false},
}

// Systems that others are seen against.
const (
	// systemGenerator is the generator and the way to a member alone.
	systemGenerator = "generator"
	// systemKernel forwards without anything of a cluster.
	systemKernel = "kernel"
)

// withNet adds the net figures to measures: a round's processor time a packet, less that of the same round's generator.
func withNet(all []Measure) {
	type key struct {
		round int
		name  string
	}
	generator := map[key]float64{}
	for _, m := range all {
		if m.System == systemGenerator {
			generator[key{m.Round, m.Case}] = m.Values["cpu_ns_per_packet"]
		}
	}
	for _, m := range all {
		if g, ok := generator[key{m.Round, m.Case}]; ok && m.System != systemGenerator {
			m.Values["net_cpu_ns_per_packet"] = m.Values["cpu_ns_per_packet"] - g
		}
	}
}
