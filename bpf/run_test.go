// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/cilium/ebpf"
)

type verdict string

const (
	pass   verdict = "pass"
	drop   verdict = "drop"
	answer verdict = "answer"
)

// entry is one of the two entry points of the ingress core.
type entry struct {
	name     string
	program  func(*Gate) *ebpf.Program
	verdicts map[uint32]verdict
}

var entries = []entry{
	{"xdp", func(g *Gate) *ebpf.Program { return g.objects.HoldfastXdp }, map[uint32]verdict{1: drop, 2: pass, 3: answer}},
	{"tcx", func(g *Gate) *ebpf.Program { return g.objects.HoldfastIngress }, map[uint32]verdict{0xffffffff: pass, 2: drop, 7: answer}},
}

var egress = entry{"egress", func(g *Gate) *ebpf.Program { return g.objects.HoldfastEgress }, map[uint32]verdict{0xffffffff: pass, 2: drop}}

// skbContext is struct __sk_buff as BPF_PROG_TEST_RUN takes it.
type skbContext [48]uint32

const skbIngressIfindex = 9 // word in skbContext

// run sends one packet through a program and returns what became of it. One run only: a second would see the changed packet.
func (e entry) run(tb testing.TB, g *Gate, packet []byte, context any) (verdict, []byte) {
	tb.Helper()
	out := make([]byte, len(packet)+256)
	o := &ebpf.RunOptions{Data: packet, DataOut: out, Context: context}
	code, err := e.program(g).Run(o)
	if err != nil {
		tb.Fatalf("run %s: %v", e.name, err)
	}
	v, ok := e.verdicts[code]
	if !ok {
		tb.Fatalf("run %s: verdict %#x, which the program never gives", e.name, code)
	}
	return v, o.DataOut
}

// counted returns which counters moved while f ran.
func counted(tb testing.TB, g *Gate, f func()) map[Counter]uint64 {
	tb.Helper()
	before, err := g.Counters()
	if err != nil {
		tb.Fatal(err)
	}
	f()
	after, err := g.Counters()
	if err != nil {
		tb.Fatal(err)
	}
	moved := map[Counter]uint64{}
	for c, n := range after {
		if n != before[c] {
			moved[c] = n - before[c]
		}
	}
	return moved
}

// checkCounted wants exactly one counter to have moved by one, or none.
func checkCounted(tb testing.TB, moved map[Counter]uint64, want ...Counter) {
	tb.Helper()
	if len(moved) != len(want) {
		tb.Errorf("counted %v, want %v", moved, want)
		return
	}
	for _, c := range want {
		if moved[c] != 1 {
			tb.Errorf("counted %v, want %v", moved, want)
		}
	}
}

func checkBytes(tb testing.TB, got, want []byte) {
	tb.Helper()
	if !bytes.Equal(got, want) {
		tb.Errorf("packet is\n%swant\n%s", hex.Dump(got), hex.Dump(want))
	}
}
