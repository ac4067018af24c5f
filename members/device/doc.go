// SPDX-License-Identifier: Apache-2.0

// Package device is the registry of critical devices of one member: named things that must be well for
// the member to serve, built in or user-defined, each `ok`, `init` or `problem`, with an optional timeout
// after which a silent reporter counts as a problem.
//
// The package is pure: time comes in as nanoseconds of CLOCK_BOOTTIME, nothing is watched here. It must
// not import anything but the standard library.
package device
