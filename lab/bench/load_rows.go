// SPDX-License-Identifier: Apache-2.0

package bench

// loadMetrics are the figures of the benchmark of forwarding, in the order of the rows.
var loadMetrics = []measureMetric{
	{"pps", "1/s", true},
	{"cpu_ns_per_packet", "ns", false},
	{"net_cpu_ns_per_packet", "ns", false},
	{"packets_per_cpu_s", "1/s", true},
	{"of_kernel_percent", "percent", true},
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

// compare adds what measures are beside others of the same round: the processor time a packet less that of the generator, and the
// packets a second as a part of the kernel's.
func compare(all []Measure) {
	type key struct {
		round        int
		name, system string
	}
	of := map[key]Measure{}
	for _, m := range all {
		of[key{m.Round, m.Case, m.System}] = m
	}
	for _, m := range all {
		if m.System == systemGenerator {
			continue
		}
		if g, ok := of[key{m.Round, m.Case, systemGenerator}]; ok {
			m.Values["net_cpu_ns_per_packet"] = m.Values["cpu_ns_per_packet"] - g.Values["cpu_ns_per_packet"]
		}
		if k, ok := of[key{m.Round, m.Case, systemKernel}]; ok && m.System != systemKernel {
			m.Values["of_kernel_percent"] = 100 * m.Values["pps"] / k.Values["pps"]
		}
	}
}
