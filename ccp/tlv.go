// SPDX-License-Identifier: Apache-2.0

package ccp

import (
	"encoding/binary"
	"fmt"
)

// tlvHead is the length of a TLV's type and length, 16 bits each.
const tlvHead = 4

// beginTLV appends the head of a TLV and returns where its value begins; endTLV writes the length once the value is complete.
func beginTLV(b []byte, typ uint16) ([]byte, int) {
	b = binary.BigEndian.AppendUint16(b, typ)
	b = append(b, 0, 0)
	return b, len(b)
}

func endTLV(b []byte, value int) []byte {
	binary.BigEndian.PutUint16(b[value-2:], uint16(len(b)-value))
	return b
}

// nextTLV takes the first TLV off b. Type zero is the end of the list: what follows is padding.
func nextTLV(b []byte) (typ uint16, value, rest []byte, err error) {
	switch {
	case len(b) == 0:
		return 0, nil, nil, nil
	case len(b) == 1 && b[0] == 0:
		return 0, nil, nil, nil // padding that leaves no room for a head
	case len(b) < 2:
		return 0, nil, nil, fmt.Errorf("%w: %d bytes after the last TLV", ErrMalformed, len(b))
	}
	typ = binary.BigEndian.Uint16(b)
	if typ == 0 {
		return 0, nil, nil, nil
	}
	if len(b) < tlvHead {
		return 0, nil, nil, fmt.Errorf("%w: TLV %d without a length", ErrMalformed, typ)
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if len(b) < tlvHead+n {
		return 0, nil, nil, fmt.Errorf("%w: TLV %d of %d bytes, %d are left", ErrMalformed, typ, n, len(b)-tlvHead)
	}
	return typ, b[tlvHead : tlvHead+n], b[tlvHead+n:], nil
}

// reader takes fields off a value that is known to be long enough: every user checks the length of what it knows first, and leaves
// what newer senders may have added behind it.
type reader []byte

func (r *reader) take(n int) []byte {
	b := (*r)[:n]
	*r = (*r)[n:]
	return b
}

func (r *reader) u8() uint8   { return r.take(1)[0] }
func (r *reader) u16() uint16 { return binary.BigEndian.Uint16(r.take(2)) }
func (r *reader) u32() uint32 { return binary.BigEndian.Uint32(r.take(4)) }
func (r *reader) u64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }

// appendText appends s with its length in one byte, cut to limit and cleaned.
func appendText(b []byte, s string, limit int) []byte {
	if len(s) > limit {
		s = s[:limit]
	}
	b = append(b, byte(len(s)))
	for i := range len(s) {
		b = append(b, cleanByte(s[i]))
	}
	return b
}

// text takes a string with its length off r, cut to limit and cleaned, or says that there is none.
func (r *reader) text(limit int) (string, bool) {
	if len(*r) < 1 || len(*r) < 1+int((*r)[0]) {
		return "", false
	}
	b := r.take(int(r.u8()))
	if len(b) > limit {
		b = b[:limit]
	}
	clean := make([]byte, len(b))
	for i, c := range b {
		clean[i] = cleanByte(c)
	}
	return string(clean), true
}

// cleanByte keeps texts to what can be printed on any terminal: they end up on an operator's.
func cleanByte(c byte) byte {
	if c < 0x20 || c > 0x7e {
		return '?'
	}
	return c
}
