// SPDX-License-Identifier: Apache-2.0

// Package liveness decides from probes and answers whether a peer is alive on one interface.
//
// It owns one rule: a peer is dead when the dead interval has passed since its last answered probe was
// sent, and three later probes really left, the third of them a margin ago. Since the rule counts from
// what was sent, a prober that was stalled accuses nobody: it has to send three probes first.
//
// The package is pure: times are nanoseconds of CLOCK_BOOTTIME and come in as arguments, nonces too. It
// must not import anything but the standard library.
package liveness
