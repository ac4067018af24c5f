// SPDX-License-Identifier: Apache-2.0

package nftset

import (
	"encoding/binary"
	"errors"
)

// Numbers of linux/netfilter/nf_tables.h.
const (
	// Attributes of a message about elements: enum nft_set_elem_list_attributes, NFTA_LIST_ELEM.
	listTable    = 1
	listSet      = 2
	listElements = 3
	listElem     = 1

	// Attributes of an element: enum nft_set_elem_attributes.
	elemKey         = 1
	elemData        = 2
	elemFlags       = 3
	elemTimeout     = 4
	elemExpiration  = 5
	elemUserdata    = 6
	elemExpr        = 7
	elemPad         = 8
	elemObjref      = 9
	elemKeyEnd      = 10
	elemExpressions = 11

	// Flags of an element.
	flagIntervalEnd = 1
	flagCatchall    = 2

	// Attributes and flags of a set: enum nft_set_attributes, enum nft_set_flags.
	setFlags     = 3
	setTimeout   = 11
	flagInterval = 0x4
	flagMap      = 0x8
	flagConcat   = 0x80
)

// nested marks an attribute that holds attributes (NLA_F_NESTED), and typeMask is what is left of its type.
const (
	nested   = 0x8000
	typeMask = 0x3fff
	attrHead = 4
)

var errAttribute = errors.New("attribute runs over the end")

// nextAttr takes the first attribute off b; an empty b gives type 0 (which no attribute of ours has).
func nextAttr(b []byte) (typ uint16, value, rest []byte, err error) {
	if len(b) == 0 {
		return 0, nil, nil, nil
	}
	if len(b) < attrHead {
		return 0, nil, nil, errAttribute
	}
	n := int(binary.NativeEndian.Uint16(b))
	if n < attrHead || n > len(b) {
		return 0, nil, nil, errAttribute
	}
	typ = binary.NativeEndian.Uint16(b[2:]) & typeMask
	return typ, b[attrHead:n], b[min(align(n), len(b)):], nil
}

func align(n int) int { return (n + 3) &^ 3 }

// appendAttr appends an attribute with its padding.
func appendAttr(b []byte, typ uint16, value []byte) []byte {
	b, at := beginAttr(b, typ)
	return endAttr(append(b, value...), at)
}

// beginAttr appends an attribute's head and returns where it begins; endAttr completes it.
func beginAttr(b []byte, typ uint16) ([]byte, int) {
	at := len(b)
	b = append(b, 0, 0, 0, 0)
	binary.NativeEndian.PutUint16(b[at+2:], typ)
	return b, at
}

func endAttr(b []byte, at int) []byte {
	n := len(b) - at
	binary.NativeEndian.PutUint16(b[at:], uint16(n)) //nolint:gosec // everything here is far shorter
	for range align(n) - n {
		b = append(b, 0)
	}
	return b
}

func appendU32(b []byte, typ uint16, v uint32) []byte {
	return appendAttr(b, typ, binary.BigEndian.AppendUint32(nil, v))
}

func appendU64(b []byte, typ uint16, v uint64) []byte {
	return appendAttr(b, typ, binary.BigEndian.AppendUint64(nil, v))
}

// appendString appends a string as the kernel has them, with a zero at its end.
func appendString(b []byte, typ uint16, s string) []byte {
	b, at := beginAttr(b, typ)
	return endAttr(append(append(b, s...), 0), at)
}

// cString reads a string that may have a zero at its end, and none within.
func cString(v []byte) (string, bool) {
	if n := len(v); n > 0 && v[n-1] == 0 {
		v = v[:n-1]
	}
	for _, c := range v {
		if c == 0 {
			return "", false
		}
	}
	return string(v), true
}
