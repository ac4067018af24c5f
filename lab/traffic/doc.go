// SPDX-License-Identifier: Apache-2.0

// Package traffic sends numbered packets through a gateway and says what became of each.
//
// Four UDP flows at most: from A to B and from B to A, over IPv4 and IPv6, each 1000 packets a second. Every packet carries its
// number and the moment it was sent; the sender's log and the receiver's log (kernel timestamps) are kept whole, so that any
// window of a run can be judged afterwards: sent, lost, duplicated, reordered, and every gap between arrivals, also less what
// the sender itself was late (see Gap). A TCP stream checks the same path end to end (see Stream).
//
// The packet, big-endian, after the UDP header:
//
//	off len
//	 0   4  magic "HFT1"
//	 4   4  run: random, so that packets of an earlier run are not counted
//	 8   2  flow
//	10   2  reserved 0
//	12   8  sequence, from 0
//	20   8  sent: ns since the start of the run (monotonic)
//	28   4  CRC-32C of all other bytes
//	32   -  zeros up to Config.Payload
//
// It imports lab/stamp and lab/tap (for Namespace); it knows neither topologies nor members.
package traffic
