// SPDX-License-Identifier: Apache-2.0

// Package stamp turns the kernel's receive timestamps into Go times that survive a step of the wall clock.
//
// The kernel stamps a frame with CLOCK_REALTIME; the laboratory steps that clock on purpose. So a stamp is used only as an age,
// "so long before now", and the result carries Go's monotonic reading: differences between two results are true durations as
// long as the clock is not stepped between a frame's arrival and its reading (a few milliseconds).
//
// It knows sockets and control messages, nothing of what is in a frame, and imports no other package of the laboratory.
package stamp
