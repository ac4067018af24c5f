// SPDX-License-Identifier: Apache-2.0

// Package xtcluster owns the rival in load sharing: the kernel's own xt_cluster, as the manual page of iptables-extensions(8) sets it
// up. Every member receives every packet, because the end stations send to a multicast MAC, and each drops at PREROUTING, in table
// mangle, the packets of connections whose source address hashes to another member.
//
// It is set up as well as it can be: one rule a segment (the manual has a mark and two), Debian's iptables with the nf_tables back end,
// which registers only the hook that has a rule in it, and static neighbours at the end stations in place of arptables. The match turns
// packets that came to a multicast MAC into the host's own by itself.
//
// Alone (Setup) it is not whole: nobody fails over, and nothing synchronises connections. Synced is the whole: conntrackd and keepalived run
// beside it, whose packages it imports for that. IPv4 only. It must not import the faults, scenarios or Holdfast's members.
package xtcluster
