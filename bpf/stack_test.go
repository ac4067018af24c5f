// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"testing"

	"github.com/cilium/ebpf/asm"
)

// TestStack: Linux 6.1 allows a chain of calls 512 bytes of stack, each function's rounded up to 32; later kernels round to 16.
func TestStack(t *testing.T) {
	for name, p := range buildOf(t).Programs {
		depth, calls, at := map[string]int{}, map[string]map[string]bool{}, ""
		var copied [11]bool // registers that have just become a copy of the frame pointer
		for _, ins := range p.Instructions {
			if s := ins.Symbol(); s != "" {
				at, calls[s] = s, map[string]bool{}
			}
			if ins.IsFunctionCall() {
				calls[at][ins.Reference()] = true
			}
			switch {
			case ins.OpCode.Class() == asm.ALU64Class && ins.OpCode.ALUOp() == asm.Mov && ins.OpCode.Source() == asm.RegSource && ins.Src == asm.R10:
				copied[ins.Dst] = true
				continue
			case ins.OpCode.Class() == asm.ALU64Class && ins.OpCode.ALUOp() == asm.Add && ins.OpCode.Source() == asm.ImmSource && copied[ins.Dst]:
				depth[at] = max(depth[at], int(-ins.Constant))
			case ins.OpCode.Class().IsStore() && ins.Dst == asm.R10, ins.OpCode.Class().IsLoad() && ins.Src == asm.R10:
				depth[at] = max(depth[at], int(-ins.Offset))
			}
			copied[ins.Dst] = false
		}
		var deepest func(f string) (int, []string)
		deepest = func(f string) (int, []string) {
			most, chain := 0, []string(nil)
			for callee := range calls[f] {
				if n, c := deepest(callee); n > most {
					most, chain = n, c
				}
			}
			return most + (max(depth[f], 1)+31)/32*32, append([]string{f}, chain...)
		}
		n, chain := deepest(name)
		t.Logf("%s: %d bytes, in %v", name, n, chain)
		for _, f := range chain {
			t.Logf("  %s %d", f, depth[f])
		}
		if n > 512 {
			t.Errorf("%s: %d bytes of stack in %v", name, n, chain)
		}
	}
}
