// SPDX-License-Identifier: Apache-2.0

package steer

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// end is an address as a big-endian number, IPv4 in lo, and what counts as its port.
type end struct {
	hi, lo uint64
	port   uint16
}

func endOf(a netip.Addr, port uint16) end {
	if a.Is4() {
		b := a.As4()
		return end{lo: uint64(binary.BigEndian.Uint32(b[:])), port: port}
	}
	b := a.As16()
	return end{hi: binary.BigEndian.Uint64(b[:8]), lo: binary.BigEndian.Uint64(b[8:]), port: port}
}

func (e end) above(o end) bool {
	if e.hi != o.hi {
		return e.hi > o.hi
	}
	if e.lo != o.lo {
		return e.lo > o.lo
	}
	return e.port > o.port
}

// digest hashes a message as the package comment lays it out. Of one end alone b is zero.
func (r *Rules) digest(six bool, a, b end, proto uint8, spi uint32, alone bool) uint64 {
	tail := uint64(proto) << 32
	if alone {
		tail |= 1 << 40
	} else if a.above(b) {
		a, b = b, a
	}
	if spi != 0 {
		tail |= uint64(spi)
	} else {
		tail |= uint64(a.port) | uint64(b.port)<<16
	}
	s := newSip(r.Key)
	if !six {
		s.word(a.lo<<32 | b.lo)
		return s.sum(15<<56 | tail)
	}
	s.word(a.hi)
	s.word(a.lo)
	s.word(b.hi)
	s.word(b.lo)
	return s.sum(39<<56 | tail)
}

// sip is the state of SipHash-1-3.
type sip struct{ v0, v1, v2, v3 uint64 }

func newSip(key [2]uint64) sip {
	return sip{key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573}
}

func (s *sip) round() {
	s.v0 += s.v1
	s.v1 = bits.RotateLeft64(s.v1, 13) ^ s.v0
	s.v0 = bits.RotateLeft64(s.v0, 32)
	s.v2 += s.v3
	s.v3 = bits.RotateLeft64(s.v3, 16) ^ s.v2
	s.v0 += s.v3
	s.v3 = bits.RotateLeft64(s.v3, 21) ^ s.v0
	s.v2 += s.v1
	s.v1 = bits.RotateLeft64(s.v1, 17) ^ s.v2
	s.v2 = bits.RotateLeft64(s.v2, 32)
}

func (s *sip) word(m uint64) {
	s.v3 ^= m
	s.round()
	s.v0 ^= m
}

// sum takes the last word, with the message's length in its upper byte, and finishes.
func (s *sip) sum(last uint64) uint64 {
	s.word(last)
	s.v2 ^= 0xff
	s.round()
	s.round()
	s.round()
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3
}
