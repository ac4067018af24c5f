// SPDX-License-Identifier: Apache-2.0

// Package reset watches all cables of a laboratory for TCP segments with the flag RST and says who sent each first: an end
// station, or a gateway that passed none on but made one of its own.
//
// A forwarded segment has the forwarder's MAC, and a translated one its addresses; a helper that changed the text of a connection
// also changed the numbers of one direction. What stays is enough to know a segment again: the cable on which a reset is seen
// first is its sender's.
//
// It imports lab/topology and lab/tap.
package reset
