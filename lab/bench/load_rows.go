// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"cmp"
	"strings"
)

// loadMetrics are the figures of the benchmark of forwarding, in the order of the rows.
var loadMetrics = []measureMetric{
	{"pps", "1/s", true},
	{"cpu_ns_per_packet", "ns", false},
	{"net_cpu_ns_per_packet", "ns", false},
	{"beyond_generator_ns_per_packet", "ns", false},
	{"daemons_ns_per_packet", "ns", false},
	{"packets_per_cpu_s", "1/s", true},
	{"of_kernel_percent", "percent", true},
	{"processors_busy", "count", false},
	{"lost_percent", "percent", false},
}

// netWithoutDaemons is net_cpu_ns_per_packet less daemons_ns_per_packet: no row of its own, but a ratio.
const netWithoutDaemons = "net_without_daemons_ns_per_packet"

// Systems that others are seen against.
const (
	// systemGenerator is the generator and the way to a member alone.
	systemGenerator = "generator"
	// systemKernel forwards without anything of a cluster.
	systemKernel = "kernel"
)

// Generators whose frames go to a multicast MAC, so that the switch copies them for every member.
const (
	systemGeneratorMany2 = "generator-multicast-2"
	systemGeneratorMany3 = "generator-multicast-3"
)

// carriedBy names, for systems whose frames the first switch copies, the system that is generator, switch and copies alone. For all others
// that is systemGenerator.
var carriedBy = map[string]string{
	"holdfast-multicast-2":      systemGeneratorMany2,
	"holdfast-multicast-2-xdp":  systemGeneratorMany2,
	"kernel-multicast-2":        systemGeneratorMany2,
	"kernel-multicast-2-events": systemGeneratorMany2,
	"xt-cluster-2":              systemGeneratorMany2,
	"xt-cluster-2-sync":         systemGeneratorMany2,
	"holdfast-multicast-3":      systemGeneratorMany3,
}

// compare adds what measures are beside others of the same round: the processor time a packet less that of generator and switch, and less that
// of the plain generator, and the packets a second as a part of the kernel's.
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
		less := func(metric, system string) {
			if g, ok := of[key{m.Round, m.Case, system}]; ok {
				m.Values[metric] = m.Values["cpu_ns_per_packet"] - g.Values["cpu_ns_per_packet"]
			}
		}
		less("beyond_generator_ns_per_packet", systemGenerator)
		less("net_cpu_ns_per_packet", cmp.Or(carriedBy[strings.TrimSuffix(m.System, otherBuild)], systemGenerator))
		if net, ok := m.Values["net_cpu_ns_per_packet"]; ok {
			m.Values[netWithoutDaemons] = net - m.Values["daemons_ns_per_packet"]
		}
		if k, ok := of[key{m.Round, m.Case, systemKernel}]; ok && m.System != systemKernel {
			m.Values["of_kernel_percent"] = 100 * m.Values["pps"] / k.Values["pps"]
		}
	}
}
