// SPDX-License-Identifier: Apache-2.0

// Package announce tells the segment who answers for the cluster's addresses: gratuitous ARP, unsolicited neighbour
// advertisements, the beacon from which switches learn the port of a VMAC, and router advertisements.
//
// It owns one raw Ethernet socket per cluster interface, and the schedule of what is sent there. It does not decide who
// serves: the node says Announce and Withdraw, and the gate's egress program drops what was queued when the lease ended.
// For that reason the sockets never use PACKET_QDISC_BYPASS, which would go around the egress program.
//
// It must not import another adapter, nor the node.
package announce
