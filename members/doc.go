// SPDX-License-Identifier: Apache-2.0

// Package members is the state machine of one cluster member: who is alive, who may serve, and how
// serving moves from one member to another.
//
// The machine is pure and deterministic. Everything that it learns enters as an Event through Step,
// together with the time; everything that it wants done leaves as an ordered list of Effects. It owns
// the states (INIT, READY, STANDBY, ACTIVE, ACTIVE(!), DOWN, and LOST as the view of a silent peer),
// the claim protocol, hand-over rules, flap damping, and the words in which all of it is explained.
// It does not decide who owns traffic at any instant: the gate in the kernel does, from the lease and
// the fence that the effects of this machine write. A machine that is wrong or late is therefore
// closed by the gates; the rules here keep it from being wrong, and make it quick.
//
// Times are nanoseconds of CLOCK_BOOTTIME, as int64, and come in as arguments. The package must not
// import anything outside of the standard library and its own pure sub-packages, in particular no
// net, os, syscall, no wire format (ccp) and no gate implementation; it starts no goroutine, reads no
// clock and holds no global mutable state. A Machine is not safe for concurrent use.
package members
