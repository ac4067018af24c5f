// SPDX-License-Identifier: Apache-2.0

package ccp

import (
	"encoding/binary"
	"math/bits"
)

// sipState is SipHash's four words (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012).
type sipState struct{ v0, v1, v2, v3 uint64 }

func newSip(key [16]byte) sipState {
	k0, k1 := binary.LittleEndian.Uint64(key[:8]), binary.LittleEndian.Uint64(key[8:])
	return sipState{
		v0: k0 ^ 0x736f6d6570736575,
		v1: k1 ^ 0x646f72616e646f6d,
		v2: k0 ^ 0x6c7967656e657261,
		v3: k1 ^ 0x7465646279746573,
	}
}

func (s *sipState) round() {
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

// word takes in 8 bytes of the message, little-endian.
func (s *sipState) word(m uint64) {
	s.v3 ^= m
	s.round()
	s.round()
	s.v0 ^= m
}

func (s *sipState) sum() uint64 {
	s.v2 ^= 0xff
	for range 4 {
		s.round()
	}
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3
}

// SipHash24 returns SipHash-2-4 of p under key, as the reference implementation defines it (its output bytes are the little-endian
// form of the number returned).
func SipHash24(key [16]byte, p []byte) uint64 {
	s := newSip(key)
	last := uint64(len(p)) << 56
	for ; len(p) >= 8; p = p[8:] {
		s.word(binary.LittleEndian.Uint64(p))
	}
	for i, c := range p {
		last |= uint64(c) << (8 * i)
	}
	s.word(last)
	return s.sum()
}

// taggedLen is how many bytes the tag covers: the header without it and the first MinBodyLen bytes of the body.
const taggedLen = TagOffset + MinBodyLen

// tag computes the tag of a frame of at least GateFrameLen bytes: SipHash-2-4 of its bytes 0..47 and 56..103. It reads them in
// place, so that the pulse's path copies nothing.
func tag(b []byte, k GateKey) uint64 {
	_ = b[GateFrameLen-1]
	s := newSip(k)
	for i := 0; i < TagOffset; i += 8 {
		s.word(binary.LittleEndian.Uint64(b[i:]))
	}
	for i := HeaderLen; i < GateFrameLen; i += 8 {
		s.word(binary.LittleEndian.Uint64(b[i:]))
	}
	s.word(taggedLen << 56)
	return s.sum()
}

// setTag writes the tag into a complete frame.
func setTag(b []byte, k GateKey) {
	binary.BigEndian.PutUint64(b[TagOffset:], tag(b, k))
}

// VerifyTag reports whether the frame b carries the right tag under k; false too when b is shorter than GateFrameLen. The comparison
// takes the same time wherever the two differ.
func VerifyTag(b []byte, k GateKey) bool {
	if len(b) < GateFrameLen {
		return false
	}
	return tag(b, k)^binary.BigEndian.Uint64(b[TagOffset:]) == 0
}
