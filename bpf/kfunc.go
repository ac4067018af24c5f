// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
)

// kfuncs are functions of the kernel's that the programs call where they are there, and the module that they may be in.
var (
	kfuncs      = []string{"bpf_xdp_ct_lookup", "bpf_skb_ct_lookup", "bpf_ct_release"}
	kfuncModule = "nf_conntrack"
)

// settleKfuncs puts 1 where the programs look whether one of kfuncs is there, if it is. Its address, which they have no other use for, would
// do as well, but not if it lies in a module: no verifier takes the instruction that then names the module (check_ld_imm in
// kernel/bpf/verifier.c wants off to be 0). Where it is missing the library puts 0.
func settleKfuncs(spec *ebpf.CollectionSpec) error {
	there, err := findKfuncs()
	if err != nil {
		return err
	}
	for _, p := range spec.Programs {
		for i := range p.Instructions {
			ins := &p.Instructions[i]
			if ins.OpCode.IsDWordLoad() && slices.Contains(there, ins.Reference()) {
				*ins = asm.LoadImm(ins.Dst, 1, asm.DWord).WithSymbol(ins.Symbol()).WithSource(ins.Source())
			}
		}
	}
	return nil
}

// findKfuncs returns those of kfuncs that the running kernel or its module has. A kernel without type information has none.
func findKfuncs() ([]string, error) {
	cache := btf.NewCache()
	specs := []func() (*btf.Spec, error){cache.Kernel, func() (*btf.Spec, error) { return cache.Module(kfuncModule) }}
	var there []string
	for _, load := range specs {
		spec, err := load()
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ebpf.ErrNotSupported) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("types of the kernel: %w", err)
		}
		for _, name := range kfuncs {
			var f *btf.Func
			if spec.TypeByName(name, &f) == nil {
				there = append(there, name)
			}
		}
	}
	return there, nil
}
