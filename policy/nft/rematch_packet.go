// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// packet is the first one of a connection.
type packet struct {
	of     int    // which connection
	device string // that it comes in by; "": it is this host's own
	to     netip.Addr
	bytes  []byte
}

// send lets it come in, or go out. What the kernel does not take does not come through.
func (s *standIn) send(p *packet) {
	switch {
	case p.device != "":
		_, _ = unix.Write(s.tuns[p.device], p.bytes)
	case p.to.Is4():
		_ = unix.Sendto(s.raw4, p.bytes, 0, &unix.SockaddrInet4{Addr: p.to.As4()})
	case s.raw6 >= 0:
		_ = unix.Sendto(s.raw6, p.bytes, 0, &unix.SockaddrInet6{Addr: p.to.As16()})
	}
}

// first makes the first packet of a connection; nil for protocols whose first packet is not known.
func first(t tuple) []byte {
	var body []byte
	switch {
	case t.proto == unix.IPPROTO_TCP:
		body = make([]byte, 20)
		body[12], body[13] = 5<<4, 0x02 // SYN
		binary.BigEndian.PutUint32(body[4:], stamp)
		binary.BigEndian.PutUint16(body[14:], 65535)
	case t.proto == unix.IPPROTO_UDP:
		body = make([]byte, 12)
		binary.BigEndian.PutUint16(body[4:], 12)
		binary.BigEndian.PutUint32(body[8:], stamp)
	case t.proto == unix.IPPROTO_ICMP && t.toPort == 8<<8, t.proto == unix.IPPROTO_ICMPV6 && t.toPort == 128<<8:
		body = make([]byte, 12)
		body[0] = byte(t.toPort >> 8)
		binary.BigEndian.PutUint16(body[4:], t.fromPort)
		binary.BigEndian.PutUint32(body[8:], stamp)
	default:
		return nil
	}
	at := 16 // of the checksum
	switch t.proto {
	case unix.IPPROTO_TCP, unix.IPPROTO_UDP:
		binary.BigEndian.PutUint16(body, t.fromPort)
		binary.BigEndian.PutUint16(body[2:], t.toPort)
		if t.proto == unix.IPPROTO_UDP {
			at = 6
		}
	default:
		at = 2
	}
	pseudo := append(t.from.AsSlice(), t.to.AsSlice()...)
	pseudo = append(pseudo, 0, t.proto, 0, byte(len(body)))
	if t.proto == unix.IPPROTO_ICMP {
		pseudo = nil
	}
	binary.BigEndian.PutUint16(body[at:], checksum(append(pseudo, body...)))
	if t.from.Is4() {
		head := []byte{0x45, 0, 0, byte(20 + len(body)), 0, 1, 0x40, 0, 64, t.proto, 0, 0}
		head = append(append(head, t.from.AsSlice()...), t.to.AsSlice()...)
		binary.BigEndian.PutUint16(head[10:], checksum(head))
		return append(head, body...)
	}
	head := []byte{0x60, 0, 0, 0, 0, byte(len(body)), t.proto, 64}
	head = append(append(head, t.from.AsSlice()...), t.to.AsSlice()...)
	return append(head, body...)
}

// checksum is the Internet's, of an even number of bytes.
func checksum(b []byte) uint16 {
	sum := uint32(0)
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum) //nolint:gosec // it fits now
}
