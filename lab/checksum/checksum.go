// SPDX-License-Identifier: Apache-2.0

// Package checksum adds up the Internet checksum (RFC 1071) of packets that the laboratory makes itself. A checksum is ^Fold(sum), where
// sum adds up the parts that it covers, the pseudo-header's too. It is pure.
package checksum

import "encoding/binary"

// Sum adds up b as 16-bit words; an odd byte at its end counts as if a zero followed.
func Sum(b []byte) uint32 {
	var s uint32
	for ; len(b) > 1; b = b[2:] {
		s += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return s
}

// Fold adds what is above 16 bits to what is below, until nothing is.
func Fold(s uint32) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}
