// SPDX-License-Identifier: Apache-2.0

// Package gate is the gate's decisions in pure Go: whether a member may serve, how an authentic probe or YIELD changes that, and
// what the gate answers. The gate itself is the C program in bpf/src; this package is its twin, kept equal to it by the tests of
// package bpf, which run both on the same random sequences. The simulator runs this one.
//
// It owns the meaning of the gate's words (lease, fence, linger, alone, the watch stamps) and their packing into 64-bit words. It
// must import nothing but the standard library, and no clock, socket or source of randomness: time enters as an argument, in
// nanoseconds of CLOCK_BOOTTIME. It must not import package ccp: frames are parsed and authenticated by the caller.
//
// Lease word, one per group, written by the pulse only:
//
//	bits 40..63  term (24 bits; 0 means no lease)
//	bits  0..39  the time of the last renewal in units of 65536 ns, modulo 2^40
//
// Fence word, one per group, changed by compare-and-swap only; its term strictly increases with every change:
//
//	bits 8..63   term
//	bits 0..7    grantee: the one member that this term was granted to, 0xff nobody
//
// Share word, one for the gateway in load sharing, written by the pulse only and packed as a lease: the term under which this member carries
// a share of the traffic. It is open while that term is not below the fence of group 0, whoever that was granted to.
package gate
