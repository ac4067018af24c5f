// SPDX-License-Identifier: Apache-2.0

package record

import "encoding/binary"

// markLen is the length of a digest mark's attributes: the number of entries and the exclusive or of their Prints, big-endian.
const markLen = 16

// AppendMark makes a digest mark, with its attributes appended to dst. In a stream of records it says what the sender's table added up to
// at this very point.
func AppendMark(dst []byte, s Sum) Record {
	at := len(dst)
	dst = binary.BigEndian.AppendUint64(dst, uint64(s.Entries)) //nolint:gosec // two's complement, as ParseMark has it
	dst = binary.BigEndian.AppendUint64(dst, s.Xor)
	return Record{Table: TableMarks, Op: OpNew, Attrs: dst[at:len(dst):len(dst)]}
}

// ParseMark reads a digest mark. Errors are Refusals.
func ParseMark(r Record) (Sum, error) {
	switch {
	case r.Table != TableMarks:
		return Sum{}, Refusal{Reason: ReasonTable}
	case r.Op != OpNew:
		return Sum{}, Refusal{Reason: ReasonOp}
	case r.Family != 0:
		return Sum{}, Refusal{Reason: ReasonFamily}
	case len(r.Attrs) != markLen:
		return Sum{}, Refusal{Reason: ReasonSize}
	}
	return Sum{
		Entries: int64(binary.BigEndian.Uint64(r.Attrs)), //nolint:gosec // two's complement, as AppendMark has it
		Xor:     binary.BigEndian.Uint64(r.Attrs[8:]),
	}, nil
}
