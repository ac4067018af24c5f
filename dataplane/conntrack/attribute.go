// SPDX-License-Identifier: Apache-2.0

package conntrack

import "encoding/binary"

// Attributes of connections (linux/netfilter/nfnetlink_conntrack.h, enum ctattr_type) that this package looks at by itself.
const (
	ctaTupleReply  = 2
	ctaStatus      = 3
	ctaProtoInfo   = 4
	ctaHelp        = 5
	ctaNatSrc      = 6
	ctaTimeout     = 7
	ctaMark        = 8
	ctaNatDst      = 13
	ctaTupleMaster = 14
	ctaZone        = 18
	ctaMarkMask    = 21
	ctaLabels      = 22
	ctaLabelsMask  = 23
	ctaFilter      = 25
	ctaStatusMask  = 26
)

// ctaHelpName is in ctaHelp (enum ctattr_help).
const ctaHelpName = 1

// Attributes of an expectation (enum ctattr_expect).
const (
	ctaExpectMaster = 1
	ctaExpectTuple  = 2
	ctaExpectMask   = 3
	ctaExpectFlags  = 8
	ctaExpectNat    = 10
)

// nlaNested marks an attribute that holds attributes; the kernel's dumps do not set it everywhere.
const nlaNested = 1 << 15

// nlaType is the type without the marks.
const nlaType = 1<<14 - 1

// attribute takes the first attribute off b: its type, its value, and the whole of it with header and padding.
func attribute(b []byte) (typ uint16, value, whole, rest []byte, ok bool) {
	if len(b) < nlaLen {
		return 0, nil, nil, nil, false
	}
	n := int(binary.NativeEndian.Uint16(b))
	if n < nlaLen || n > len(b) {
		return 0, nil, nil, nil, false
	}
	end := min(align(n), len(b))
	return binary.NativeEndian.Uint16(b[2:]) & nlaType, b[nlaLen:n:n], b[:end:end], b[end:], true
}

// find returns the value of the first attribute of type want in b, nil if there is none.
func find(b []byte, want uint16) []byte {
	for {
		typ, value, _, rest, ok := attribute(b)
		switch {
		case !ok:
			return nil
		case typ == want:
			return value
		}
		b = rest
	}
}

// set is a set of attribute types below 32.
type set uint32

func of(types ...uint16) set {
	var s set
	for _, t := range types {
		s |= 1 << t
	}
	return s
}

func (s set) has(typ uint16) bool { return typ < 32 && s&(1<<typ) != 0 }

// present returns which attributes b has.
func present(b []byte) set {
	var s set
	for {
		typ, _, _, rest, ok := attribute(b)
		if !ok {
			return s
		}
		if typ < 32 {
			s |= 1 << typ
		}
		b = rest
	}
}

// appendWithout appends the attributes of b that are not in drop.
func appendWithout(dst, b []byte, drop set) []byte {
	for {
		typ, _, whole, rest, ok := attribute(b)
		if !ok {
			return dst
		}
		if !drop.has(typ) {
			dst = append(dst, whole...)
			dst = pad(dst)
		}
		b = rest
	}
}

// pad makes dst's length a multiple of 4; all that is appended to begins at such a multiple.
func pad(dst []byte) []byte {
	for len(dst)&3 != 0 {
		dst = append(dst, 0)
	}
	return dst
}

// appendU32 appends an attribute with a value of four bytes in network order, as ctnetlink has nearly all of its numbers.
func appendU32(dst []byte, typ uint16, v uint32) []byte {
	dst = appendHead(dst, typ, 4)
	return binary.BigEndian.AppendUint32(dst, v)
}

// appendU16 is appendU32 for two bytes.
func appendU16(dst []byte, typ, v uint16) []byte {
	dst = appendHead(dst, typ, 2)
	return append(binary.BigEndian.AppendUint16(dst, v), 0, 0)
}

// appendHead appends the header of an attribute whose value has n bytes.
func appendHead(dst []byte, typ uint16, n int) []byte {
	dst = binary.NativeEndian.AppendUint16(dst, uint16(nlaLen+n))
	return binary.NativeEndian.AppendUint16(dst, typ)
}

// nest appends an attribute with the attributes that f appends.
func nest(dst []byte, typ uint16, f func([]byte) []byte) []byte {
	at := len(dst)
	dst = pad(f(appendHead(dst, typ|nlaNested, 0)))
	binary.NativeEndian.PutUint16(dst[at:], uint16(len(dst)-at))
	return dst
}
