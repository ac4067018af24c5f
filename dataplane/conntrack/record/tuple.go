// SPDX-License-Identifier: Apache-2.0

package record

import (
	"encoding/binary"
	"net/netip"
)

// Tuple is one direction of a connection.
type Tuple struct {
	// Src and Dst are addresses of one family, never mapped (4in6) ones.
	Src, Dst netip.Addr
	// Proto is the IP protocol number.
	Proto uint8
	// SrcPort and DstPort are set for protocols with ports; GRE's keys count as such, as in the kernel.
	SrcPort, DstPort uint16
	// ICMPType, ICMPCode and ICMPID are set for ICMP and ICMPv6.
	ICMPType, ICMPCode uint8
	ICMPID             uint16
	// Zone is the conntrack zone in this direction; 0 is the default zone.
	Zone uint16
}

// IP protocols that the kernel tracks with more than addresses.
const (
	protoICMP    = 1
	protoTCP     = 6
	protoUDP     = 17
	protoDCCP    = 33
	protoGRE     = 47
	protoICMPv6  = 58
	protoSCTP    = 132
	protoUDPLite = 136
)

// address is an IPv4 address in hi's lower half, or an IPv6 address, both as big-endian numbers.
type address struct{ hi, lo uint64 }

// tuple is Tuple in the form in which it is compared, hashed and written. For ICMP the identifier is src and dst is zero.
type tuple struct {
	src, dst   address
	srcPort    uint16
	dstPort    uint16
	zone       uint16
	proto      uint8
	icmpType   uint8
	icmpCode   uint8
	ports      bool // the protocol has ports, and they are there
	icmp       bool
	zoned      bool // the tuple itself says a zone
	unportable bool // a protocol with ports of which the kernel told none (it lacks the tracker)
}

// public translates for the outside.
func (t *tuple) public(family uint8) Tuple {
	p := Tuple{Src: t.src.netip(family), Dst: t.dst.netip(family), Proto: t.proto, Zone: t.zone}
	switch {
	case t.icmp:
		p.ICMPType, p.ICMPCode, p.ICMPID = t.icmpType, t.icmpCode, t.srcPort
	case t.ports:
		p.SrcPort, p.DstPort = t.srcPort, t.dstPort
	}
	return p
}

func (a address) netip(family uint8) netip.Addr {
	if family == IPv4 {
		return netip.AddrFrom4([4]byte{byte(a.hi >> 24), byte(a.hi >> 16), byte(a.hi >> 8), byte(a.hi)})
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.hi)
	binary.BigEndian.PutUint64(b[8:], a.lo)
	return netip.AddrFrom16(b)
}

func addressOf(a netip.Addr) address {
	if a.Is4() {
		b := a.As4()
		return address{hi: uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return address{hi: binary.BigEndian.Uint64(b[:8]), lo: binary.BigEndian.Uint64(b[8:])}
}

// parse reads the value of an attribute that holds a tuple. It is as strict as a record's reader must be: what it does not know, or
// finds twice, it refuses.
func (t *tuple) parse(family uint8, b []byte) Reason {
	if t.usual(family, b) {
		return ReasonNone
	}
	*t = tuple{}
	var ip, proto []byte
	for len(b) > 0 {
		typ, value, rest, ok := next(b)
		if !ok {
			return ReasonStructure
		}
		b = rest
		switch typ &^ nlaNested {
		case ctaTupleIP:
			if ip != nil {
				return ReasonDuplicate
			}
			ip = value
		case ctaTupleProto:
			if proto != nil {
				return ReasonDuplicate
			}
			proto = value
		case ctaTupleZone:
			switch {
			case typ&nlaNested != 0:
				return ReasonNesting
			case t.zoned:
				return ReasonDuplicate
			case len(value) != 2:
				return ReasonSize
			}
			t.zone, t.zoned = binary.BigEndian.Uint16(value), true
		default:
			return ReasonUnknown
		}
	}
	if r := t.parseIP(family, ip); r != ReasonNone {
		return r
	}
	return t.parseProto(proto)
}

func (t *tuple) parseIP(family uint8, b []byte) Reason {
	src, dst, size := uint16(ctaIPv4Src), uint16(ctaIPv4Dst), 4
	if family == IPv6 {
		src, dst, size = ctaIPv6Src, ctaIPv6Dst, 16
	}
	seen := 0
	for len(b) > 0 {
		typ, value, rest, ok := next(b)
		if !ok {
			return ReasonStructure
		}
		b = rest
		if typ != src && typ != dst {
			return ReasonUnknown
		}
		if len(value) != size {
			return ReasonSize
		}
		a, bit := &t.src, 1
		if typ == dst {
			a, bit = &t.dst, 2
		}
		if seen&bit != 0 {
			return ReasonDuplicate
		}
		seen |= bit
		if size == 4 {
			a.hi = uint64(binary.BigEndian.Uint32(value))
		} else {
			a.hi, a.lo = binary.BigEndian.Uint64(value), binary.BigEndian.Uint64(value[8:])
		}
	}
	if seen != 3 {
		return ReasonMissing
	}
	return ReasonNone
}

func (t *tuple) parseProto(b []byte) Reason {
	seen := uint16(0)
	for len(b) > 0 {
		typ, value, rest, ok := next(b)
		if !ok {
			return ReasonStructure
		}
		b = rest
		if typ == 0 || typ > ctaProtoICMPv6Code {
			return ReasonUnknown
		}
		if seen&(1<<typ) != 0 {
			return ReasonDuplicate
		}
		seen |= 1 << typ
		if size := protoSizes[typ]; len(value) != size {
			return ReasonSize
		}
		switch typ {
		case ctaProtoNum:
			t.proto = value[0]
		case ctaProtoSrcPort, ctaProtoICMPID, ctaProtoICMPv6ID:
			t.srcPort = binary.BigEndian.Uint16(value)
		case ctaProtoDstPort:
			t.dstPort = binary.BigEndian.Uint16(value)
		case ctaProtoICMPType, ctaProtoICMPv6Type:
			t.icmpType = value[0]
		case ctaProtoICMPCode, ctaProtoICMPv6Code:
			t.icmpCode = value[0]
		}
	}
	return t.shape(seen)
}

var protoSizes = [...]int{
	ctaProtoNum: 1, ctaProtoSrcPort: 2, ctaProtoDstPort: 2,
	ctaProtoICMPID: 2, ctaProtoICMPType: 1, ctaProtoICMPCode: 1,
	ctaProtoICMPv6ID: 2, ctaProtoICMPv6Type: 1, ctaProtoICMPv6Code: 1,
}

// shape compares the attributes seen with what the protocol has.
func (t *tuple) shape(seen uint16) Reason {
	const (
		num    = 1 << ctaProtoNum
		ports  = num | 1<<ctaProtoSrcPort | 1<<ctaProtoDstPort
		icmp   = num | 1<<ctaProtoICMPID | 1<<ctaProtoICMPType | 1<<ctaProtoICMPCode
		icmpv6 = num | 1<<ctaProtoICMPv6ID | 1<<ctaProtoICMPv6Type | 1<<ctaProtoICMPv6Code
	)
	if seen&num == 0 {
		return ReasonMissing
	}
	want := uint16(num)
	switch t.proto {
	case protoTCP, protoUDP:
		want, t.ports = ports, true
	case protoICMP:
		want, t.icmp = icmp, true
	case protoICMPv6:
		want, t.icmp = icmpv6, true
	case protoSCTP, protoDCCP, protoGRE, protoUDPLite:
		// A kernel without the protocol's tracker knows addresses only.
		if t.unportable = seen == num; !t.unportable {
			want, t.ports = ports, true
		}
	}
	switch {
	case seen == want:
		return ReasonNone
	case seen&^want != 0:
		return ReasonProtocol
	}
	return ReasonMissing
}

// inverse returns the tuple of the answers to t: what the kernel makes of it without NAT. An ICMP type is answered by its own answer
// (nf_ct_invert_tuple); have is the reply as it is, from which the type is taken.
func (t *tuple) inverse(have *tuple) tuple {
	i := *have
	i.src, i.dst = t.dst, t.src
	if t.icmp {
		i.srcPort, i.icmpCode = t.srcPort, t.icmpCode
	} else {
		i.srcPort, i.dstPort = t.dstPort, t.srcPort
	}
	return i
}

// append appends t as an attribute of the given type, laid out as the kernel lays it out.
func (t *tuple) append(dst []byte, typ uint16, family uint8) []byte {
	dst, at := begin(dst, typ)
	dst, ip := begin(dst, ctaTupleIP)
	if family == IPv4 {
		dst = appendU32(dst, ctaIPv4Src, uint32(t.src.hi)) //nolint:gosec // the upper half of an IPv4 address is zero
		dst = appendU32(dst, ctaIPv4Dst, uint32(t.dst.hi)) //nolint:gosec // as above
	} else {
		dst = t.src.append(appendHeader(dst, ctaIPv6Src, 16))
		dst = t.dst.append(appendHeader(dst, ctaIPv6Dst, 16))
	}
	dst = end(dst, ip)
	dst, proto := begin(dst, ctaTupleProto)
	dst = appendU8(dst, ctaProtoNum, t.proto)
	switch {
	case t.ports:
		dst = appendU16(dst, ctaProtoSrcPort, t.srcPort)
		dst = appendU16(dst, ctaProtoDstPort, t.dstPort)
	case t.icmp && t.proto == protoICMP:
		dst = appendU16(dst, ctaProtoICMPID, t.srcPort)
		dst = appendU8(dst, ctaProtoICMPType, t.icmpType)
		dst = appendU8(dst, ctaProtoICMPCode, t.icmpCode)
	case t.icmp:
		dst = appendU16(dst, ctaProtoICMPv6ID, t.srcPort)
		dst = appendU8(dst, ctaProtoICMPv6Type, t.icmpType)
		dst = appendU8(dst, ctaProtoICMPv6Code, t.icmpCode)
	}
	dst = end(dst, proto)
	if t.zoned {
		dst = appendU16(dst, ctaTupleZone, t.zone)
	}
	return end(dst, at)
}

// append appends an IPv6 address.
func (a address) append(dst []byte) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(dst, a.hi), a.lo)
}
