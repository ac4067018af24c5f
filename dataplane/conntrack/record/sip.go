// SPDX-License-Identifier: Apache-2.0

package record

import "math/bits"

// sip is SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012), taking 8 bytes at a time. Package ccp has it too,
// over bytes; a codec of the wire and this package do not know each other, and a test compares the two.
type sip struct{ v0, v1, v2, v3 uint64 }

func newSip(k0, k1 uint64) sip {
	return sip{
		v0: k0 ^ 0x736f6d6570736575,
		v1: k1 ^ 0x646f72616e646f6d,
		v2: k0 ^ 0x6c7967656e657261,
		v3: k1 ^ 0x7465646279746573,
	}
}

// word takes in 8 bytes of the message, little-endian.
func (s *sip) word(m uint64) {
	v0, v1, v2, v3 := s.v0, s.v1, s.v2, s.v3^m
	for range 2 {
		v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	}
	s.v0, s.v1, s.v2, s.v3 = v0^m, v1, v2, v3
}

// sum ends a message of n words.
func (s *sip) sum(n int) uint64 {
	s.word(uint64(n) * 8 << 56) //nolint:gosec // n is small
	v0, v1, v2, v3 := s.v0, s.v1, s.v2^0xff, s.v3
	for range 4 {
		v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	}
	return v0 ^ v1 ^ v2 ^ v3
}

func sipRound(v0, v1, v2, v3 uint64) (uint64, uint64, uint64, uint64) {
	v0 += v1
	v2 += v3
	v1 = bits.RotateLeft64(v1, 13) ^ v0
	v3 = bits.RotateLeft64(v3, 16) ^ v2
	v0 = bits.RotateLeft64(v0, 32) + v3
	v2 += v1
	v3 = bits.RotateLeft64(v3, 21) ^ v0
	v1 = bits.RotateLeft64(v1, 17) ^ v2
	return v0, v1, bits.RotateLeft64(v2, 32), v3
}
