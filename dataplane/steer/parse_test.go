// SPDX-License-Identifier: Apache-2.0

package steer

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
)

// frameOf builds the frame of a packet: what Parse reads, and no more.
func frameOf(p Packet, tags int) []byte {
	b := make([]byte, 12)
	for range tags {
		b = append(b, 0x81, 0, 0, 7)
	}
	if p.Src.Is4() {
		b = append(b, 0x08, 0)
	} else {
		b = append(b, 0x86, 0xdd)
	}
	return append(b, ipOf(p)...)
}

func ipOf(p Packet) []byte {
	body := transportOf(p)
	if p.Src.Is4() {
		b := make([]byte, 20)
		b[0], b[9] = 0x45, p.Proto
		binary.BigEndian.PutUint16(b[2:], uint16(20+len(body)))
		switch p.Fragment {
		case FirstFragment:
			b[6] = 0x20
		case LaterFragment:
			b[7] = 5
		}
		if p.Fragment != Whole {
			binary.BigEndian.PutUint16(b[4:], uint16(p.ID))
		}
		copy(b[12:], p.Src.AsSlice())
		copy(b[16:], p.Dst.AsSlice())
		return append(b, body...)
	}
	b := make([]byte, 40)
	b[0], b[6] = 0x60, p.Proto
	copy(b[8:], p.Src.AsSlice())
	copy(b[24:], p.Dst.AsSlice())
	if p.Fragment != Whole {
		b[6] = protoFragment
		f := make([]byte, 8)
		f[0], f[3] = p.Proto, 1
		if p.Fragment == LaterFragment {
			f[2] = 3
		}
		binary.BigEndian.PutUint32(f[4:], p.ID)
		b = append(b, f...)
	}
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40+len(body)))
	return append(b, body...)
}

func transportOf(p Packet) []byte {
	b := make([]byte, 20)
	switch {
	case p.Fragment == LaterFragment:
	case HasPorts(p.Proto):
		binary.BigEndian.PutUint16(b, p.SrcPort)
		binary.BigEndian.PutUint16(b[2:], p.DstPort)
		b[13] = p.TCPFlags
	case p.Proto == ProtoICMP || p.Proto == ProtoICMPv6:
		b[0] = p.ICMPType
		if HasID(p.Proto, p.ICMPType) {
			binary.BigEndian.PutUint16(b[4:], p.SrcPort)
		}
		if p.Inner != nil {
			return append(b[:8], ipOf(*p.Inner)...)
		}
	case p.Proto == ProtoESP:
		binary.BigEndian.PutUint32(b, p.SPI)
	case p.Proto == ProtoAH:
		binary.BigEndian.PutUint32(b[4:], p.SPI)
	}
	return b
}

func TestParse(t *testing.T) {
	four := Packet{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("10.0.0.1")}
	six := Packet{Src: netip.MustParseAddr("2001:db8::1"), Dst: netip.MustParseAddr("2001:db8::2")}
	with := func(p Packet, f func(*Packet)) Packet { f(&p); return p }
	tcp := func(p *Packet) { p.Proto, p.SrcPort, p.DstPort, p.TCPFlags = ProtoTCP, 40000, 443, TCPAck }
	for name, p := range map[string]Packet{
		"tcp":   with(four, tcp),
		"tcp 6": with(six, tcp),
		"udp":   with(four, func(p *Packet) { p.Proto, p.SrcPort, p.DstPort = ProtoUDP, 1, 65535 }),
		"sctp":  with(six, func(p *Packet) { p.Proto, p.SrcPort, p.DstPort = ProtoSCTP, 1, 65535 }),
		"echo":  with(four, func(p *Packet) { p.Proto, p.ICMPType, p.SrcPort, p.DstPort = ProtoICMP, 8, 77, 77 }),
		"echo 6": with(six, func(p *Packet) {
			p.Proto, p.ICMPType, p.SrcPort, p.DstPort = ProtoICMPv6, 129, 77, 77
		}),
		"esp":     with(four, func(p *Packet) { p.Proto, p.SPI, p.ICMPType = ProtoESP, 0xdeadbeef, 0 }),
		"first":   with(four, func(p *Packet) { tcp(p); p.Fragment, p.ID = FirstFragment, 9 }),
		"later":   with(four, func(p *Packet) { p.Proto, p.Fragment, p.ID = ProtoUDP, LaterFragment, 9 }),
		"first 6": with(six, func(p *Packet) { tcp(p); p.Fragment, p.ID = FirstFragment, 1<<31+9 }),
		"later 6": with(six, func(p *Packet) { p.Fragment, p.ID = LaterFragment, 1<<31+9 }),
		"error": with(four, func(p *Packet) {
			in := with(four, tcp)
			in.Src, in.Dst = in.Dst, in.Src
			p.Proto, p.ICMPType, p.Inner = ProtoICMP, 3, &in
		}),
		"error 6": with(six, func(p *Packet) {
			in := with(six, func(p *Packet) { p.Proto, p.ICMPType, p.SrcPort, p.DstPort = ProtoICMPv6, 128, 77, 77 })
			p.Proto, p.ICMPType, p.Inner = ProtoICMPv6, 2, &in
		}),
	} {
		for tags := range 3 {
			got, err := (&Rules{}).Parse(frameOf(p, tags))
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			gi, pi := got.Inner, p.Inner
			if (gi == nil) != (pi == nil) || gi != nil && *gi != *pi {
				t.Errorf("%s: inside %+v, want %+v", name, gi, pi)
			}
			want := p
			got.Inner, want.Inner = nil, nil
			if got != want {
				t.Errorf("%s, %d tags: %+v, want %+v", name, tags, got, want)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	v4 := frameOf(Packet{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("10.0.0.1"), Proto: ProtoTCP}, 0)
	change := func(f func(b []byte)) []byte { b := append([]byte(nil), v4...); f(b); return b }
	nd := Packet{Src: netip.MustParseAddr("fe80::1"), Dst: netip.MustParseAddr("fe80::2"), Proto: ProtoICMPv6, ICMPType: 135}
	global := func(typ uint8) Packet { p := nd; p.Dst, p.ICMPType = netip.MustParseAddr("2001:db8::1"), typ; return p }
	hops := func(p Packet, n uint8) []byte { b := frameOf(p, 0); b[14+7] = n; return b }
	for name, tt := range map[string]struct {
		frame []byte
		want  error
	}{
		"empty":            {nil, ErrMalformed},
		"arp":              {change(func(b []byte) { b[13] = 6 }), ErrUnsteered},
		"three tags":       {frameOf(Packet{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("10.0.0.1")}, 3), ErrUnsteered},
		"half a header":    {v4[:30], ErrMalformed},
		"version":          {change(func(b []byte) { b[14] = 0x65 }), ErrMalformed},
		"short header":     {change(func(b []byte) { b[14] = 0x44 }), ErrMalformed},
		"multicast":        {change(func(b []byte) { b[30] = 239 }), ErrUnsteered},
		"broadcast":        {change(func(b []byte) { copy(b[30:], "\xff\xff\xff\xff") }), ErrUnsteered},
		"discovery":        {frameOf(nd, 0), ErrUnsteered},
		"discovery, ND":    {hops(global(135), 255), ErrUnsteered},
		"from afar, ND":    {hops(global(135), 64), nil},
		"discovery, MLD":   {hops(global(143), 1), ErrUnsteered},
		"from afar, MLD":   {hops(global(143), 255), nil},
		"echo":             {hops(global(128), 255), nil},
		"multicast, v6":    {change(func(b []byte) { b[12], b[13] = 0x86, 0xdd }), ErrMalformed},
		"reserved, steers": {change(func(b []byte) { b[30] = 0xf1 }), nil},
	} {
		if _, err := (&Rules{}).Parse(tt.frame); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// TestParseExtensions: eight headers are walked, a ninth hides the ports, and AH is walked unless it is what is wanted.
func TestParseExtensions(t *testing.T) {
	frame := func(headers ...uint8) []byte {
		p := Packet{Src: netip.MustParseAddr("2001:db8::1"), Dst: netip.MustParseAddr("2001:db8::2"), Proto: ProtoTCP, SrcPort: 1, DstPort: 2}
		b := frameOf(p, 0)
		head, rest := append([]byte(nil), b[:54]...), b[54:]
		head[20] = append(headers, ProtoTCP)[0]
		for i := range headers {
			ext := make([]byte, 16)
			ext[0] = append(headers[i+1:], ProtoTCP)[0]
			ext[1] = 1 // 16 bytes, for AH 12
			if headers[i] == ProtoAH {
				ext[1] = 2
				binary.BigEndian.PutUint32(ext[4:], 0xabcd)
			}
			head = append(head, ext...)
		}
		return append(head, rest...)
	}
	eight := []uint8{0, 60, 43, 60, 60, 60, 60, 60}
	for _, tt := range []struct {
		name    string
		kind    Kind
		headers []uint8
		want    Packet
	}{
		{"none", ByPorts, nil, Packet{Proto: ProtoTCP, SrcPort: 1, DstPort: 2}},
		{"eight", ByPorts, eight, Packet{Proto: ProtoTCP, SrcPort: 1, DstPort: 2}},
		{"nine", ByPorts, append(eight, 60), Packet{}},
		{"AH", ByPorts, []uint8{60, ProtoAH}, Packet{Proto: ProtoTCP, SrcPort: 1, DstPort: 2}},
		{"AH wanted", ByPortsAndSPI, []uint8{60, ProtoAH}, Packet{Proto: ProtoAH, SPI: 0xabcd}},
	} {
		got, err := (&Rules{Kind: tt.kind}).Parse(frame(tt.headers...))
		tt.want.Src, tt.want.Dst = got.Src, got.Dst
		if err != nil || got != tt.want {
			t.Errorf("%s: %+v %v, want %+v", tt.name, got, err, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, p := range []Packet{
		{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("10.0.0.1"), Proto: ProtoTCP, SrcPort: 1, DstPort: 2},
		{Src: netip.MustParseAddr("2001:db8::1"), Dst: netip.MustParseAddr("2001:db8::2"), Proto: ProtoUDP, Fragment: FirstFragment, ID: 7},
		{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("10.0.0.1"), Proto: ProtoICMP, ICMPType: 11,
			Inner: &Packet{Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("10.0.0.2"), Proto: ProtoUDP, SrcPort: 5}},
	} {
		f.Add(frameOf(p, 1), uint8(1))
	}
	f.Fuzz(func(t *testing.T, frame []byte, kind uint8) {
		r := &Rules{Kind: Kind(kind % 3), Key: [2]uint64{1, 2}, Mode: ModeMulticast, VIP: func(a netip.Addr) bool { return a.AsSlice()[0]&1 == 0 },
			SNATFirst: 1000, SNATLast: 60000, Members: 3}
		p, err := r.Parse(frame)
		if err != nil {
			return
		}
		slot, part := r.Slot(p)
		if slot >= Slots || part != Nobody && part >= 3 {
			t.Fatalf("slot %d, part %d of %+v", slot, part, p)
		}
		table := &Table{Version: Version{Term: 1, Phase: PhaseCommit}}
		if d := r.Decide(table, p, nil); d.Slot != slot {
			t.Fatalf("%+v: slot %d, decided by %d", p, slot, d.Slot)
		}
	})
}

// TestLooksUp: the gate asks the kernel about TCP and UDP, also inside of an error, and about nothing else.
func TestLooksUp(t *testing.T) {
	r := Rules{}
	inner := Packet{Proto: ProtoTCP}
	for p, want := range map[*Packet]bool{
		{Proto: ProtoTCP}: true, {Proto: ProtoUDP}: true, {Proto: ProtoICMP, ICMPType: 3, Inner: &inner}: true,
		{Proto: ProtoICMP, ICMPType: 8}: false, {Proto: ProtoSCTP}: false, {Proto: ProtoGRE}: false, {Proto: ProtoUDPLite}: false,
	} {
		if got := r.LooksUp(*p); got != want {
			t.Errorf("%+v: %v, want %v", p, got, want)
		}
	}
	if r.Blind = true; r.LooksUp(inner) {
		t.Error("a blind gate looks up")
	}
}
