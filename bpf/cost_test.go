// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/holdfast-project/holdfast/internal/labtest"
)

// passOnly is a program that lets everything through: what a program costs at least.
func passOnly(tb testing.TB, e entry) *ebpf.Program {
	tb.Helper()
	spec := &ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, -1), asm.Return()}}
	if e.name == "xdp" {
		spec.Type, spec.Instructions[0] = ebpf.XDP, asm.Mov.Imm(asm.R0, 2)
	}
	p, err := ebpf.NewProgram(spec)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { p.Close() })
	return p
}

// TestCost keeps what a packet costs within bounds, as multiples of what a program costs that lets everything through, so that they hold
// on any machine. docs/benchmarks/gate.md has what they are.
func TestCost(t *testing.T) {
	labtest.RequireProcessor(t)
	bounds := map[string]float64{
		"pass": 6, "vmac": 7, "another's": 9, "another's-v6": 9, "another's-to-vip": 12, "another's-published": 13, "another's-icmp-error": 14,
		"taken-known": 10, "taken-snat-answer": 26, "pivot-takes": 10, "passed-on-to-us": 13,
	}
	g := newTestGate(t, true)
	g.onlyTheGateway(t)
	for _, e := range entries {
		floor := passOnly(t, e)
		packet := udpFrame{dst: ownMAC, src: client, from: client4, to: far4}.bytes()
		for _, k := range slices.Concat(ingressKinds(), sharingKinds()) {
			bound, ok := bounds[k.name]
			// What the program changes cannot be run again and again.
			if !ok || k.changes || k.admits && e.name == "xdp" {
				continue
			}
			t.Run(e.name+"/"+k.name, func(t *testing.T) {
				g.clear()
				if err := g.SetSteering(Steering{}); err != nil {
					t.Fatal(err)
				}
				g.in(k.state)
				if k.shares != nil {
					k.shares(t, g)
				}
				var ratio float64
				for range 5 { // another process may be in the way, of all of it
					least := fastest(t, floor, packet)
					cost := fastest(t, e.program(g), k.packet())
					if ratio = float64(cost) / float64(max(least, 1)); ratio <= bound {
						break
					}
				}
				t.Logf("%.1f times what a program costs that does nothing", ratio)
				if ratio > bound {
					t.Errorf("a packet costs %.1f times as much as in a program that does nothing, want at most %.0f times", ratio, bound)
				}
			})
		}
	}
}

// fastest returns what a packet costs: the least of some batches, so that other work of the machine shows as little as it can.
func fastest(tb testing.TB, p *ebpf.Program, packet []byte) time.Duration {
	tb.Helper()
	least := time.Hour
	for range 10 { // to begin is slow, with XDP
		_, d, err := p.Benchmark(packet, 5000, nil)
		if err != nil {
			tb.Fatal(err)
		}
		least = min(least, d)
	}
	return least
}
