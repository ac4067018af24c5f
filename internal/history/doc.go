// SPDX-License-Identifier: Apache-2.0

// Package history keeps what happened to a cluster, as one member saw it: hand-overs of the gateway with their counter, and changes
// of members' states. It lives in memory and, written by a task of its own, in one file that survives restarts and reboots.
//
// The file is JSON, one object a line, each with exactly one of the keys
//
//	format    number of this format, in the first line
//	failover  a hand-over; its number is one more than that of the one before, for ever
//	change    a change of a member's state
//	counter   the failover counter as it stands after all lines before
//	reset     an order to set counter, history or both back
//
// Lines are appended and synced in batches; a file that has grown too long is replaced in one step. A last line that a crash has
// torn is dropped; a file that is damaged elsewhere is moved aside, and what can be read of it is kept. A line with a key that
// this version does not know is skipped.
//
// It must not know the machine or the configuration: the node translates.
package history
