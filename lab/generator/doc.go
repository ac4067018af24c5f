// SPDX-License-Identifier: Apache-2.0

// Package generator sends small UDP packets of many flows as fast as one or more processors can, in bursts, and counts those that arrive.
//
// Each processor has a thread of its own and a packet socket that hands frames straight to the device (PACKET_QDISC_BYPASS), 64 with
// a system call. On the laboratory's cables the kernel carries a frame through switches, members and cables on the processor that
// sent it, before the next frame is sent: a generator's processor does all the work, and what it does not get done it does not send.
//
// The frames are of 60 bytes, the least that Ethernet carries without its checksum. They have no UDP checksum, which IPv4 allows
// (RFC 768): a network card would have verified it, here every connection tracker on the way had to.
//
// A Sink counts the frames at the ingress of an interface and drops them there, before the host's own stack.
//
// It imports lab/topology (for Node) and lab/hook; it knows nothing of members' software.
package generator
