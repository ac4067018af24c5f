// SPDX-License-Identifier: Apache-2.0

package steer

import "net/netip"

// IP protocols that the decision tells apart.
const (
	ProtoICMP    = 1
	ProtoTCP     = 6
	ProtoUDP     = 17
	ProtoDCCP    = 33
	ProtoGRE     = 47
	ProtoESP     = 50
	ProtoAH      = 51
	ProtoICMPv6  = 58
	ProtoSCTP    = 132
	ProtoUDPLite = 136
)

// TCP flags.
const (
	TCPSyn = 0x02
	TCPRst = 0x04
	TCPAck = 0x10
)

// ICMP types of echo.
const (
	icmpReply     = 0
	icmpRequest   = 8
	icmpv6Request = 128
	icmpv6Reply   = 129
)

// Fragment is which part of a datagram a packet is.
type Fragment uint8

// The kinds of fragments.
const (
	Whole         Fragment = iota
	FirstFragment          // has the ports
	LaterFragment          // has not
)

// Packet is what the decision sees of a packet.
type Packet struct {
	// Src and Dst are of one family; IPv4-mapped addresses count as IPv6.
	Src, Dst netip.Addr
	// Proto is the IP protocol, for IPv6 the one behind the extension headers.
	Proto uint8
	// SrcPort and DstPort are the ports; both are the identifier of an ICMP or ICMPv6 echo.
	SrcPort, DstPort uint16
	// SPI is that of ESP or AH.
	SPI uint32
	// TCPFlags is byte 13 of the TCP header.
	TCPFlags uint8
	// ICMPType is the type for ICMP and ICMPv6.
	ICMPType uint8
	// Fragment says which part it is, and ID which datagram's.
	Fragment Fragment
	ID       uint32
	// Inner is the packet inside of an ICMP or ICMPv6 error, as it was sent; nil in all others.
	Inner *Packet
	// Here says of the original direction of a connection that it has begun at the member that is asked: what that knows of it is no copy.
	Here bool
}

// HasPorts reports whether a protocol's packets have ports that count.
func HasPorts(proto uint8) bool {
	switch proto {
	case ProtoTCP, ProtoUDP, ProtoUDPLite, ProtoSCTP, ProtoDCCP:
		return true
	}
	return false
}

// HasID reports whether packets of an ICMP or ICMPv6 type have an identifier that counts as both ports: echoes.
func HasID(proto, icmpType uint8) bool {
	switch proto {
	case ProtoICMP:
		return icmpType == icmpRequest || icmpType == icmpReply
	case ProtoICMPv6:
		return icmpType == icmpv6Request || icmpType == icmpv6Reply
	}
	return false
}

// Reversed returns the packet as its answer would look: ends exchanged, and echo request and reply.
func (p Packet) Reversed() Packet {
	p.Src, p.Dst, p.SrcPort, p.DstPort = p.Dst, p.Src, p.DstPort, p.SrcPort
	if HasID(p.Proto, p.ICMPType) {
		if p.Proto == ProtoICMP {
			p.ICMPType ^= icmpRequest ^ icmpReply
		} else {
			p.ICMPType ^= icmpv6Request ^ icmpv6Reply
		}
	}
	p.Inner = nil
	return p
}

// steered is the packet that decides where this one goes: itself, or what an error is about.
func (p Packet) steered() Packet {
	if p.Inner == nil || p.Inner.Fragment == LaterFragment {
		p.Inner = nil
		return p
	}
	return p.Inner.Reversed()
}

// isEchoReply reports whether it answers an echo.
func (p *Packet) isEchoReply() bool {
	return p.Proto == ProtoICMP && p.ICMPType == icmpReply || p.Proto == ProtoICMPv6 && p.ICMPType == icmpv6Reply
}

// sameEnds reports whether two packets of a protocol have the same ends.
func (p *Packet) sameEnds(o *Packet) bool {
	src, dst := p.ports()
	from, to := o.ports()
	return p.Src == o.Src && p.Dst == o.Dst && src == from && dst == to
}

// ports are what counts as such of a packet.
func (p *Packet) ports() (src, dst uint16) {
	if p.Fragment != LaterFragment && (HasPorts(p.Proto) || HasID(p.Proto, p.ICMPType)) {
		return p.SrcPort, p.DstPort
	}
	return 0, 0
}
