// SPDX-License-Identifier: Apache-2.0

package bpf

// conntrackSysctl is there as soon as the kernel tracks connections, be that built in or a module that was loaded.
const conntrackSysctl = "/proc/sys/net/netfilter/nf_conntrack_max"

// Blind reports whether the programs cannot ask the kernel for connections, because it did not track any yet when they were loaded. Then
// load sharing steers by addresses and ports alone. Opening the gate again when connections are tracked mends it.
func (g *Gate) Blind() bool { return g.words.u32(offBlind).Load() != 0 }

// wasBlind reports whether the pinned programs are blind although others would not be.
func wasBlind(w *Words) bool { return w.u32(offBlind).Load() != 0 && exists(conntrackSysctl) }

// noteBlind writes down what the programs just loaded could see.
func (g *Gate) noteBlind() {
	blind := uint32(1)
	if exists(conntrackSysctl) {
		blind = 0
	}
	g.words.u32(offBlind).Store(blind)
}
