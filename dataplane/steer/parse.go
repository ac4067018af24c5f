// SPDX-License-Identifier: Apache-2.0

package steer

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// Errors of Parse.
var (
	// ErrUnsteered says that a packet is not for one member: for many, or neighbour or listener discovery, or no IP at all.
	ErrUnsteered = errors.New("not steered")
	// ErrMalformed says that a frame is not what its header claims.
	ErrMalformed = errors.New("malformed packet")
)

const (
	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd
	etherVLAN = 0x8100
	etherQinQ = 0x88a8

	protoHopByHop = 0
	protoRouting  = 43
	protoFragment = 44
	protoDestOpts = 60

	maxExtensions = 8
	noType        = 0xff // an ICMP packet too short to have one
)

// Parse reads what the decision sees of an Ethernet frame with up to two tags. What is cut off behind the IP header counts as zero. It
// depends on Kind only in whether the AH of IPv6 is looked behind. The errors are ErrUnsteered and ErrMalformed.
func (r *Rules) Parse(frame []byte) (Packet, error) {
	off := 12
	for tags := 0; ; tags++ {
		if len(frame) < off+2 {
			return Packet{}, ErrMalformed
		}
		proto := binary.BigEndian.Uint16(frame[off:])
		off += 2
		switch {
		case proto == etherIPv4:
			return r.parseIP(frame[off:], false)
		case proto == etherIPv6:
			return r.parseIP(frame[off:], true)
		case proto != etherVLAN && proto != etherQinQ || tags == 2:
			return Packet{}, ErrUnsteered
		}
		off += 2
	}
}

// parseIP reads a packet, and the one inside if it is an error.
func (r *Rules) parseIP(b []byte, six bool) (Packet, error) {
	p, inner, err := r.parse(b, six)
	if err != nil || inner == nil {
		return p, err
	}
	// A packet inside that is for many is one all the same: who sent it wants to know.
	if in, _, err := r.parse(inner, six); err == nil || errors.Is(err, ErrUnsteered) {
		p.Inner = &in
	}
	return p, nil
}

// parse reads one packet; inner is what follows the header of an ICMP error, nil if it is none.
func (r *Rules) parse(b []byte, six bool) (p Packet, inner []byte, err error) {
	var rest []byte
	var more bool
	if six {
		rest, more, err = r.parse6(&p, b)
	} else {
		rest, more, err = parse4(&p, b)
	}
	if err != nil || !more {
		return p, nil, err
	}
	inner = transport(&p, rest, six)
	if six {
		err = unsteered(&p, b[7])
	}
	return p, inner, err
}

// parse4 reads an IPv4 header; more is false if there are no ports behind it.
func parse4(p *Packet, b []byte) (rest []byte, more bool, err error) {
	if len(b) < 20 || b[0]>>4 != 4 || b[0]&15 < 5 {
		return nil, false, ErrMalformed
	}
	p.Src, p.Dst, p.Proto = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20])), b[9]
	if d := binary.BigEndian.Uint32(b[16:]); d>>28 == 0xe || d == 1<<32-1 {
		return nil, false, ErrUnsteered
	}
	if frag := binary.BigEndian.Uint16(b[6:]); frag&0x3fff != 0 {
		p.ID, p.Fragment = uint32(binary.BigEndian.Uint16(b[4:])), FirstFragment
		if frag&0x1fff != 0 {
			p.Fragment = LaterFragment
			return nil, false, nil
		}
	}
	return b[min(len(b), int(b[0]&15)*4):], true, nil
}

// parse6 reads an IPv6 header and what extends it.
func (r *Rules) parse6(p *Packet, b []byte) (rest []byte, more bool, err error) {
	if len(b) < 40 || b[0]>>4 != 6 {
		return nil, false, ErrMalformed
	}
	p.Src, p.Dst, p.Proto = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40])), b[6]
	if b[24] == 0xff {
		return nil, false, ErrUnsteered
	}
	b = b[40:]
	next := p.Proto
	for range maxExtensions {
		if !r.extends(next) {
			break
		}
		p.Proto = 0
		if len(b) < 8 {
			return nil, false, nil
		}
		size := (int(b[1]) + 1) * 8
		switch next {
		case ProtoAH:
			size = (int(b[1]) + 2) * 4
		case protoFragment:
			size = 8
			frag := binary.BigEndian.Uint16(b[2:])
			if frag&0xfff9 != 0 {
				p.ID, p.Fragment = binary.BigEndian.Uint32(b[4:]), FirstFragment
				if frag&0xfff8 != 0 {
					p.Fragment = LaterFragment
					return nil, false, nil
				}
			}
		}
		next = b[0]
		b = b[min(len(b), size):]
	}
	if r.extends(next) {
		p.Proto = 0
		return nil, false, nil
	}
	p.Proto = next
	return b, true, nil
}

// extends reports whether there is another header behind one of IPv6.
func (r *Rules) extends(next uint8) bool {
	switch next {
	case protoHopByHop, protoRouting, protoFragment, protoDestOpts:
		return true
	}
	return next == ProtoAH && r.Kind != ByPortsAndSPI
}

// transport reads what is behind the headers. It returns what is inside an ICMP error.
func transport(p *Packet, b []byte, six bool) (inner []byte) {
	icmp := p.Proto == ProtoICMP && !six || p.Proto == ProtoICMPv6 && six
	if len(b) < 8 {
		p.ICMPType = noType
		return nil
	}
	switch {
	case HasPorts(p.Proto):
		p.SrcPort, p.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		if p.Proto == ProtoTCP && len(b) >= 14 {
			p.TCPFlags = b[13]
		}
	case p.Proto == ProtoESP:
		p.SPI = binary.BigEndian.Uint32(b)
	case p.Proto == ProtoAH:
		p.SPI = binary.BigEndian.Uint32(b[4:])
	case !icmp:
		p.ICMPType = noType
	default:
		p.ICMPType = b[0]
		if HasID(p.Proto, p.ICMPType) {
			p.SrcPort = binary.BigEndian.Uint16(b[4:])
			p.DstPort = p.SrcPort
		}
		if isError(p.Proto, p.ICMPType) {
			return b[8:]
		}
	}
	return nil
}

// isError reports whether an ICMP or ICMPv6 type is about a packet that it has inside.
func isError(proto, icmpType uint8) bool {
	if proto == ProtoICMPv6 {
		return icmpType >= 1 && icmpType <= 4
	}
	switch icmpType {
	case 3, 4, 5, 11, 12:
		return true
	}
	return false
}

// unsteered finds neighbour and listener discovery: only what cannot come from behind a router (RFC 4861, RFC 3810) counts.
func unsteered(p *Packet, hops uint8) error {
	if p.Proto != ProtoICMPv6 {
		return nil
	}
	want := uint8(255)
	switch t := p.ICMPType; {
	case t >= 130 && t <= 132 || t == 143:
		want = 1
	case t < 133 || t > 137:
		return nil
	}
	if hops == want || p.Dst.IsLinkLocalUnicast() {
		return ErrUnsteered
	}
	return nil
}
