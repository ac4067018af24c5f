// SPDX-License-Identifier: Apache-2.0

package record

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

func addrs(list ...string) (as []netip.Addr) {
	for _, s := range list {
		as = append(as, netip.MustParseAddr(s))
	}
	return as
}

func testRules() Rules {
	return Rules{
		Own:      addrs("10.1.0.1", "10.2.0.1", "::ffff:10.2.0.3", "2001:db8:1::1"),
		Virtual:  addrs("10.1.0.100", "10.2.0.100", "2001:db8:2::100"),
		Networks: []netip.Prefix{netip.MustParsePrefix("10.2.0.1/24"), netip.MustParsePrefix("10.3.0.0/31"), netip.MustParsePrefix("2001:db8:1::/64")},
		Services: []Service{
			{Protocol: protoUDP, Ports: []PortRange{{53, 53}, {67, 68}}, Never: true},
			{Protocol: protoTCP, Ports: []PortRange{{8000, 8100}}, After: 2 * time.Second},
			{Protocol: protoTCP, Ports: []PortRange{{8050, 8050}}, Never: true}, // behind the one that matches first
			{Protocol: protoICMP, Never: true},
		},
	}
}

// connection makes a NEW record: original tuple, and the reply's where it is no mere inversion.
func connection(proto uint8, src, dst string, sport, dport uint16, reply ...string) Record {
	family := IPv4
	if !netip.MustParseAddr(src).Is4() {
		family = IPv6
	}
	o := tuple{src: addressOf(netip.MustParseAddr(src)), dst: addressOf(netip.MustParseAddr(dst)), proto: proto, srcPort: sport, dstPort: dport}
	o.ports = proto == protoTCP || proto == protoUDP
	if o.icmp = proto == protoICMP; o.icmp {
		o.icmpType, o.dstPort = 8, 0
	}
	p := o.inverse(&o)
	if o.icmp {
		p.icmpType = 0
	}
	if len(reply) == 2 {
		p.src, p.dst = addressOf(netip.MustParseAddr(reply[0])), addressOf(netip.MustParseAddr(reply[1]))
	}
	b := []byte{family, 0, 0, 0}
	b = o.append(b, ctaTupleOrig, family)
	b = p.append(b, ctaTupleReply, family)
	b = appendU32(b, ctaStatus, statusConfirmed|statusSeenReply)
	r, err := FromMessage(nil, msgConnectionNew, nlmCreate, b)
	if err != nil {
		panic(err)
	}
	return r
}

func TestJudge(t *testing.T) {
	j := testRules().Compile()
	tests := []struct {
		name string
		r    Record
		want Verdict
	}{
		{"forwarded", connection(6, "10.1.0.2", "10.2.0.2", 40000, 22), Verdict{}},
		{"forwarded, IPv6", connection(6, "2001:db8:1::2", "2001:db8:2::2", 40000, 22), Verdict{}},
		{"source NAT to a virtual address", connection(6, "10.1.0.2", "10.2.0.2", 40000, 22, "10.2.0.2", "10.2.0.100"), Verdict{}},
		{"destination NAT from a virtual address", connection(6, "10.2.0.2", "10.2.0.100", 40000, 22, "10.1.0.2", "10.2.0.2"), Verdict{}},
		{"to a member's own address", connection(6, "10.1.0.2", "10.2.0.1", 40000, 22), Verdict{Skip: SkipOwn}},
		{"to another's, which was given as a mapped one", connection(6, "10.1.0.2", "10.2.0.3", 40000, 22), Verdict{Skip: SkipOwn}},
		{"from a member", connection(6, "10.2.0.1", "10.2.0.2", 40000, 22), Verdict{Skip: SkipOwn}},
		{"from a member, IPv6", connection(6, "2001:db8:1::1", "2001:db8:2::2", 40000, 22), Verdict{Skip: SkipOwn}},
		{"to a virtual address that is not translated", connection(6, "10.1.0.2", "10.1.0.100", 40000, 22), Verdict{Skip: SkipOwn}},
		{"translated to a member's own", connection(6, "10.1.0.2", "10.9.0.1", 40000, 22, "10.2.0.1", "10.1.0.2"), Verdict{Skip: SkipOwn}},
		{"masqueraded as a member", connection(6, "10.1.0.2", "10.9.0.1", 40000, 22, "10.9.0.1", "10.2.0.1"), Verdict{Skip: SkipOwn}},
		{"destination NAT from a member's own", connection(6, "10.2.0.2", "10.2.0.1", 40000, 22, "10.1.0.2", "10.2.0.2"), Verdict{Skip: SkipOwn}},
		{"loopback", connection(6, "127.0.0.1", "127.0.0.1", 40000, 22), Verdict{Skip: SkipLoopback}},
		{"loopback, IPv6", connection(6, "::1", "::1", 40000, 22), Verdict{Skip: SkipLoopback}},
		{"translated to loopback", connection(6, "10.1.0.2", "10.1.0.100", 40000, 22, "127.0.0.1", "10.1.0.2"), Verdict{Skip: SkipLoopback}},
		{"multicast", connection(17, "10.1.0.2", "224.0.0.251", 5353, 5353), Verdict{Skip: SkipBroadcast}},
		{"multicast, IPv6", connection(17, "fe80::1", "ff02::fb", 5353, 5353), Verdict{Skip: SkipBroadcast}},
		{"limited broadcast", connection(17, "0.0.0.0", "255.255.255.255", 68, 67), Verdict{Skip: SkipBroadcast}},
		{"broadcast of a network", connection(17, "10.2.0.2", "10.2.0.255", 138, 138), Verdict{Skip: SkipBroadcast}},
		{"a /31 has no broadcast", connection(17, "10.2.0.2", "10.3.0.1", 138, 138), Verdict{}},
		{"link-local", connection(17, "fe80::1", "fe80::2", 547, 546), Verdict{Skip: SkipLinkLocal}},
		{"never", connection(17, "10.1.0.2", "10.2.0.2", 40000, 53), Verdict{Skip: SkipService}},
		{"never, second range", connection(17, "10.1.0.2", "10.2.0.2", 40000, 67), Verdict{Skip: SkipService}},
		{"another protocol", connection(6, "10.1.0.2", "10.2.0.2", 40000, 53), Verdict{}},
		{"its source port does not matter", connection(17, "10.1.0.2", "10.2.0.2", 53, 40000), Verdict{}},
		{"later", connection(6, "10.1.0.2", "10.2.0.2", 40000, 8000), Verdict{After: 2 * time.Second}},
		{"the first that matches decides", connection(6, "10.1.0.2", "10.2.0.2", 40000, 8050), Verdict{After: 2 * time.Second}},
		{"the last of a range", connection(6, "10.1.0.2", "10.2.0.2", 40000, 8100), Verdict{After: 2 * time.Second}},
		{"beyond a range", connection(6, "10.1.0.2", "10.2.0.2", 40000, 8101), Verdict{}},
		{"a protocol as a whole", connection(1, "10.1.0.2", "10.2.0.2", 7, 0), Verdict{Skip: SkipService}},
		{"nothing to judge", Record{Table: TableConnections, Op: OpNew, Family: IPv4}, Verdict{Skip: SkipMalformed}},
	}
	for _, test := range tests {
		if got := j.Judge(test.r); got != test.want {
			t.Errorf("%s: %+v, want %+v: %s", test.name, got, test.want, Text(test.r))
		}
	}
}

// TestJudgeCaptures: of what a kernel really said only the gateway's own, loopback and multicast are left out; a life is judged as one.
func TestJudgeCaptures(t *testing.T) {
	rules := testRules()
	rules.Services = nil
	j := rules.Compile()
	want := map[string]Skip{"own": SkipOwn, "loopback": SkipLoopback, "multicast": SkipBroadcast, "icmp6-plain": SkipOwn}
	for _, c := range load(t) {
		for _, m := range c.messages() {
			r := recordOf(t, m)
			if v := j.Judge(r); v.Skip != want[c.name] {
				t.Errorf("%s: %s, want %s: %s", c.name, v.Skip, want[c.name], Text(r))
			}
		}
	}
}

// TestJudgeExpectations: an expectation is judged by its master's service.
func TestJudgeExpectations(t *testing.T) {
	i := slices.IndexFunc(load(t), func(c captured) bool { return c.name == "ftp-snat" })
	var expectation Record
	for _, m := range load(t)[i].dump {
		if r := recordOf(t, m); r.Table == TableExpectations {
			expectation = r
		}
	}
	// To loopback, and between neighbours on a link.
	for want, master := range map[Skip]Record{
		SkipLoopback: connection(6, "127.0.0.1", "127.0.0.1", 1, 21), SkipLinkLocal: connection(6, "fe80::1", "fe80::2", 1, 21),
		SkipBroadcast: connection(6, "0.0.0.0", "10.0.0.1", 1, 21),
	} {
		tuple, mask := attribute(master.Attrs, ctaTupleOrig), attribute(expectation.Attrs, ctaExpectMask)
		r := Record{TableExpectations, OpNew, master.Family, slices.Concat(appendBytes(nil, ctaExpectTuple|nlaNested, tuple),
			appendBytes(nil, ctaExpectMaster|nlaNested, tuple), appendBytes(nil, ctaExpectMask|nlaNested, mask))}
		if master.Family == IPv6 {
			r.Attrs = with(r.Attrs, ctaExpectMask, appendBytes(nil, ctaExpectMask|nlaNested, tuple))
		}
		if got := (Rules{}).Compile().Judge(r); got.Skip != want {
			t.Errorf("%s, want %s: %s", got.Skip, want, Text(r))
		}
	}
	ftp := Service{Protocol: protoTCP, Ports: []PortRange{{21, 21}}, Never: true}
	for _, test := range []struct {
		rules Rules
		want  Verdict
	}{
		{Rules{Virtual: addrs("10.2.0.100")}, Verdict{}},
		{Rules{Services: []Service{ftp}}, Verdict{Skip: SkipService}},
		{Rules{Services: []Service{{Protocol: ftp.Protocol, Ports: ftp.Ports, After: time.Second}}}, Verdict{}},
		{Rules{Own: addrs("10.1.0.2")}, Verdict{Skip: SkipOwn}},
		{Rules{Own: addrs("10.2.0.2")}, Verdict{Skip: SkipOwn}},
	} {
		if got := test.rules.Compile().Judge(expectation); got != test.want {
			t.Errorf("%+v: %+v, want %+v", test.rules, got, test.want)
		}
	}
}

// TestZones: Checker and Judge leave out the same records; those of zone 0 too where it is not named, and expectations with them.
func TestZones(t *testing.T) {
	plain := connection(6, "10.1.0.2", "10.2.0.2", 40000, 22)
	zoned, ended := plain, connection(6, "10.1.0.2", "10.2.0.2", 40000, 22)
	zoned.Attrs = appendU16(slices.Clone(plain.Attrs), ctaZone, 5)
	ended.Op, ended.Attrs = OpDelete, appendU16(without(without(ended.Attrs, ctaStatus), ctaTimeout), ctaZone, 5)
	from := find(t, "udp-zone-original", func(r Record) bool { return r.Op == OpNew }) // zone 8, in one direction
	expectation := find(t, "ftp-snat", func(r Record) bool { return r.Table == TableExpectations && r.Op == OpNew })
	for _, test := range []struct {
		zones []uint16
		taken []bool // plain, zoned, ended, from, expectation
	}{
		{nil, []bool{true, true, true, true, true}},
		{[]uint16{0}, []bool{true, false, false, false, true}},
		{[]uint16{5}, []bool{false, true, true, false, false}},
		{[]uint16{0, 8}, []bool{true, false, false, true, true}},
	} {
		c, j := Checker{Zones: test.zones}, Rules{Zones: test.zones}.Compile()
		for i, r := range []Record{plain, zoned, ended, from, expectation} {
			skip, reason := SkipZone, ReasonZone
			if test.taken[i] {
				skip, reason = SkipNone, ReasonNone
			}
			err := c.Check(r)
			if err == nil && reason != ReasonNone || err != nil && ReasonOf(err) != reason {
				t.Errorf("zones %v: %v, want %s: %s", test.zones, err, reason, Text(r))
			}
			if got := j.Judge(r).Skip; got != skip {
				t.Errorf("zones %v: %s, want %s: %s", test.zones, got, skip, Text(r))
			}
		}
	}
}
