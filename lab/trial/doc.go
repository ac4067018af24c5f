// SPDX-License-Identifier: Apache-2.0

// Package trial does one fault at a time to a running cluster and measures what came of it: wait until the gateway is at rest and
// all members are ready, do the harm at a random moment, let it come to rest, undo the harm. The benchmark repeats trials and the
// demonstration shows them; what a fault is, is said here once.
//
// It drives any machine.System through lab/fault and sees through lab/observe only, so two systems are treated alike.
package trial
