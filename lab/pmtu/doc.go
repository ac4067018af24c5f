// SPDX-License-Identifier: Apache-2.0

// Package pmtu lets a router on the far side of a gateway say of many flows that a packet was too big (ICMP, RFC 792 and RFC 1191;
// ICMPv6, RFC 4443), and looks whether the socket that each flow belongs to is told, with the size that was said. The router quotes the
// packet as its side knows it: a gateway that translates must translate the quotation back, and one of several members must first find
// the member that knows the flow. The error comes from an address that nobody has, as a router's on the way would.
//
// It imports lab/topology (for Node).
package pmtu
