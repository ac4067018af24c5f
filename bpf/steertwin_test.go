// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/holdfast-project/holdfast/dataplane/steer"
)

// wild makes random packets, with addresses of a few kinds so that every rule is met.
type wild struct {
	rng *rand.Rand
}

func (r wild) addr(six bool) netip.Addr {
	vips4, vips6 := []netip.Addr{vip4, vip4Tagged, vip4Else, proxy4}, []netip.Addr{vip6, vip6Else, proxy6, vip6Local}
	if six {
		b := far6.As16()
		for i := 6; i < 16; i++ {
			b[i] = uint8(r.rng.Uint32())
		}
		switch r.rng.IntN(5) {
		case 0:
			return vips6[r.rng.IntN(len(vips6))]
		case 1:
			p := server6.As16()
			p[15] = uint8(r.rng.Uint32())
			return netip.AddrFrom16(p)
		case 2:
			return far6
		}
		return netip.AddrFrom16(b)
	}
	switch r.rng.IntN(5) {
	case 0:
		return vips4[r.rng.IntN(len(vips4))]
	case 1:
		return netip.AddrFrom4([4]byte{10, 1, 0, uint8(r.rng.Uint32())})
	case 2:
		return far4
	}
	return netip.AddrFrom4([4]byte{uint8(1 + r.rng.IntN(200)), uint8(r.rng.Uint32()), uint8(r.rng.Uint32()), uint8(r.rng.Uint32())})
}

func (r wild) packet(depth int) packet {
	six := r.rng.IntN(2) == 0
	protos := []uint8{protoTCP, protoTCP, protoTCP, protoUDP, protoUDP, protoICMP, protoICMPv6, protoGRE, protoESP, protoAH, protoSCTP, 33, 136, uint8(r.rng.Uint32())}
	p := packet{
		from: r.addr(six), to: r.addr(six), proto: protos[r.rng.IntN(len(protos))],
		sport: uint16(r.rng.Uint32()), dport: uint16(r.rng.Uint32()), tcp: uint8(r.rng.Uint32()), id: uint16(r.rng.Uint32()), spi: r.rng.Uint32(),
		fragmentID: r.rng.Uint32(), options: r.rng.IntN(3),
	}
	if six {
		p.options = 0
		for p.proto == 0 || p.proto == 43 || p.proto == 44 || p.proto == protoDstOpts || p.proto == protoAH && r.rng.IntN(2) == 0 {
			p.proto = protoTCP // what is a header of headers has its place below
		}
		for range r.rng.IntN(10) - 5 {
			p.extensions = append(p.extensions, []byte{0, 43, protoDstOpts}[r.rng.IntN(3)])
		}
	}
	if p.proto == protoICMP || p.proto == protoICMPv6 {
		p.icmp = []byte{0, 3, 4, 5, 8, 11, 12, 13, 1, 2, 128, 129, 130, 135, 143}[r.rng.IntN(15)]
		p.hops = []uint8{64, 1, 255}[r.rng.IntN(3)]
		if depth == 0 && p.isError() {
			in := r.packet(1)
			for in.from.Is6() != six {
				in = r.packet(1)
			}
			p.about, p.inner = &in, in.bytes()
		}
	}
	switch r.rng.IntN(12) {
	case 0:
		p.more = true
	case 1:
		p.fragment = uint16(1 + r.rng.IntN(1000))
		p.more = r.rng.IntN(2) == 0
	}
	if six && (p.more || p.fragment != 0) {
		p.extensions = append(p.extensions, protoFrag)
	}
	return p
}

func (p packet) isError() bool {
	if p.from.Is4() {
		return p.proto == protoICMP && (p.icmp >= 3 && p.icmp <= 5 || p.icmp == 11 || p.icmp == 12)
	}
	return p.proto == protoICMPv6 && p.icmp >= 1 && p.icmp <= 4
}

// steered is the packet as package steer sees it.
func (p packet) steered(key SteerKey) *steer.Packet {
	if p.proto == protoAH && p.from.Is6() && key != SteerByPortsAndSPI {
		p.proto, p.tcp, p.extensions = protoTCP, 0, append(p.extensions[:len(p.extensions):len(p.extensions)], protoAH) // a header like others
	}
	s := &steer.Packet{Src: p.from, Dst: p.to, Proto: p.proto, Fragment: steer.Whole, ID: p.fragmentID}
	switch {
	case p.fragment != 0:
		s.Fragment = steer.LaterFragment
		return s
	case p.more:
		s.Fragment = steer.FirstFragment
	}
	if len(p.extensions) > 8 {
		s.Proto = 0
		return s
	}
	switch {
	case steer.HasPorts(p.proto):
		s.SrcPort, s.DstPort = p.sport, p.dport
		if p.proto == protoTCP {
			s.TCPFlags = p.tcp
		}
	case p.proto == protoICMP && p.from.Is4() || p.proto == protoICMPv6 && p.from.Is6():
		s.ICMPType = p.icmp
		if steer.HasID(p.proto, p.icmp) {
			s.SrcPort, s.DstPort = p.id, p.id
		}
		if p.about != nil {
			s.Inner = p.about.steered(key)
		}
	case p.proto == protoICMP || p.proto == protoICMPv6:
		s.ICMPType = 255 // nothing that is known
	case p.proto == protoESP, p.proto == protoAH:
		s.SPI = p.spi
	}
	return s
}

// discovers reports whether a packet is one that is never steered.
func (p packet) discovers() bool {
	if !p.from.Is6() || p.fragment != 0 || p.proto != protoICMPv6 || len(p.extensions) > 8 {
		return false
	}
	switch {
	case p.icmp >= 133 && p.icmp <= 137:
		return p.hops == 255 || p.to == vip6Local
	case p.icmp >= 130 && p.icmp <= 132 || p.icmp == 143:
		return p.hops == 1 || p.to == vip6Local
	}
	return false
}

func testRules(s Steering) *steer.Rules {
	return &steer.Rules{
		Kind: steer.Kind(s.Key), Key: s.HashKey, Mode: steer.Mode(s.Mode),
		VIP: func(a netip.Addr) bool {
			return a == vip4 || a == vip4Tagged || a == vip4Else || a == vip6 || a == vip6Else || a == vip6Local
		},
		SNATFirst: s.SNATFirst, SNATLast: s.SNATLast, Members: testMembers, Published: s.Published,
	}
}

// TestPlaceTwin compares the slots of the C gate with those of package steer on two million random packets.
func TestPlaceTwin(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if testSeed != 0 {
		seed = testSeed
	}
	t.Logf("seed %d (run again with -gate.seed)", seed)
	g := newSharingGate(t, testSteering)
	steerings := []Steering{}
	for _, key := range []SteerKey{SteerByIPs, SteerByPorts, SteerByPortsAndSPI} {
		for _, bare := range []bool{false, true} {
			s := testSteering
			s.Key, s.HashKey = key, [2]uint64{seed, ^seed}
			if bare {
				s.SNATFirst, s.SNATLast, s.Published = 0, 0, nil
			}
			steerings = append(steerings, s)
		}
	}
	packets := 2_000_000
	if testing.Short() {
		packets = 20_000
	}
	var slots [SteerSlots]int
	ranged := 0
	for i, s := range steerings {
		if err := g.SetSteering(s); err != nil {
			t.Fatal(err)
		}
		rules, r := testRules(s), wild{rand.New(rand.NewPCG(seed, uint64(i)))}
		programs := []*ebpf.Program{g.placers(t).XDP, g.placers(t).SKB}
		for n := range packets / len(steerings) {
			p := r.packet(0)
			frame := p.frame(manyMAC, client)
			got, err := programs[n%2].Run(&ebpf.RunOptions{Data: frame})
			if err != nil {
				t.Fatal(err)
			}
			if p.discovers() {
				if got != unplaced {
					t.Fatalf("%+v is steered: %#x", p, got)
				}
				continue
			}
			slot, part := rules.Slot(*p.steered(s.Key))
			if got&^(1<<10) != uint32(slot)|uint32(part)<<16 {
				t.Fatalf("%v: slot %d and part %d in C, %d and %d in Go\n%+v\n%+v\n% x", s.Key, got&1023, got>>16, slot, part, p, p.steered(s.Key), frame)
			}
			slots[slot]++
			if part != steer.Nobody {
				ranged++
			}
		}
	}
	if ranged < packets/100 {
		t.Errorf("only %d packets of %d were for a part of the range", ranged, packets)
	}
	empty := 0
	for _, n := range slots {
		if n == 0 {
			empty++
		}
	}
	if empty > 0 {
		t.Errorf("%d slots were never met", empty)
	}
}
