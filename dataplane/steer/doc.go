// SPDX-License-Identifier: Apache-2.0

// Package steer is load sharing without a kernel: which of 1024 slots a packet belongs to, which member takes a slot, and how the
// members agree on that while they come, go, hang and lose sight of each other. It is pure: time is an int64 of CLOCK_BOOTTIME nanoseconds
// that comes in as an argument, effects are returned, and it must import nothing but the standard library. It must not import
// package members or bpf: the node translates. bpf/src/steer.h is the same decision in C; tests keep the two equal.
//
// # The slot of a packet
//
// Two ends, an end being (address, port). What counts as port:
//
//	TCP, UDP, UDP-Lite, SCTP, DCCP     the ports
//	ICMP type 0 and 8, ICMPv6 128, 129 the identifier, at both ends
//	ESP, AH with kind ips+ports+spi    none, but the SPI counts as said below
//	anything else, GRE included        0
//
// With kind `ips` ports and protocol are taken as 0. An ICMP error (types 3, 4, 5, 11, 12; ICMPv6 1 to 4) is steered as the packet inside it with its two ends exchanged (and echo request and reply
// exchanged). One whose inside cannot be read, or is a later fragment, is steered as itself, without ports. A later fragment (offset
// not 0) has no ports: it is steered as with kind `ips`, if nothing better is known of it. IPv6 extension headers (0, 43, 44, 51 when it
// is not the SPI that is wanted, 60) are walked, eight at most; behind a ninth the packet has protocol 0 and no ports.
//
// Which ends count, the first that applies:
//
//	1  dst is a VIP, and its port is in the SNAT range (for ICMP: an echo reply): decided by the member that has this part of the
//	   range ([RangeMember]), if it takes any slot. Its slot, where one is asked for, is that of 2.
//	2  dst is a VIP                                       the source's end alone
//	3  src and dst are both published                     both
//	4  src is published                                   the destination's end alone
//	5  dst is published                                   the source's end alone
//	6  otherwise                                          both
//
// Published is where destination NAT leads to, and every proxied address (an address that the cluster answers for, but that is not its
// own). A VIP is never published. The slot of a connection is the slot of its original tuple by rules 2 to 6: the range never counts.
//
// Of two ends the lower comes first: compared as numbers, by address, then port. Of one end alone the upper is all zero. The
// message is hashed with SipHash-1-3 (Aumasson, Bernstein: one round a word, three to finish, v2 ^= 0xff before them) under the 128-bit
// key (k0, k1); as little-endian words, addresses being the numbers that they are in network byte order:
//
//	IPv4, 15 bytes:  m0 = lower.addr << 32 | upper.addr
//	                 m1 = 15 << 56 | tail
//	IPv6, 39 bytes:  m0 = lower.addr's upper half    m1 = lower.addr's lower half
//	                 m2 = upper.addr's upper half    m3 = upper.addr's lower half
//	                 m4 = 39 << 56 | tail
//	tail             bits  0..15 lower.port, bits 16..31 upper.port (or bits 0..31 the SPI, ends being ordered by address alone)
//	                 bits 32..39 IP protocol (that behind the extension headers; 0 with `ips` and for a later fragment)
//	                 bits 40..47 1 if it is of one end alone, else 0
//	                 bits 48..55 0
//
// The slot is the upper ten bits of the result: hash >> 54. An IPv4-mapped IPv6 address is an IPv6 address.
//
// # Who takes a packet
//
// A table ([Table]) says of each slot who takes it, and whether it is moving to another. The decider of a packet is, in multicast, the
// taker of its slot (by rule 1: that member of the range); in unicast the pivot, which leads. The decider asks its own connection table:
//
//	known     the taker of the slot of the connection's original tuple. If that slot is moving, its taker is the decider, and the decider
//	          has drained: the member that it moves to. If it is moving to the decider, and the connection has begun there (what the
//	          decider knows is no copy): the decider, since what begins in a slot that moves is not told to its taker before it has moved
//	unknown   by rule 1 that member; else the taker of the packet's slot, or the member that it moves to if it is moving
//	noted     (neither TCP nor UDP, and an answer of a connection that is translated: what the gate has been told of those by their addresses,
//	          ports, echo identifier or, of version 1 of GRE, call) as known
//	blind     (no kernel function to look connections up, or neither TCP nor UDP, and not noted) as unknown, but a moving slot counts as its taker's
//	          until that has drained, as if the connection were known; and nothing is dropped for being unknown
//
// Where no connection is translated the gate need not ask about a packet by rule 6 whose slot does not move: known or not, it goes to its slot's taker.
//
// Whoever would take it in the end, by its own decision or as a frame passed on to it, and does not know its connection, drops what
// would make its stack answer for somebody else: a packet by rule 1, and TCP to a VIP with ACK or RST. A
// pivot that does not know such a packet passes it on all the same: the connection may be younger than what was synchronised. So an
// outside host that opens a connection to a VIP's port in the SNAT range gets no answer: services do not belong there.
//
// Not steered at all: what is not IPv4 or IPv6, destinations that are multicast or broadcast, neighbour discovery (ICMPv6 133 to 137 with
// hop limit 255) and multicast listener discovery (130 to 132, 143 with hop limit 1), and either to a link-local address. With another
// hop limit it has come from afar, and is a packet like others.
//
// # Agreement
//
// See [Agreement], and docs/decisions/013-slots-are-agreed-in-two-steps.md.
package steer
