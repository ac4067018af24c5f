// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/gopacket/layers"
)

// IP protocols of the packets below.
const (
	protoICMP    = 1
	protoTCP     = 6
	protoUDP     = 17
	protoGRE     = 47
	protoESP     = 50
	protoAH      = 51
	protoICMPv6  = 58
	protoSCTP    = 132
	protoFrag    = 44
	protoDstOpts = 60
)

const (
	tcpSyn = 0x02
	tcpRst = 0x04
	tcpAck = 0x10
)

// packet is an IP packet, byte by byte: what matters to steering can be said of it, right or wrong. Checksums are left out.
type packet struct {
	from, to     netip.Addr
	proto        uint8
	sport, dport uint16
	tcp          uint8 // flags
	icmp         uint8 // type; for errors inner is the packet that it is about
	id           uint16
	spi          uint32
	call         uint16 // of version 1 of GRE; 0 stands for version 0
	inner        []byte
	about        *packet // what inner is, if it is whole
	fragment     uint16  // offset in units of 8 bytes
	more         bool
	fragmentID   uint32
	options      int    // words of IPv4 options
	hops         uint8  // IPv6; 0 stands for 64
	extensions   []byte // IPv6: numbers of headers in front, each of 8 bytes (44 is made of the fragment's fields)
	payload      []byte
}

// answer is the packet's ends exchanged, and an echo's request and reply.
func (p packet) answer() packet {
	p.from, p.to, p.sport, p.dport = p.to, p.from, p.dport, p.sport
	switch {
	case p.proto == protoICMP && (p.icmp == 0 || p.icmp == 8):
		p.icmp ^= 8
	case p.proto == protoICMPv6 && (p.icmp == 128 || p.icmp == 129):
		p.icmp ^= 1
	}
	return p
}

func (p packet) transport() []byte {
	be := binary.BigEndian
	if p.fragment != 0 {
		return append([]byte("the rest of a datagram, and it is long enough"), p.payload...)
	}
	var b []byte
	switch p.proto {
	case protoTCP:
		b = make([]byte, 20)
		be.PutUint16(b, p.sport)
		be.PutUint16(b[2:], p.dport)
		b[12], b[13] = 5<<4, p.tcp
	case protoUDP, protoSCTP, 33, 136:
		b = make([]byte, 12)
		be.PutUint16(b, p.sport)
		be.PutUint16(b[2:], p.dport)
		be.PutUint16(b[4:], 12)
	case protoICMP, protoICMPv6:
		b = make([]byte, 8)
		b[0] = p.icmp
		be.PutUint16(b[4:], p.id)
		be.PutUint16(b[6:], 1)
		b = append(b, p.inner...)
	case protoESP:
		b = make([]byte, 24)
		be.PutUint32(b, p.spi)
	case protoGRE:
		b = make([]byte, 16)
		be.PutUint16(b[2:], 0x0800)
		if p.call != 0 {
			be.PutUint16(b, 0x3001) // key, sequence; version 1
			be.PutUint16(b[2:], 0x880b)
			be.PutUint16(b[6:], p.call)
		}
	case protoAH:
		b = make([]byte, 24)
		b[0], b[1] = protoTCP, 4
		be.PutUint32(b[4:], p.spi)
		b = append(b, packet{proto: protoTCP, sport: p.sport, dport: p.dport}.transport()...)
	default:
		b = []byte("nothing with ports")
	}
	return append(b, p.payload...)
}

// bytes returns the packet without an Ethernet header.
func (p packet) bytes() []byte {
	be := binary.BigEndian
	l4 := p.transport()
	if p.from.Is4() {
		b := make([]byte, 20+4*p.options)
		b[0] = 4<<4 | uint8(len(b)/4)
		be.PutUint16(b[2:], uint16(len(b)+len(l4)))
		be.PutUint16(b[4:], uint16(p.fragmentID))
		frag := p.fragment
		if p.more {
			frag |= 0x2000
		}
		be.PutUint16(b[6:], frag)
		b[8], b[9] = 64, p.proto
		copy(b[12:], p.from.AsSlice())
		copy(b[16:], p.to.AsSlice())
		return append(b, l4...)
	}
	ext := p.extensions
	if ext == nil && (p.more || p.fragment != 0) {
		ext = []byte{protoFrag}
	}
	var headers []byte
	next := p.proto
	for i := len(ext) - 1; i >= 0; i-- {
		h := make([]byte, 8)
		h[0] = next
		if ext[i] == protoFrag {
			frag := p.fragment << 3
			if p.more {
				frag |= 1
			}
			be.PutUint16(h[2:], frag)
			be.PutUint32(h[4:], p.fragmentID)
		}
		headers = append(h, headers...)
		next = ext[i]
	}
	b := make([]byte, 40)
	b[0] = 6 << 4
	be.PutUint16(b[4:], uint16(len(headers)+len(l4)))
	b[6], b[7] = next, p.hops
	if p.hops == 0 {
		b[7] = 64
	}
	copy(b[8:], p.from.AsSlice())
	copy(b[24:], p.to.AsSlice())
	return append(append(b, headers...), l4...)
}

// frame returns the packet in an Ethernet frame.
func (p packet) frame(dst, src [6]byte, vlans ...uint16) []byte {
	typ := layers.EthernetTypeIPv4
	if p.from.Is6() {
		typ = layers.EthernetTypeIPv6
	}
	b := append(append([]byte(nil), dst[:]...), src[:]...)
	for _, v := range vlans {
		b = append(b, 0x81, 0, byte(v>>8), byte(v))
	}
	return append(binary.BigEndian.AppendUint16(b, uint16(typ)), p.bytes()...)
}
