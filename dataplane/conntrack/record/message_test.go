// SPDX-License-Identifier: Apache-2.0

package record

import (
	"slices"
	"testing"
)

// said makes a message of a connection from its tuples and whatever else the kernel says.
func said(family, proto uint8, rest ...[]byte) []byte {
	o := tuple{src: address{hi: 0x0a010002}, dst: address{hi: 0x0a020002}, proto: proto, srcPort: 1, dstPort: 2, ports: true}
	if family == IPv6 {
		o.src, o.dst = address{0x20010db8 << 32, 1}, address{0x20010db8 << 32, 2}
	}
	r := o.inverse(&o)
	b := o.append([]byte{family, 0, 0, 0}, ctaTupleOrig, family)
	b = r.append(b, ctaTupleReply, family)
	return append(b, slices.Concat(rest...)...)
}

// TestOtherKernels: what this kernel did not say when the captures were made, but others do, or may.
func TestOtherKernels(t *testing.T) {
	status := u32(ctaStatus, statusConfirmed)
	tests := []struct {
		name  string
		proto uint8
		said  [][]byte
		typ   uint16
		want  []byte // the attribute's value; nil: it is not there
	}{
		{"every bit of a status", 6, [][]byte{u32(ctaStatus, 0xffffffff)}, ctaStatus, []byte{0, 0, 0, 0xf}},
		{"a status without confirmation, as unconfirmed entries have it", 6, [][]byte{u32(ctaStatus, 0)}, ctaStatus, []byte{0, 0, 0, 8}},
		{"a time-out", 6, [][]byte{status, u32(ctaTimeout, 5)}, ctaTimeout, []byte{0, 0, 0xa8, 0xc0}},
		{"no time-out, as an offloaded entry has none", 6, [][]byte{status}, ctaTimeout, []byte{0, 0, 0xa8, 0xc0}},
		{"a security context", 6, [][]byte{status, nest(19, str(1, "system_u\x00"))}, 19, nil},
		{"a use count", 6, [][]byte{status, u32(11, 3)}, 11, nil},
		{"an id", 6, [][]byte{status, u32(12, 3)}, 12, nil},
		{"an attribute of tomorrow", 6, [][]byte{status, u32(99, 3)}, 99, nil},
		{"an attribute beyond all", 6, [][]byte{status, u32(300, 3)}, 300, nil},
		{"TCP without flags", 6, [][]byte{status, nest(ctaProtoinfo, nest(ctaProtoinfoTCP, u8(1, 3)))}, ctaProtoinfo,
			[]byte{0x2c, 0, 1, 0x80, 5, 0, 1, 0, 3, 0, 0, 0, 5, 0, 2, 0, 0, 0, 0, 0, 5, 0, 3, 0, 0, 0, 0, 0, 6, 0, 4, 0, 8, 0xff, 0, 0, 6, 0, 5, 0, 8, 0xff, 0, 0}},
		{"TCP with all flags and scales", 6, [][]byte{status, nest(ctaProtoinfo, nest(ctaProtoinfoTCP, u8(1, 3), u8(2, 200), u8(3, 7),
			append(appendHeader(nil, 4, 2), 0xff, 0, 0, 0), append(appendHeader(nil, 5, 2), 0x70, 0, 0, 0)))}, ctaProtoinfo,
			[]byte{0x2c, 0, 1, 0x80, 5, 0, 1, 0, 3, 0, 0, 0, 5, 0, 2, 0, 14, 0, 0, 0, 5, 0, 3, 0, 7, 0, 0, 0, 6, 0, 4, 0, 0x8f, 0xff, 0, 0, 6, 0, 5, 0, 8, 0xff, 0, 0}},
		{"SCTP in a state that only Linux 6.1 has", protoSCTP, [][]byte{status, nest(ctaProtoinfo, nest(ctaProtoinfoSCTP, u8(1, 9), u32(2, 5), u32(3, 6)))}, ctaProtoinfo,
			[]byte{0x1c, 0, 3, 0x80, 5, 0, 1, 0, 4, 0, 0, 0, 8, 0, 2, 0, 0, 0, 0, 5, 8, 0, 3, 0, 0, 0, 0, 6}},
		{"DCCP", protoDCCP, [][]byte{status, nest(ctaProtoinfo, nest(2, u8(1, 1), u8(2, 0)))}, ctaProtoinfo, nil},
		{"a helper in user space", 6, [][]byte{status, nest(ctaHelp, str(1, "rpc\x00"), u32(2, 9))}, ctaHelp, []byte{8, 0, 1, 0, 'r', 'p', 'c', 0}},
		{"no helper any more", 6, [][]byte{status, nest(ctaHelp, str(1, "\x00"))}, ctaHelp, nil},
		{"a mark of zero, which may have been another", 6, [][]byte{status, u32(ctaMark, 0)}, ctaMark, []byte{0, 0, 0, 0}},
		{"zeros of a SYN proxy", 6, [][]byte{status, nest(ctaSynproxy, u32(1, 0), u32(2, 0), u32(3, 0))}, ctaSynproxy, nil},
	}
	for _, test := range tests {
		r, err := FromMessage(nil, msgConnectionNew, 0, said(IPv4, test.proto, test.said...))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if got := attribute(r.Attrs, test.typ); !slices.Equal(got, test.want) || (got == nil) != (test.want == nil) {
			t.Errorf("%s: % x, want % x", test.name, got, test.want)
		}
		if err := new(Checker).Check(r); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// TestRefusedMessages: what no kernel says is an error, by its reason.
func TestRefusedMessages(t *testing.T) {
	status := u32(ctaStatus, statusConfirmed)
	half := func(typ uint16) []byte { return nest(typ, nest(ctaTupleIP)) }
	for _, test := range []struct {
		name string
		said []byte
		want Reason
	}{
		{"no status", said(IPv4, 6), ReasonMissing},
		{"a status of 2 bytes", said(IPv4, 6, u16(ctaStatus, 8)), ReasonMissing},
		{"a second tuple that is half", said(IPv4, 6, status, half(ctaTupleOrig)), ReasonMissing},
		{"a GRE key that is translated", said(IPv4, protoGRE, status, (&tuple{proto: protoGRE, ports: true, srcPort: 9}).append(nil, ctaTupleReply, IPv4)), ReasonNAT},
		{"a second reply that is half", said(IPv4, 6, status, half(ctaTupleReply)), ReasonMissing},
		{"a mark of 2 bytes", said(IPv4, 6, status, u16(ctaMark, 8)), ReasonSize},
		{"a zone of 4 bytes", said(IPv4, 6, status, u32(ctaZone, 8)), ReasonSize},
		{"labels of 20 bytes", said(IPv4, 6, status, appendBytes(nil, ctaLabels, make([]byte, 20))), ReasonSize},
		{"half a sequence adjustment", said(IPv4, 6, status, nest(ctaSeqAdjOrig, u32(1, 1))), ReasonMissing},
		{"half another", said(IPv4, 6, status, nest(ctaSeqAdjReply, u32(1, 1))), ReasonMissing},
		{"half a SYN proxy", said(IPv4, 6, status, nest(ctaSynproxy, u32(1, 1))), ReasonMissing},
		{"a helper without name", said(IPv4, 6, status, nest(ctaHelp, u32(2, 1))), ReasonMissing},
		{"a helper that is a path", said(IPv4, 6, status, nest(ctaHelp, str(1, "a/b\x00"))), ReasonHelper},
		{"half a master", said(IPv4, 6, status, half(ctaTupleMaster)), ReasonMissing},
		{"a master in a zone", said(IPv4, 6, status, (&tuple{proto: 6, ports: true, zone: 3, zoned: true}).append(nil, ctaTupleMaster, IPv4)), ReasonZone},
		{"a protocol that runs over", said(IPv4, 6, status, nest(ctaProtoinfo, []byte{9, 0, 1, 0})), ReasonStructure},
		{"TCP without a state", said(IPv4, 6, status, nest(ctaProtoinfo, nest(ctaProtoinfoTCP))), ReasonMissing},
		{"TCP in state 10", said(IPv4, 6, status, nest(ctaProtoinfo, nest(ctaProtoinfoTCP, u8(1, 10)))), ReasonState},
		{"SCTP without a state", said(IPv4, protoSCTP, status, nest(ctaProtoinfo, nest(ctaProtoinfoSCTP))), ReasonMissing},
	} {
		r, err := FromMessage(nil, msgConnectionNew, 0, test.said)
		if ReasonOf(err) != test.want || r.Attrs != nil {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
	}
}

// TestLongest: the longest record that FromMessage makes is as long as MaxLen's comment says.
func TestLongest(t *testing.T) {
	o := tuple{src: address{1, 1}, dst: address{1, 2}, proto: 6, srcPort: 1, dstPort: 2, ports: true}
	r := tuple{src: address{1, 3}, dst: address{1, 4}, proto: 6, srcPort: 5, dstPort: 6, ports: true}
	b := r.append(o.append([]byte{IPv6, 0, 0, 0}, ctaTupleOrig, IPv6), ctaTupleReply, IPv6)
	full := fullConnection(t)
	for _, typ := range []uint16{ctaStatus, ctaMark, ctaZone, ctaLabels} {
		b = appendBytes(b, typ, attribute(full.Attrs, typ))
	}
	for _, typ := range []uint16{ctaProtoinfo, ctaSeqAdjOrig, ctaSeqAdjReply, ctaSynproxy} {
		b = appendBytes(b, typ|nlaNested, attribute(full.Attrs, typ))
	}
	b = append(b, nest(ctaHelp, str(1, "fifteen-letters\x00"))...)
	got, err := FromMessage(nil, msgConnectionNew, nlmCreate, o.append(b, ctaTupleMaster, IPv6))
	if err != nil || got.Len() != 516 {
		t.Errorf("%d bytes, %v", got.Len(), err)
	}
	if err := new(Checker).Check(got); err != nil {
		t.Error(err)
	}
}

// TestArena: records made one behind another in one buffer do not disturb each other, nor what comes after them.
func TestArena(t *testing.T) {
	arena := make([]byte, 0, 1<<16)
	var rs, want []Record
	for _, c := range load(t) {
		for _, m := range c.messages() {
			r, err := FromMessage(arena, m.typ, m.flags, m.payload)
			if err != nil {
				t.Fatal(err)
			}
			arena = arena[:len(arena)+len(r.Attrs)]
			rs, want = append(rs, r), append(want, recordOf(t, m))
		}
	}
	for i := range rs {
		if !slices.Equal(rs[i].Attrs, want[i].Attrs) || cap(rs[i].Attrs) != len(rs[i].Attrs) {
			t.Fatalf("record %d", i)
		}
	}
}

// TestIdentifyRefuses: what has no identity says why.
func TestIdentifyRefuses(t *testing.T) {
	r := connection(6, "10.1.0.2", "10.2.0.2", 40000, 22, "10.2.0.2", "10.2.0.100")
	h := NewHasher([16]byte{})
	for _, test := range []struct {
		attrs []byte
		want  Reason
	}{
		{append(slices.Clone(r.Attrs), 1, 0), ReasonStructure},
		{append(slices.Clone(r.Attrs), u8(ctaZone, 1)...), ReasonSize},
		{without(r.Attrs, ctaTupleOrig), ReasonMissing},
		{without(r.Attrs, ctaTupleReply), ReasonMissing},
		{with(r.Attrs, ctaTupleOrig, nest(ctaTupleOrig)), ReasonMissing},
		{with(r.Attrs, ctaTupleReply, nest(ctaTupleReply)), ReasonMissing},
		{with(r.Attrs, ctaNATSrc, nest(ctaNATSrc)), ReasonMissing},
		{append(slices.Clone(r.Attrs), nest(ctaNATDst)...), ReasonMissing},
	} {
		if _, err := h.Identify(Record{r.Table, r.Op, r.Family, test.attrs}); ReasonOf(err) != test.want {
			t.Errorf("%v, want %s", err, test.want)
		}
	}
	e := find(t, "ftp-snat", func(r Record) bool { return r.Table == TableExpectations })
	for _, test := range []struct {
		attrs []byte
		want  Reason
	}{
		{append(slices.Clone(e.Attrs), 1, 0), ReasonStructure},
		{without(e.Attrs, ctaExpectMask), ReasonMissing},
		{with(e.Attrs, ctaExpectMaster, nest(ctaExpectMaster)), ReasonMissing},
	} {
		if _, err := h.Identify(Record{e.Table, e.Op, e.Family, test.attrs}); ReasonOf(err) != test.want {
			t.Errorf("%v, want %s", err, test.want)
		}
	}
	for want, r := range map[Reason]Record{
		ReasonFamily: {r.Table, r.Op, 7, r.Attrs}, ReasonTable: {TableSets, r.Op, r.Family, r.Attrs},
	} {
		if _, err := h.Identify(r); ReasonOf(err) != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
