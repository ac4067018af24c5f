// SPDX-License-Identifier: Apache-2.0

// Package paths sees through which member each connection goes, each way: taps at the switch's end of the members' cables show what
// a member really sent, and only frames for the MACs of end stations count. A frame that one member passes on to another is for that
// one's MAC: who passes on is not who forwards.
//
// A connection is known by what the end station sees of it (Flow), and, if package churn made it, by its number, which is the same on
// both sides of any translation: so it can be told whether both ways led through one member.
//
// It imports lab/tap, lab/topology and lab/churn (for Number).
package paths
