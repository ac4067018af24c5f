// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// Attributes of a tuple (enum ctattr_tuple, ctattr_ip, ctattr_l4proto).
const (
	ctaTupleIP   = 1
	ctaTupleZone = 3

	ctaIPv4Src = 1
	ctaIPv6Src = 3 // the destination's type is one more

	ctaProtoSrcPort    = 2
	ctaProtoICMPID     = 4
	ctaProtoICMPType   = 5
	ctaProtoICMPCode   = 6
	ctaProtoICMPv6ID   = 7
	ctaProtoICMPv6Type = 8
	ctaProtoICMPv6Code = 9
)

// appendReply appends the attributes by which the kernel finds what has the record's reply tuple, as it is on the wire: in a record
// that tuple is the one before translation, so it cannot be handed on as it is.
func appendReply(dst []byte, r record.Record) []byte {
	reply, err := record.Reply(r)
	if err != nil {
		return dst // without a tuple the kernel answers EINVAL to a GET, and no deletion follows
	}
	zone := find(r.Attrs, ctaZone)
	dst = nest(dst, ctaTupleReply, func(b []byte) []byte {
		b = appendTuple(b, reply)
		if zone == nil && reply.Zone != 0 {
			b = appendU16(b, ctaTupleZone, reply.Zone)
		}
		return b
	})
	if len(zone) == 2 {
		dst = appendU16(dst, ctaZone, binary.BigEndian.Uint16(zone))
	}
	return dst
}

// appendTuple appends the attributes within a tuple.
func appendTuple(dst []byte, t record.Tuple) []byte {
	dst = nest(dst, ctaTupleIP, func(b []byte) []byte {
		typ := uint16(ctaIPv6Src)
		if t.Src.Is4() {
			typ = ctaIPv4Src
		}
		b = append(appendHead(b, typ, t.Src.BitLen()/8), t.Src.AsSlice()...)
		return append(appendHead(b, typ+1, t.Dst.BitLen()/8), t.Dst.AsSlice()...)
	})
	return nest(dst, ctaTupleProto, func(b []byte) []byte {
		b = appendU8(b, ctaProtoNum, t.Proto)
		switch t.Proto {
		case unix.IPPROTO_ICMP:
			b = appendU16(b, ctaProtoICMPID, t.ICMPID)
			b = appendU8(b, ctaProtoICMPType, t.ICMPType)
			return appendU8(b, ctaProtoICMPCode, t.ICMPCode)
		case unix.IPPROTO_ICMPV6:
			b = appendU16(b, ctaProtoICMPv6ID, t.ICMPID)
			b = appendU8(b, ctaProtoICMPv6Type, t.ICMPType)
			return appendU8(b, ctaProtoICMPv6Code, t.ICMPCode)
		}
		b = appendU16(b, ctaProtoSrcPort, t.SrcPort)
		return appendU16(b, ctaProtoDstPort, t.DstPort)
	})
}

// appendU8 appends an attribute with a value of one byte.
func appendU8(dst []byte, typ uint16, v uint8) []byte {
	return append(appendHead(dst, typ, 1), v, 0, 0, 0)
}
