// SPDX-License-Identifier: Apache-2.0

package steer

import (
	"encoding/binary"
	"net/netip"
	"testing"
)

// TestSip: the values are those of the authors' reference implementation with one and three rounds, and of CPython, which hashes bytes
// by SipHash-1-3 (PYTHONHASHSEED=0 is the key of zeros).
func TestSip(t *testing.T) {
	count := [2]uint64{0x0706050403020100, 0x0f0e0d0c0b0a0908}
	for _, tt := range []struct {
		key  [2]uint64
		size int
		want uint64
	}{
		{count, 15, 0xd320d86d2a519956},
		{count, 39, 0x626b57547b108392},
		{[2]uint64{}, 15, 0xf30eb725bb91c9ea},
		{[2]uint64{}, 39, 0x6c76b6d34bb6d26b},
	} {
		var in []byte
		for i := range tt.size {
			in = append(in, byte(i))
		}
		in = append(in, byte(tt.size))
		s := newSip(tt.key)
		for ; len(in) > 8; in = in[8:] {
			s.word(binary.LittleEndian.Uint64(in))
		}
		if got := s.sum(binary.LittleEndian.Uint64(in)); got != tt.want {
			t.Errorf("%d bytes: %#x, want %#x", tt.size, got, tt.want)
		}
	}
}

// TestMessage holds the layout of the message: what the C twin is written from.
func TestMessage(t *testing.T) {
	r := &Rules{Kind: ByPortsAndSPI, Key: [2]uint64{0x0706050403020100, 0x0f0e0d0c0b0a0908}}
	four := func(a string, port uint16) end { return endOf(netip.MustParseAddr(a), port) }
	for _, tt := range []struct {
		name  string
		got   uint64
		words []uint64
	}{
		{"IPv4", r.digest(false, four("192.0.2.1", 40000), four("10.0.0.1", 443), ProtoTCP, 0, false),
			[]uint64{0x0a000001_c0000201, 15<<56 | 6<<32 | 40000<<16 | 443}},
		{"IPv4, other direction", r.digest(false, four("10.0.0.1", 443), four("192.0.2.1", 40000), ProtoTCP, 0, false),
			[]uint64{0x0a000001_c0000201, 15<<56 | 6<<32 | 40000<<16 | 443}},
		{"same address, ports decide", r.digest(false, four("10.0.0.1", 443), four("10.0.0.1", 80), ProtoUDP, 0, false),
			[]uint64{0x0a000001_0a000001, 15<<56 | 17<<32 | 443<<16 | 80}},
		{"one end", r.digest(false, four("192.0.2.1", 40000), end{}, ProtoTCP, 0, true),
			[]uint64{0xc0000201_00000000, 15<<56 | 1<<40 | 6<<32 | 40000}},
		{"SPI", r.digest(false, four("192.0.2.1", 0), four("10.0.0.1", 0), ProtoESP, 0xdeadbeef, false),
			[]uint64{0x0a000001_c0000201, 15<<56 | 50<<32 | 0xdeadbeef}},
		{"IPv6", r.digest(true, four("2001:db8::2", 1), four("2001:db8::1", 2), ProtoUDP, 0, false),
			[]uint64{0x20010db8_00000000, 1, 0x20010db8_00000000, 2, 39<<56 | 17<<32 | 1<<16 | 2}},
	} {
		s := newSip(r.Key)
		for _, w := range tt.words[:len(tt.words)-1] {
			s.word(w)
		}
		if want := s.sum(tt.words[len(tt.words)-1]); tt.got != want {
			t.Errorf("%s: %#x, want %#x", tt.name, tt.got, want)
		}
	}
}
