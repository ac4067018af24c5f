// SPDX-License-Identifier: Apache-2.0

package record

import (
	"net/netip"
	"testing"
)

// TestAnswersOf: gates need notes of what they cannot look up and NAT translates, and of nothing else.
func TestAnswersOf(t *testing.T) {
	a, b, vip := addressOf(netip.MustParseAddr("10.0.0.7")), addressOf(netip.MustParseAddr("198.51.100.9")), addressOf(netip.MustParseAddr("192.0.2.1"))
	a6, b6, vip6 := addressOf(netip.MustParseAddr("fd00::7")), addressOf(netip.MustParseAddr("2001:db8::9")), addressOf(netip.MustParseAddr("2001:db8::1"))
	gre := tuple{src: a, dst: b, proto: protoGRE, ports: true}
	call := tuple{src: a, dst: b, proto: protoGRE, ports: true, srcPort: 7, dstPort: 8}
	sctp := tuple{src: a, dst: b, proto: protoSCTP, ports: true, srcPort: 1000, dstPort: 2905}
	esp6 := tuple{src: a6, dst: b6, proto: 50}
	echo := tuple{src: a, dst: b, proto: protoICMP, icmp: true, srcPort: 77, icmpType: 8}
	echo6 := tuple{src: a6, dst: b6, proto: protoICMPv6, icmp: true, srcPort: 77, icmpType: 128}
	tcp := tuple{src: a, dst: b, proto: protoTCP, ports: true, srcPort: 1, dstPort: 2}
	back := func(of tuple, dst address, port uint16) tuple {
		r := tuple{src: of.dst, dst: dst, proto: of.proto, ports: of.ports, icmp: of.icmp, srcPort: of.dstPort, dstPort: port}
		if of.icmp {
			r.srcPort, r.dstPort = port, 0
			if of.proto == protoICMPv6 {
				r.icmpType = 129
			}
		}
		return r
	}
	for _, c := range []struct {
		name        string
		orig, reply tuple
		zone        uint16
		noted       bool
		want        Tuple
	}{
		{name: "GRE", orig: gre, reply: back(gre, vip, 0), noted: true, want: Tuple{Proto: protoGRE}},
		{name: "GRE, plain", orig: gre, reply: back(gre, a, 0)},
		{name: "GRE in a zone", orig: gre, reply: back(gre, vip, 0), zone: 3},
		{name: "a call", orig: call, reply: back(call, vip, 9), noted: true, want: Tuple{Proto: protoGRE, DstPort: 9}},
		{name: "SCTP", orig: sctp, reply: back(sctp, vip, 1000), noted: true, want: Tuple{Proto: protoSCTP, SrcPort: 2905, DstPort: 1000}},
		{name: "SCTP, another port alone", orig: sctp, reply: back(sctp, a, 1001), noted: true, want: Tuple{Proto: protoSCTP, SrcPort: 2905, DstPort: 1001}},
		{name: "SCTP, plain", orig: sctp, reply: back(sctp, a, 1000)},
		{name: "ESP", orig: esp6, reply: back(esp6, vip6, 0), noted: true, want: Tuple{Proto: 50}},
		{name: "an echo", orig: echo, reply: back(echo, vip, 78), noted: true, want: Tuple{Proto: protoICMP, ICMPID: 78}},
		{name: "an echo, plain", orig: echo, reply: back(echo, a, 77)},
		{name: "an echo of IPv6", orig: echo6, reply: back(echo6, vip6, 77), noted: true, want: Tuple{Proto: protoICMPv6, ICMPType: 129, ICMPID: 77}},
		{name: "a timestamp", orig: tuple{src: a, dst: b, proto: protoICMP, icmp: true, srcPort: 77, icmpType: 13}, reply: back(echo, vip, 77)},
		{name: "TCP", orig: tcp, reply: back(tcp, vip, 1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			family := IPv4
			if c.orig.src.netip(IPv6) == a6.netip(IPv6) {
				family = IPv6
			}
			r := Record{Table: TableConnections, Op: OpNew, Family: family}
			r.Attrs = c.reply.append(c.orig.append(nil, ctaTupleOrig, family), ctaTupleReply, family)
			if c.zone != 0 {
				r.Attrs = appendU16(r.Attrs, ctaZone, c.zone)
			}
			original, answer, noted := Answers(r)
			if noted != c.noted || original.Src != c.orig.src.netip(family) || original.Proto != c.orig.proto {
				t.Errorf("noted %v, of %+v", noted, original)
			}
			if c.want.Src, c.want.Dst = c.reply.src.netip(family), c.reply.dst.netip(family); noted && answer != c.want {
				t.Errorf("answers are %+v, want %+v", answer, c.want)
			}
			if v := (Rules{}).Compile().Judge(r); v.Blind != (c.orig.proto != protoTCP) {
				t.Errorf("judged %+v", v)
			}
		})
	}
}
