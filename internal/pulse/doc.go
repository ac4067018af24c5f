// SPDX-License-Identifier: Apache-2.0

// Package pulse owns the member's heartbeat: the process that renews leases, probes every peer on every interface and
// knows first that one has fallen silent; and the main process's handle on it.
//
// The heartbeat is a process of its own (holdfastd runs itself again as "holdfastd pulse"), because a goroutine on a
// real-time thread is not a real-time goroutine: it waits for a scheduler slot held by unraised threads, and for stopped
// worlds. The child has no collector, its memory is locked, its one working thread is raised to SCHED_FIFO and never
// gives up its slot: between two deadlines it does nothing but raw system calls on prepared memory, and it allocates
// nothing.
//
// # Who does what
//
// Main decides, the pulse carries out: main asks for a lease, and the pulse renews it for as long as main lives (a pidfd
// and the control socket say so) and main's Word is younger than WordMax, and the fence has not overtaken its term. A hung
// main therefore lets the lease age while probing goes on, so that peers see it age and take over; a dead main ends the
// pulse. Neither clears the lease: the gate outlives both, and a new main and pulse adopt it without a gap.
//
// # The socket between the two
//
// A SEQPACKET socket pair, descriptor 3 in the child; descriptor 4 is a pidfd of main. A message is a byte of type, then the type's
// fields in little endian (wire.go). One from main is one packet; what the pulse says in one round goes together (outbox.go): at once
// with what is news, else when the round ends. Both ends are the same binary: the layout has no version, main runs
// itself rather than the file it came from, and its first message names its build, which the pulse compares. Main to pulse:
// build, configure, word, lease, drop, yield, query. Pulse to main: the events of event.go. The pulse never waits for main:
// what does not fit into the socket stays pending as a state ("this peer is silent") rather than in a queue, and is told when
// there is room.
//
// Main's word, ten times a second, is no message but a number in memory that both share, descriptor 5 (word.go): the pulse looks there every
// round. It is a message too when the one before is so old that leases may have to be renewed again.
//
// The package must not import internal/node, nor anything of the laboratory outside its tests.
package pulse
