// SPDX-License-Identifier: Apache-2.0

package record

import "net/netip"

// Tuple is one direction of a connection.
type Tuple struct {
	// Src and Dst are addresses of one family, never mapped (4in6) ones.
	Src, Dst netip.Addr
	// Proto is the IP protocol number.
	Proto uint8
	// SrcPort and DstPort are set for protocols with ports; GRE's keys count as such, as in the kernel.
	SrcPort, DstPort uint16
	// ICMPType, ICMPCode and ICMPID are set for ICMP and ICMPv6.
	ICMPType, ICMPCode uint8
	ICMPID             uint16
	// Zone is the conntrack zone in this direction; 0 is the default zone.
	Zone uint16
}
