// SPDX-License-Identifier: Apache-2.0

// Package sim runs whole clusters of members.Machine, with gates, pulses, networks and clocks of their
// own, from one seed: a run does the same thing every time. It does to them what happens to machines
// and networks (loss, delay, reordering, duplication, partitions, one-way cuts, stalls, crashes, reboots,
// pauses, clocks that jump, wrong keys) and to what they watch (critical devices and their reporters,
// interfaces, neighbours, policies, versions), and checks after every event that the cluster keeps its
// promises. docs/ARCHITECTURE.md says what a seed draws and what is checked.
//
// It owns the model of what surrounds the machine (the pulse, the wire, the clock) and the exact wording
// of the invariants. The machine, the liveness rule and the gate's decisions are the real ones. It is
// pure as well: it must import nothing but the standard library, members and its pure sub-packages; and
// nothing but tests and the laboratory may import it.
package sim
