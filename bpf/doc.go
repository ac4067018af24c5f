// SPDX-License-Identifier: Apache-2.0

// Package bpf is the gate: the programs in the kernel that decide with every packet whether this member serves, and their loader.
//
// It owns the C programs (src/), the maps they share with user space, their pins on a BPF file system and their attachment to
// interfaces. It may import members/gate, the pure twin of the gate's decisions, and nothing else of Holdfast: it knows no
// states, no configuration and no frames beyond what the gate itself answers.
//
// # Lifetime
//
// The gate outlives the daemon. Open loads it, or adopts what is pinned in Options.PinDir: programs of the same tag stay as they
// are, others are replaced through their links without losing a packet, and maps of another layout are refused (ErrLayout).
// Pins without the words are of a gate that nobody can open or close any more: they are removed with what they hold (Orphans).
// Close leaves everything in place, Remove takes everything away.
//
// # Attachment
//
// At ingress one of, in Iface terms of AttachedAs:
//
//	xdp-native   before the kernel allocates anything; needs a driver with XDP
//	xdp-generic  the same program run by the stack; "xdp" falls back to it, "auto" never does (it is slower than tcx)
//	tcx          first in the chain of tc programs; Linux 6.6 or later
//	classic      a clsact filter, where TCX is missing
//
// and at egress of a gated interface always tcx or classic. "auto" takes xdp-native where the driver has it, except on veth, where
// frames that XDP sends back are lost unless the peer runs XDP too; tcx everywhere else, and classic where there is no TCX. XDP
// does not see a VLAN tag that the hardware has stripped: with VLAN-tagged VIPs on the parent interface use "tcx", or switch the
// offload off. Some drivers reset the interface when XDP comes or goes: "tcx" never does.
//
// # Maps
//
//	words     the gate's words, mapped into memory (Words); layout in words.go
//	vips      address -> interface, VLAN, group, flags
//	ifaces    interface index -> slot, MAC, VMAC, flags
//	keys      4 SipHash keys
//	sources   per slot and member: newest sequences, token bucket
//	streams   the same of state synchronisation; not pinned
//	let_in    per CPU: packets let in that egress need not ask about, and those that are let in as the one before (decision 002); not pinned
//	counters  per CPU, indexed by Counter
//
// Those of load sharing are not pinned: an older build would not know how to remove them. The programs keep them, and a restarted
// daemon finds them there.
//
//	slots          two banks of a slot table, one of them in force (words: table)
//	neighbours     per interface slot: the members' MACs
//	published      prefixes that destination NAT leads to, and proxied addresses
//	flows          what the connection table said of flows a moment ago, a word each; the programs' alone
//	fragments      where the later fragments of a datagram go (LRU)
//	slot_counts    per CPU and slot: packets taken and passed on
//	member_counts  per CPU and member: packets passed on to it and from it
package bpf
