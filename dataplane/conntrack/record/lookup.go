// SPDX-License-Identifier: Apache-2.0

package record

// AppendLookup appends the attributes by which the kernel finds the connection that a packet belongs to, whichever direction it goes
// (IPCTNL_MSG_CT_GET): its own tuple, which the kernel looks up among those of both directions. Zones of one direction do not count.
func AppendLookup(dst []byte, t Tuple) []byte {
	family := IPv6
	if t.Src.Is4() {
		family = IPv4
	}
	p := tuple{src: addressOf(t.Src), dst: addressOf(t.Dst), srcPort: t.SrcPort, dstPort: t.DstPort, proto: t.Proto}
	switch t.Proto {
	case protoICMP, protoICMPv6:
		p.icmp, p.icmpType, p.icmpCode, p.srcPort, p.dstPort = true, t.ICMPType, t.ICMPCode, t.ICMPID, 0
	case protoTCP, protoUDP, protoDCCP, protoGRE, protoSCTP, protoUDPLite:
		p.ports = true
	}
	dst = p.append(dst, ctaTupleOrig|nlaNested, family)
	if t.Zone != 0 {
		dst = appendU16(dst, ctaZone, t.Zone)
	}
	return dst
}
