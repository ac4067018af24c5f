// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"slices"
	"testing"
)

// fullConnection is a connection with everything in it that a record can say.
func fullConnection(t testing.TB) Record {
	t.Helper()
	r := find(t, "tcp-both", func(r Record) bool { return r.Op == OpUpdate && bytes.Contains([]byte(Text(r)), []byte("ASSURED")) })
	b := slices.Clone(r.Attrs)
	b = appendU32(b, ctaMark, 7)
	b = appendU16(b, ctaZone, 9)
	b = appendBytes(b, ctaLabels, make([]byte, 16))
	for _, typ := range []uint16{ctaSeqAdjOrig, ctaSeqAdjReply, ctaSynproxy} {
		var at int
		b, at = begin(b, typ)
		b = end(appendU32(appendU32(appendU32(b, 1, 1), 2, 2), 3, 3), at)
	}
	b, at := begin(b, ctaHelp)
	b = end(appendBytes(b, ctaHelpName, []byte("ftp-21\x00")), at)
	var orig tuple
	if reason := orig.parse(r.Family, attribute(b, ctaTupleOrig)); reason != ReasonNone {
		t.Fatal(reason)
	}
	r.Attrs = orig.append(b, ctaTupleMaster, r.Family)
	return r
}

func find(t testing.TB, name string, is func(Record) bool) Record {
	t.Helper()
	for _, c := range load(t) {
		for _, m := range c.messages() {
			if r := recordOf(t, m); c.name == name && is(r) {
				return r
			}
		}
	}
	t.Fatalf("no such record in %s", name)
	return Record{}
}

// attribute returns the value of an outermost attribute, which may be changed.
func attribute(b []byte, typ uint16) []byte {
	for len(b) > 0 {
		got, value, rest, _ := next(b)
		if got&nlaTypeMask == typ {
			return value
		}
		b = rest
	}
	return nil
}

// without removes an outermost attribute.
func without(b []byte, typ uint16) (out []byte) {
	for len(b) > 0 {
		got, _, rest, _ := next(b)
		if got&nlaTypeMask != typ {
			out = append(out, b[:len(b)-len(rest)]...)
		}
		b = rest
	}
	return out
}

// with replaces an outermost attribute by another, in its place.
func with(b []byte, typ uint16, by []byte) (out []byte) {
	for len(b) > 0 {
		got, _, rest, _ := next(b)
		if got&nlaTypeMask == typ {
			out = append(out, by...)
		} else {
			out = append(out, b[:len(b)-len(rest)]...)
		}
		b = rest
	}
	return out
}

func nest(typ uint16, inner ...[]byte) []byte {
	b, at := begin(nil, typ)
	return end(append(b, slices.Concat(inner...)...), at)
}

func u8(typ uint16, v uint8) []byte   { return appendU8(nil, typ, v) }
func u16(typ uint16, v uint16) []byte { return appendU16(nil, typ, v) }
func u32(typ uint16, v uint32) []byte { return appendU32(nil, typ, v) }
func str(typ uint16, s string) []byte { return appendBytes(nil, typ, []byte(s)) }

// TestHostile changes one thing in a good record: it is refused, and for the reason that this is.
func TestHostile(t *testing.T) {
	connection, expectation := fullConnection(t), find(t, "ftp-snat", func(r Record) bool { return r.Table == TableExpectations && r.Op == OpNew })
	ended := find(t, "tcp-both", func(r Record) bool { return r.Op == OpDelete })
	icmp := find(t, "icmp-both", func(r Record) bool { return r.Op == OpNew })
	icmpEnded := find(t, "icmp-both", func(r Record) bool { return r.Op == OpDelete })
	sctp := find(t, "sctp-snat", func(r Record) bool { return r.Op == OpNew })
	six := find(t, "tcp6-both", func(r Record) bool { return r.Op == OpNew })
	esp := find(t, "esp-snat", func(r Record) bool { return r.Op == OpNew })
	c := Checker{Zones: []uint16{0, 9}}
	for _, r := range []Record{connection, expectation, ended, icmp, sctp, six, esp} {
		if err := c.Check(r); err != nil {
			t.Fatalf("%v: %s", err, describe(r))
		}
	}
	tcp := func(state, scale, flags, mask uint8) []byte {
		f := func(typ uint16) []byte { return append(appendHeader(nil, typ, 2), flags, mask, 0, 0) }
		return nest(ctaProtoinfo, nest(ctaProtoinfoTCP, u8(1, state), u8(2, scale), u8(3, 0), f(4), f(5)))
	}
	vtag := func(state uint8) []byte {
		return nest(ctaProtoinfo, nest(ctaProtoinfoSCTP, u8(1, state), u32(2, 0), u32(3, 1)))
	}
	ip := nest(ctaTupleIP, u32(1, 0x0a010002), u32(2, 0x0a010064))
	ports := nest(ctaTupleProto, u8(1, 6), u16(2, 40003), u16(3, 8003))
	orig := func(parts ...[]byte) func(b []byte) []byte {
		return func(b []byte) []byte { return with(b, ctaTupleOrig, nest(ctaTupleOrig, parts...)) }
	}
	put := func(typ uint16, by []byte) func([]byte) []byte {
		return func(b []byte) []byte { return with(b, typ, by) }
	}
	drop := func(typ uint16) func([]byte) []byte { return func(b []byte) []byte { return without(b, typ) } }
	tests := []struct {
		name   string
		r      Record
		change func([]byte) []byte
		want   Reason
	}{
		{"no original tuple", connection, drop(ctaTupleOrig), ReasonMissing},
		{"no reply tuple", connection, drop(ctaTupleReply), ReasonMissing},
		{"no status", connection, drop(ctaStatus), ReasonMissing},
		{"no time-out", connection, drop(ctaTimeout), ReasonMissing},
		{"half a header", connection, func(b []byte) []byte { return append(b, 8, 0, 8) }, ReasonStructure},
		{"longer than what holds it", connection, func(b []byte) []byte { return append(b, 9, 0, 8, 0) }, ReasonStructure},
		{"shorter than its header", connection, func(b []byte) []byte { return append(b, 3, 0, 8, 0) }, ReasonStructure},
		{"counters", connection, func(b []byte) []byte { return append(b, nest(9)...) }, ReasonUnknown},
		{"an id", connection, func(b []byte) []byte { return append(b, u32(12, 1)...) }, ReasonUnknown},
		{"a use count", connection, func(b []byte) []byte { return append(b, u32(11, 1)...) }, ReasonUnknown},
		{"a security context", connection, func(b []byte) []byte { return append(b, nest(19)...) }, ReasonUnknown},
		{"a filter, which would make a delete a flush", ended, func(b []byte) []byte { return append(b, nest(25)...) }, ReasonUnknown},
		{"a mark's mask", connection, func(b []byte) []byte { return append(b, u32(21, 1)...) }, ReasonUnknown},
		{"a type beyond all", connection, func(b []byte) []byte { return append(b, u32(0x3fff, 1)...) }, ReasonUnknown},
		{"type zero", connection, func(b []byte) []byte { return append(b, u32(0, 1)...) }, ReasonUnknown},
		{"a status in what ended", ended, func(b []byte) []byte { return append(b, u32(ctaStatus, 8)...) }, ReasonUnknown},
		{"twice the status", connection, func(b []byte) []byte { return append(b, u32(ctaStatus, 8)...) }, ReasonDuplicate},
		{"a nested status", connection, put(ctaStatus, u32(ctaStatus|nlaNested, 8)), ReasonNesting},
		{"a tuple in the network's byte order", connection, put(ctaTupleOrig, nest(ctaTupleOrig|1<<14, ip, ports)), ReasonNesting},

		{"a tuple without addresses", connection, orig(ports), ReasonMissing},
		{"a tuple without protocol", connection, orig(ip), ReasonMissing},
		{"one address", connection, orig(nest(ctaTupleIP, u32(1, 1)), ports), ReasonMissing},
		{"one address twice", connection, orig(nest(ctaTupleIP, u32(1, 1), u32(1, 1)), ports), ReasonDuplicate},
		{"addresses twice", connection, orig(ip, ip, ports), ReasonDuplicate},
		{"protocols twice", connection, orig(ip, ports, ports), ReasonDuplicate},
		{"an IPv6 address in IPv4", connection, orig(nest(ctaTupleIP, appendBytes(nil, 3, make([]byte, 16))), ports), ReasonUnknown},
		{"an address of 16 bytes", connection, orig(nest(ctaTupleIP, appendBytes(nil, 1, make([]byte, 16)), u32(2, 1)), ports), ReasonSize},
		{"addresses that run over", connection, orig(nest(ctaTupleIP, []byte{8, 0, 1, 0}), ports), ReasonStructure},
		{"a protocol that runs over", connection, orig(ip, nest(ctaTupleProto, []byte{8, 0, 1, 0})), ReasonStructure},
		{"a tuple that runs over", connection, orig(ip, []byte{12, 0, 2, 0}), ReasonStructure},
		{"a reply tuple that is half", ended, func(b []byte) []byte { return with(b, ctaTupleReply, nest(ctaTupleReply, ports)) }, ReasonMissing},
		{"something else in a tuple", connection, orig(ip, ports, u32(4, 1)), ReasonUnknown},
		{"something else in a protocol", connection, orig(ip, nest(ctaTupleProto, u8(1, 6), u16(2, 1), u16(3, 1), u8(10, 1))), ReasonUnknown},
		{"a port twice", connection, orig(ip, nest(ctaTupleProto, u8(1, 6), u16(2, 1), u16(2, 1), u16(3, 1))), ReasonDuplicate},
		{"a port of 4 bytes", connection, orig(ip, nest(ctaTupleProto, u8(1, 6), u32(2, 1), u16(3, 1))), ReasonSize},
		{"a protocol without number", connection, orig(ip, nest(ctaTupleProto, u16(2, 1), u16(3, 1))), ReasonMissing},
		{"TCP without ports", connection, orig(ip, nest(ctaTupleProto, u8(1, 6))), ReasonMissing},
		{"TCP with an identifier", connection, orig(ip, nest(ctaTupleProto, u8(1, 6), u16(2, 1), u16(3, 1), u16(4, 1))), ReasonProtocol},
		{"ESP with ports", esp, func(b []byte) []byte {
			return with(b, ctaTupleOrig, nest(ctaTupleOrig, ip, nest(ctaTupleProto, u8(1, 50), u16(2, 1), u16(3, 1))))
		}, ReasonProtocol},
		{"ICMP without a type", icmp, orig(ip, nest(ctaTupleProto, u8(1, 1), u16(4, 1001), u8(6, 0))), ReasonMissing},
		{"UDP answers TCP", connection, orig(ip, nest(ctaTupleProto, u8(1, 17), u16(2, 40003), u16(3, 8003))), ReasonProtocol},

		{"answers from elsewhere", connection, orig(nest(ctaTupleIP, u32(1, 0x0a010002), u32(2, 0x0a010065)), ports), ReasonReply},
		{"answers to elsewhere", connection, orig(nest(ctaTupleIP, u32(1, 0x0a010003), u32(2, 0x0a010064)), ports), ReasonReply},
		{"answers from another port", connection, orig(ip, nest(ctaTupleProto, u8(1, 6), u16(2, 40003), u16(3, 8004))), ReasonReply},
		{"answers to another port", connection, orig(ip, nest(ctaTupleProto, u8(1, 6), u16(2, 40004), u16(3, 8003))), ReasonReply},
		{"answers with another identifier", icmp, orig(ip, nest(ctaTupleProto, u8(1, 1), u16(4, 1002), u8(5, 8), u8(6, 0))), ReasonReply},
		{"answers to no question", icmp, orig(ip, nest(ctaTupleProto, u8(1, 1), u16(4, 1001), u8(5, 3), u8(6, 0))), ReasonReply},
		{"answers with another code", icmp, orig(ip, nest(ctaTupleProto, u8(1, 1), u16(4, 1001), u8(5, 8), u8(6, 1))), ReasonReply},

		{"an end with another code", icmpEnded, orig(nest(ctaTupleIP, u32(1, 0x0a010002), u32(2, 0x0a010064)),
			nest(ctaTupleProto, u8(1, 1), u16(4, 1001), u8(5, 8), u8(6, 1))), ReasonReply},
		{"a foreign zone", connection, put(ctaZone, u16(ctaZone, 10)), ReasonZone},
		{"zone 0, which is no zone", connection, put(ctaZone, u16(ctaZone, 0)), ReasonZone},
		{"a zone of 4 bytes", connection, put(ctaZone, u32(ctaZone, 9)), ReasonSize},
		{"a zone in two places", connection, orig(ip, ports, u16(3, 9)), ReasonZone},
		{"a foreign zone of one direction", connection, func(b []byte) []byte { return orig(ip, ports, u16(3, 8))(without(b, ctaZone)) }, ReasonZone},
		{"a zone twice in one place", connection, orig(ip, ports, u16(3, 9), u16(3, 9)), ReasonDuplicate},
		{"a zone of 1 byte", connection, orig(ip, ports, u8(3, 9)), ReasonSize},
		{"a nested zone", connection, orig(ip, ports, u16(3|nlaNested, 9)), ReasonNesting},
		{"a foreign zone in what ended", ended, func(b []byte) []byte { return append(b, u16(ctaZone, 10)...) }, ReasonZone},

		{"loopback", ended, orig(nest(ctaTupleIP, u32(1, 0x7f000001), u32(2, 0x0a010064)), ports), ReasonAddress},
		{"multicast", ended, orig(nest(ctaTupleIP, u32(1, 0x0a010002), u32(2, 0xe0000001)), ports), ReasonAddress},
		{"broadcast", ended, orig(nest(ctaTupleIP, u32(1, 0x0a010002), u32(2, 0xffffffff)), ports), ReasonAddress},
		{"unspecified", ended, orig(nest(ctaTupleIP, u32(1, 0), u32(2, 0x0a010064)), ports), ReasonAddress},
		{"translated to loopback", connection, put(ctaNATDst, nest(ctaNATDst, u32(1, 0x7f000001), nest(3, u16(1, 1)))), ReasonAddress},
		{"a master on loopback", connection, func(b []byte) []byte {
			return with(b, ctaTupleMaster, nest(ctaTupleMaster, nest(ctaTupleIP, u32(1, 0x7f000001), u32(2, 1)), ports))
		}, ReasonAddress},

		{"not confirmed", connection, put(ctaStatus, u32(ctaStatus, 6)), ReasonStatus},
		{"dying", connection, put(ctaStatus, u32(ctaStatus, 8|1<<9)), ReasonStatus},
		{"a fixed time-out", connection, put(ctaStatus, u32(ctaStatus, 8|1<<10)), ReasonStatus},
		{"offloaded", connection, put(ctaStatus, u32(ctaStatus, 8|1<<14)), ReasonStatus},
		{"marked as translated", connection, put(ctaStatus, u32(ctaStatus, 8|1<<4)), ReasonStatus},
		{"a bit that does not exist", connection, put(ctaStatus, u32(ctaStatus, 8|1<<31)), ReasonStatus},
		{"a status of 2 bytes", connection, put(ctaStatus, u16(ctaStatus, 8)), ReasonSize},
		{"no time", connection, put(ctaTimeout, u32(ctaTimeout, 0)), ReasonTimeout},
		{"more than the bound", connection, put(ctaTimeout, u32(ctaTimeout, CopyTimeout+1)), ReasonTimeout},
		{"for ever", connection, put(ctaTimeout, u32(ctaTimeout, 0xffffffff)), ReasonTimeout},
		{"a time-out of 8 bytes", connection, put(ctaTimeout, appendBytes(nil, ctaTimeout, make([]byte, 8))), ReasonSize},
		{"a mark of 2 bytes", connection, put(ctaMark, u16(ctaMark, 1)), ReasonSize},
		{"labels of 20 bytes", connection, put(ctaLabels, appendBytes(nil, ctaLabels, make([]byte, 20))), ReasonSize},
		{"labels of 6 bytes", connection, put(ctaLabels, appendBytes(nil, ctaLabels, make([]byte, 6))), ReasonSize},
		{"no labels", connection, put(ctaLabels, appendBytes(nil, ctaLabels, nil)), ReasonSize},

		{"a TCP state beyond all", connection, put(ctaProtoinfo, tcp(10, 0, tcpLiberal, 0xff)), ReasonState},
		{"a window scale beyond all", connection, put(ctaProtoinfo, tcp(3, 15, tcpLiberal, 0xff)), ReasonState},
		{"not liberal", connection, put(ctaProtoinfo, tcp(3, 7, 0, 0xff)), ReasonState},
		{"liberal only by the look of it", connection, put(ctaProtoinfo, tcp(3, 7, tcpLiberal, 0xf7)), ReasonState},
		{"with a flag that stays here", connection, put(ctaProtoinfo, tcp(3, 7, tcpLiberal|0x20, 0xff)), ReasonState},
		{"no TCP state", connection, put(ctaProtoinfo, nest(ctaProtoinfo, nest(ctaProtoinfoTCP, u8(2, 1)))), ReasonMissing},
		{"a TCP state of 4 bytes", connection, put(ctaProtoinfo, nest(ctaProtoinfo, nest(ctaProtoinfoTCP, u32(1, 1)))), ReasonSize},
		{"a TCP state that runs over", connection, put(ctaProtoinfo, nest(ctaProtoinfo, nest(ctaProtoinfoTCP, []byte{9, 0, 1, 0}))), ReasonStructure},
		{"a protocol's state that runs over", connection, put(ctaProtoinfo, nest(ctaProtoinfo, []byte{9, 0, 1, 0})), ReasonStructure},
		{"an SCTP state that runs over", sctp, put(ctaProtoinfo, nest(ctaProtoinfo, nest(ctaProtoinfoSCTP, []byte{9, 0, 1, 0}))), ReasonStructure},
		{"a TCP state twice", connection, put(ctaProtoinfo, nest(ctaProtoinfo, nest(ctaProtoinfoTCP, u8(1, 1), u8(1, 1)))), ReasonDuplicate},
		{"something else in a TCP state", connection, put(ctaProtoinfo, nest(ctaProtoinfo, nest(ctaProtoinfoTCP, u8(1, 1), u8(6, 1)))), ReasonUnknown},
		{"TCP flags of 1 byte", connection, put(ctaProtoinfo, nest(ctaProtoinfo, nest(ctaProtoinfoTCP, u8(1, 1), u8(4, 1)))), ReasonSize},
		{"a state of SCTP for TCP", connection, put(ctaProtoinfo, vtag(1)), ReasonState},
		{"a state of DCCP", connection, put(ctaProtoinfo, nest(ctaProtoinfo, nest(2))), ReasonState},
		{"two states", connection, put(ctaProtoinfo, nest(ctaProtoinfo, nest(1), nest(1))), ReasonStructure},
		{"no state in it", connection, put(ctaProtoinfo, nest(ctaProtoinfo)), ReasonMissing},
		{"an SCTP state that is an index into nowhere", sctp, put(ctaProtoinfo, vtag(9)), ReasonState},
		{"SCTP without a tag", sctp, put(ctaProtoinfo, nest(ctaProtoinfo, nest(ctaProtoinfoSCTP, u8(1, 1), u32(2, 1)))), ReasonMissing},
		{"an SCTP tag twice", sctp, put(ctaProtoinfo, nest(ctaProtoinfo, nest(ctaProtoinfoSCTP, u32(2, 1), u32(2, 1)))), ReasonDuplicate},
		{"an SCTP state of 4 bytes", sctp, put(ctaProtoinfo, nest(ctaProtoinfo, nest(ctaProtoinfoSCTP, u32(1, 1)))), ReasonSize},
		{"something else in SCTP", sctp, put(ctaProtoinfo, nest(ctaProtoinfo, nest(ctaProtoinfoSCTP, u32(4, 1)))), ReasonUnknown},
		{"half a sequence adjustment", connection, put(ctaSeqAdjOrig, nest(ctaSeqAdjOrig, u32(1, 1), u32(2, 1))), ReasonMissing},
		{"a sequence adjustment of 2 bytes", connection, put(ctaSeqAdjReply, nest(ctaSeqAdjReply, u16(1, 1))), ReasonSize},
		{"a sequence adjustment twice", connection, put(ctaSeqAdjReply, nest(ctaSeqAdjReply, u32(1, 1), u32(1, 1))), ReasonDuplicate},
		{"something else in a SYN proxy", connection, put(ctaSynproxy, nest(ctaSynproxy, u32(4, 1))), ReasonUnknown},
		{"a SYN proxy that runs over", connection, put(ctaSynproxy, nest(ctaSynproxy, []byte{9, 0, 1, 0})), ReasonStructure},

		{"NAT to nowhere", connection, put(ctaNATSrc, nest(ctaNATSrc)), ReasonMissing},
		{"NAT to a port without address", connection, put(ctaNATSrc, nest(ctaNATSrc, nest(3, u16(1, 1)))), ReasonMissing},
		{"NAT that changes nothing", connection, put(ctaNATSrc, nest(ctaNATSrc, u32(1, 0x0a010002), nest(3, u16(1, 40003)))), ReasonNAT},
		{"NAT to any port", connection, put(ctaNATSrc, nest(ctaNATSrc, u32(1, 0x0a020064))), ReasonNAT},
		{"NAT of ports that are none", esp, put(ctaNATSrc, nest(ctaNATSrc, u32(1, 0x0a020064), nest(3, u16(1, 1)))), ReasonNAT},
		{"NAT to a range", connection, put(ctaNATSrc, nest(ctaNATSrc, u32(1, 0x0a020064), u32(2, 0x0a0200ff), nest(3, u16(1, 1)))), ReasonUnknown},
		{"NAT to a range of ports", connection, put(ctaNATSrc, nest(ctaNATSrc, u32(1, 0x0a020064), nest(3, u16(1, 1), u16(2, 9)))), ReasonStructure},
		{"NAT to a highest port", connection, put(ctaNATSrc, nest(ctaNATSrc, u32(1, 0x0a020064), nest(3, u16(2, 9)))), ReasonUnknown},
		{"NAT to a port of 4 bytes", connection, put(ctaNATSrc, nest(ctaNATSrc, u32(1, 0x0a020064), nest(3, u32(1, 9)))), ReasonSize},
		{"NAT to no port", connection, put(ctaNATSrc, nest(ctaNATSrc, u32(1, 0x0a020064), nest(3))), ReasonStructure},
		{"NAT twice", connection, put(ctaNATSrc, nest(ctaNATSrc, u32(1, 0x0a020064), u32(1, 0x0a020064))), ReasonDuplicate},
		{"NAT to ports twice", connection, put(ctaNATSrc, nest(ctaNATSrc, u32(1, 0x0a020064), nest(3, u16(1, 1)), nest(3, u16(1, 1)))), ReasonDuplicate},
		{"NAT to IPv6", connection, put(ctaNATSrc, nest(ctaNATSrc, appendBytes(nil, 4, make([]byte, 16)))), ReasonUnknown},
		{"NAT to IPv4 of IPv6", six, put(ctaNATSrc, nest(ctaNATSrc, u32(1, 1))), ReasonUnknown},
		{"NAT to an address of 8 bytes", six, put(ctaNATSrc, nest(ctaNATSrc, appendBytes(nil, 4, make([]byte, 8)))), ReasonSize},
		{"NAT that runs over", connection, put(ctaNATDst, nest(ctaNATDst, []byte{99, 0, 1, 0})), ReasonStructure},

		{"a helper without name", connection, put(ctaHelp, nest(ctaHelp)), ReasonMissing},
		{"a helper without end", connection, put(ctaHelp, nest(ctaHelp, str(1, "ftp"))), ReasonHelper},
		{"a helper of no letters", connection, put(ctaHelp, nest(ctaHelp, str(1, "\x00"))), ReasonHelper},
		{"a helper that is a path", connection, put(ctaHelp, nest(ctaHelp, str(1, "../x\x00"))), ReasonHelper},
		{"a helper with a second name", connection, put(ctaHelp, nest(ctaHelp, str(1, "a\x00b\x00"))), ReasonHelper},
		{"a helper too long", connection, put(ctaHelp, nest(ctaHelp, str(1, "aaaaaaaaaaaaaaaa\x00"))), ReasonHelper},
		{"a helper's private data", connection, put(ctaHelp, nest(ctaHelp, str(1, "ftp\x00"), u32(2, 1))), ReasonUnknown},
		{"a helper that runs over", connection, put(ctaHelp, nest(ctaHelp, []byte{99, 0, 1, 0})), ReasonStructure},
		{"a master in a zone", connection, put(ctaTupleMaster, nest(ctaTupleMaster, ip, ports, u16(3, 9))), ReasonZone},
		{"half a master", connection, put(ctaTupleMaster, nest(ctaTupleMaster, ip)), ReasonMissing},

		{"an expectation without mask", expectation, drop(ctaExpectMask), ReasonMissing},
		{"an expectation without master", expectation, drop(ctaExpectMaster), ReasonMissing},
		{"a tuple that is half", expectation, put(ctaExpectTuple, nest(ctaExpectTuple, ip)), ReasonMissing},
		{"an expectation that any connection meets", expectation, func(b []byte) []byte {
			return with(b, ctaExpectMask, nest(ctaExpectMask, nest(ctaTupleIP, u32(1, 0), u32(2, 0)), nest(ctaTupleProto, u8(1, 6), u16(2, 0), u16(3, 0))))
		}, ReasonExpectation},
		{"an expectation of any port", expectation, func(b []byte) []byte {
			return with(b, ctaExpectMask, nest(ctaExpectMask, nest(ctaTupleIP, u32(1, 0), u32(2, 0xffffffff)), nest(ctaTupleProto, u8(1, 6), u16(2, 0), u16(3, 0))))
		}, ReasonExpectation},
		{"a mask of another protocol", expectation, func(b []byte) []byte {
			return with(b, ctaExpectMask, nest(ctaExpectMask, nest(ctaTupleIP, u32(1, 0), u32(2, 0xffffffff)), nest(ctaTupleProto, u8(1, 17), u16(2, 0), u16(3, 0xffff))))
		}, ReasonProtocol},
		{"expected from loopback", expectation, put(ctaExpectTuple, nest(ctaExpectTuple, nest(ctaTupleIP, u32(1, 0x7f000001), u32(2, 0x0a020064)), ports)), ReasonAddress},
		{"expected at multicast", expectation, put(ctaExpectTuple, nest(ctaExpectTuple, nest(ctaTupleIP, u32(1, 0), u32(2, 0xe0000001)), ports)), ReasonAddress},
		{"a master at loopback", expectation, put(ctaExpectMaster, nest(ctaExpectMaster, nest(ctaTupleIP, u32(1, 0x0a010001), u32(2, 0x7f000001)), ports)), ReasonAddress},
		{"expected in a zone", expectation, put(ctaExpectMaster, nest(ctaExpectMaster, ip, ports, u16(3, 9))), ReasonZone},
		{"expected for ever", expectation, put(ctaExpectTimeout, u32(ctaExpectTimeout, 0xffffffff)), ReasonTimeout},
		{"a helper in user space", expectation, put(ctaExpectFlags, u32(ctaExpectFlags, 4)), ReasonExpectation},
		{"flags of 2 bytes", expectation, put(ctaExpectFlags, u16(ctaExpectFlags, 1)), ReasonSize},
		{"a class that FTP does not have", expectation, put(ctaExpectClass, u32(ctaExpectClass, 1)), ReasonExpectation},
		{"a class of SIP", expectation, func(b []byte) []byte {
			return with(with(b, ctaExpectClass, u32(ctaExpectClass, 3)), ctaExpectHelpName, str(ctaExpectHelpName, "sip-5062\x00"))
		}, ReasonNone},
		{"a class beyond all", expectation, put(ctaExpectClass, u32(ctaExpectClass, 4)), ReasonExpectation},
		{"an expectation's helper that is a path", expectation, put(ctaExpectHelpName, str(ctaExpectHelpName, "/bin/sh\x00")), ReasonHelper},
		{"a function that is none", expectation, put(ctaExpectFn, str(ctaExpectFn, "nat follow\x00")), ReasonHelper},
		{"a direction that is an index into nowhere", expectation, put(ctaExpectNAT, nest(ctaExpectNAT, u32(1, 2), nest(2, ip, ports))), ReasonExpectation},
		{"NAT without direction", expectation, put(ctaExpectNAT, nest(ctaExpectNAT, nest(2, ip, ports))), ReasonMissing},
		{"NAT with a direction of 1 byte", expectation, put(ctaExpectNAT, nest(ctaExpectNAT, u8(1, 0))), ReasonSize},
		{"NAT with two directions", expectation, put(ctaExpectNAT, nest(ctaExpectNAT, u32(1, 0), u32(1, 0))), ReasonDuplicate},
		{"NAT with a half tuple", expectation, put(ctaExpectNAT, nest(ctaExpectNAT, u32(1, 0), nest(2, ip))), ReasonMissing},
		{"NAT in a zone", expectation, put(ctaExpectNAT, nest(ctaExpectNAT, u32(1, 0), nest(2, ip, ports, u16(3, 9)))), ReasonZone},
		{"NAT with something else", expectation, put(ctaExpectNAT, nest(ctaExpectNAT, u32(3, 0))), ReasonUnknown},
		{"NAT of an expectation that runs over", expectation, put(ctaExpectNAT, nest(ctaExpectNAT, []byte{9, 0, 1, 0})), ReasonStructure},
		{"an expectation's id", expectation, func(b []byte) []byte { return append(b, u32(5, 1)...) }, ReasonUnknown},
		{"an expectation's zone", expectation, func(b []byte) []byte { return append(b, u16(7, 9)...) }, ReasonUnknown},
	}
	covered := map[Reason]bool{}
	for _, test := range tests {
		r := test.r
		r.Attrs = test.change(slices.Clone(r.Attrs))
		if got := ReasonOf(c.Check(r)); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
		covered[test.want] = true
	}
	for _, test := range []struct {
		change func(*Record)
		want   Reason
	}{
		{func(r *Record) { r.Table = TableSets }, ReasonTable},
		{func(r *Record) { r.Table = 0 }, ReasonTable},
		{func(r *Record) { r.Op = 0 }, ReasonOp},
		{func(r *Record) { r.Op = 4 }, ReasonOp},
		{func(r *Record) { r.Family = 7 }, ReasonFamily},
		{func(r *Record) { r.Family = IPv6 }, ReasonUnknown},
		{func(r *Record) { r.Attrs = make([]byte, MaxLen) }, ReasonLength},
	} {
		r := connection
		test.change(&r)
		if got := ReasonOf(c.Check(r)); got != test.want {
			t.Errorf("%s, want %s", got, test.want)
		}
		covered[test.want] = true
	}
	for reason := ReasonNone + 1; int(reason) < Reasons; reason++ {
		if !covered[reason] {
			t.Errorf("no record is refused because of %s", reason)
		}
	}
	if err := (&Checker{MaxTimeout: 60}).Check(ended); err != nil {
		t.Error(err)
	}
	if got := ReasonOf((&Checker{MaxTimeout: 60}).Check(connection)); got != ReasonTimeout {
		t.Errorf("a bound of 60 s: %s", got)
	}
	if err := new(Checker).Check(connection); err != nil {
		t.Errorf("a Checker without zones takes any: %v", err)
	}
}
