// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// conntrackSysctl is there as soon as the kernel tracks connections, be that built in or a module that was loaded.
const conntrackSysctl = "/proc/sys/net/netfilter/nf_conntrack_max"

// Blind reports whether the programs cannot ask the kernel for connections: it did not track any yet when they were loaded, or has no
// functions for it. Then load sharing steers by addresses and ports alone. Opening the gate again when connections are tracked mends the former.
func (g *Gate) Blind() bool { return g.words.u32(offBlind).Load() != 0 }

// What the words keep of it.
const (
	blindForNow  = 1 // no connections were tracked
	blindForGood = 2 // they were, but this kernel does not let programs ask (no BTF of its module, or older than Linux 5.18)
)

// wasBlind reports whether the pinned programs are blind although others might not be.
func wasBlind(w *Words) bool { return w.u32(offBlind).Load() == blindForNow && exists(conntrackSysctl) }

// askMagic is the number in src/known.h in whose place goes whether connections can be asked for.
const askMagic = 0x6b6e6f77

// withAsking returns the specification with programs that ask for connections, or do not.
func withAsking(spec *ebpf.CollectionSpec, ask bool) *ebpf.CollectionSpec {
	spec = spec.Copy()
	for _, p := range spec.Programs {
		for i := range p.Instructions {
			ins := &p.Instructions[i]
			if ins.OpCode.Class().IsALU() && ins.OpCode.ALUOp() == asm.Mov && ins.OpCode.Source() == asm.ImmSource && ins.Constant == askMagic {
				ins.Constant = 0
				if ask {
					ins.Constant = 1
				}
			}
		}
	}
	return spec
}

// loadSeeing loads the programs so that they ask for connections if they can, and says how blind they are.
func loadSeeing(spec *ebpf.CollectionSpec, o ebpf.CollectionOptions) (coll *ebpf.Collection, blind uint32, err error) {
	if !exists(conntrackSysctl) {
		coll, err = ebpf.NewCollectionWithOptions(withAsking(spec, false), o)
		return coll, blindForNow, err
	}
	coll, err = ebpf.NewCollectionWithOptions(withAsking(spec, true), o)
	if err == nil {
		return coll, 0, nil
	}
	blindly, failed := ebpf.NewCollectionWithOptions(withAsking(spec, false), o)
	if failed != nil {
		return nil, 0, err // which is not about asking
	}
	return blindly, blindForGood, nil
}
