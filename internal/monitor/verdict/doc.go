// SPDX-License-Identifier: Apache-2.0

// Package verdict turns the results of single checks into the status of a critical device: how many in a row it takes (rise and fall),
// what any or all of several targets mean, and when the next check is due.
//
// The package is pure: times come in as nanoseconds of one clock, nothing is checked here.
package verdict
