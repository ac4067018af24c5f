// SPDX-License-Identifier: Apache-2.0

// Package fault owns the harm that the laboratory does to networks and machines: cables pulled at either end, switches that
// reboot, frames lost, duplicated or cut one way, segments that split, floods of garbage and of recorded frames, busy
// processors, paused machines, and steps of the wall clock.
//
// What kills, stops or switches off cluster software is in lab/machine (System), since each kind of software has its own
// way; the pause of a whole machine is here because it is both.
//
// # What is not quite real
//
// A namespace has no clock of its own. A paused machine here is one whose processes are stopped and whose cables are dead
// both ways; its kernel's clock, and with it the age of a lease, goes on, where a hypervisor's pause would stop both. The
// second is covered by the simulator (members/sim). A step of the wall clock is a step of the whole host's, and done only
// when the caller allows it.
package fault
