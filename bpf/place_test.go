// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"testing"

	"github.com/cilium/ebpf"
)

// placers are the programs that tell where a packet belongs, over the maps of a gate.
type placers struct {
	XDP *ebpf.Program `ebpf:"holdfast_place_xdp"`
	SKB *ebpf.Program `ebpf:"holdfast_place_skb"`
}

var loadedPlacers = map[*Gate]*placers{}

func (g *Gate) placers(tb testing.TB) *placers {
	tb.Helper()
	if p := loadedPlacers[g]; p != nil {
		return p
	}
	spec := buildOf(tb)
	for name := range spec.Programs {
		if name != kernelProgHoldfastPlaceXdp && name != kernelProgHoldfastPlaceSkb {
			delete(spec.Programs, name)
		}
	}
	maps := g.maps()
	for name, slot := range g.keptSlots() {
		maps[name] = *slot
	}
	p := new(placers)
	if err := spec.LoadAndAssign(p, &ebpf.CollectionOptions{MapReplacements: maps}); err != nil {
		tb.Fatalf("%+v", err)
	}
	loadedPlacers[g] = p
	tb.Cleanup(func() {
		delete(loadedPlacers, g)
		p.XDP.Close()
		p.SKB.Close()
	})
	return p
}

const unplaced = 1 << 31

func placeOf(tb testing.TB, g *Gate, entry string, frame []byte) uint32 {
	tb.Helper()
	p := g.placers(tb).XDP
	if entry == "tcx" {
		p = g.placers(tb).SKB
	}
	code, err := p.Run(&ebpf.RunOptions{Data: frame})
	if err != nil {
		tb.Fatalf("place: %v", err)
	}
	return code
}
