// SPDX-License-Identifier: Apache-2.0

package record

import "encoding/binary"

// Merge appends to dst one record, on the wire, that says what older and newer say one after the other, and returns it. The kernel's events
// of a change carry what changed and no more (ctnetlink_conntrack_event): of what the newer one does not speak, the older one's word
// counts. What was new stays new. For a deletion, for anything but connections and expectations, for records of different tables, and for a
// result beyond MaxLen it appends newer as it is. Neither may alias dst's room.
func Merge(dst, older, newer []byte) []byte {
	o, _, errO := Parse(older)
	n, _, errN := Parse(newer)
	switch {
	case errO != nil || errN != nil, o.Table != n.Table || o.Family != n.Family, o.Op == OpDelete || n.Op == OpDelete,
		n.Table != TableConnections && n.Table != TableExpectations:
		return append(dst, newer...)
	}
	at := len(dst)
	if o.Op == OpNew {
		n.Op = OpNew
	}
	var said uint64 // bits by type
	dst = n.Append(dst)
	for b := n.Attrs; len(b) > 0; {
		typ, _, rest, ok := next(b)
		if !ok {
			return append(dst[:at], newer...)
		}
		if typ &= nlaTypeMask; typ < 64 {
			said |= 1 << typ
		}
		b = rest
	}
	for b := o.Attrs; len(b) > 0; {
		typ, value, rest, ok := next(b)
		if !ok {
			return append(dst[:at], newer...)
		}
		if t := typ & nlaTypeMask; t < 64 && said&(1<<t) == 0 {
			dst = appendBytes(dst, typ, value)
		}
		b = rest
	}
	n.Attrs = dst[at+HeaderLen:]
	if n.Len() > MaxLen {
		return append(dst[:at], newer...)
	}
	n.putLength(dst[at:])
	return dst
}

// putLength writes the record's length where it stands on the wire.
func (r Record) putLength(wire []byte) {
	binary.BigEndian.PutUint16(wire, uint16(HeaderLen+len(r.Attrs))) //nolint:gosec // MaxLen bounds it
}
