// SPDX-License-Identifier: Apache-2.0

package record

import "encoding/binary"

// Headers of a tuple with ports and without zone as the kernel lays it out, each with what is next to it.
const (
	usualIPv4    = 0x0001000880010014 // CTA_TUPLE_IP of 20 bytes, CTA_IP_V4_SRC
	usualIPv4Dst = 0x00020008
	usualIPv6    = 0x000300148001002c // CTA_TUPLE_IP of 44 bytes, CTA_IP_V6_SRC
	usualIPv6Dst = 0x00040014
	usualProto   = 0x000100058002001c // CTA_TUPLE_PROTO of 28 bytes, CTA_PROTO_NUM
	usualSrcPort = 0x00020006
	usualDstPort = 0x00030006
)

// usual reads what nearly all tuples look like, without walking through it: five times as fast. What looks otherwise it leaves alone.
func (t *tuple) usual(family uint8, b []byte) bool {
	var proto []byte
	var src, dst address
	switch {
	case family == IPv4 && len(b) == 48 && binary.LittleEndian.Uint64(b) == usualIPv4 && binary.LittleEndian.Uint32(b[12:]) == usualIPv4Dst:
		src.hi, dst.hi, proto = uint64(binary.BigEndian.Uint32(b[8:])), uint64(binary.BigEndian.Uint32(b[16:])), b[20:]
	case family == IPv6 && len(b) == 72 && binary.LittleEndian.Uint64(b) == usualIPv6 && binary.LittleEndian.Uint32(b[24:]) == usualIPv6Dst:
		src.hi, src.lo = binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])
		dst.hi, dst.lo, proto = binary.BigEndian.Uint64(b[28:]), binary.BigEndian.Uint64(b[36:]), b[44:]
	default:
		return false
	}
	if binary.LittleEndian.Uint64(proto) != usualProto || binary.LittleEndian.Uint32(proto[12:]) != usualSrcPort ||
		binary.LittleEndian.Uint32(proto[20:]) != usualDstPort || proto[8] != protoTCP && proto[8] != protoUDP {
		return false
	}
	*t = tuple{
		src: src, dst: dst, proto: proto[8], ports: true,
		srcPort: binary.BigEndian.Uint16(proto[16:]), dstPort: binary.BigEndian.Uint16(proto[24:]),
	}
	return true
}
