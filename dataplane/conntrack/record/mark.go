// SPDX-License-Identifier: Apache-2.0

package record

import "encoding/binary"

// Mark is a digest mark: in a stream of records it says what the sender's table added up to at this very point. In mode ha it is the sum of
// the whole table, and all else is zero.
type Mark struct {
	Sum
	// Rules is not zero in load sharing: a fingerprint of what sorts connections into buckets. Sum is then that of the buckets that the sender
	// takes by the slot table below, but for those that are about to move. What it says of them up to the next mark is by that table.
	Rules uint64
	// Term, Number and Commit are the slot table's.
	Term, Number uint32
	Commit       bool
	// Blank says that the sender does not know its sum for the moment.
	Blank bool
}

// Lengths of a mark's attributes: the number of entries and the exclusive or of their Prints, big-endian; then rules, term, number, flags
// and three bytes of zero.
const (
	markLen       = 16
	markShareLen  = markLen + 8 + 4 + 4 + 4
	markCommitted = 1
	markBlank     = 2
)

// AppendMark makes a record of a digest mark, with its attributes appended to dst.
func AppendMark(dst []byte, m Mark) Record {
	at, be := len(dst), binary.BigEndian
	dst = be.AppendUint64(dst, uint64(m.Entries)) //nolint:gosec // two's complement, as ParseMark has it
	dst = be.AppendUint64(dst, m.Xor)
	if m.Rules != 0 {
		dst = be.AppendUint64(dst, m.Rules)
		dst = be.AppendUint32(dst, m.Term)
		dst = be.AppendUint32(dst, m.Number)
		flags := byte(0)
		if m.Commit {
			flags = markCommitted
		}
		if m.Blank {
			flags |= markBlank
		}
		dst = append(dst, flags, 0, 0, 0)
	}
	return Record{Table: TableMarks, Op: OpNew, Attrs: dst[at:len(dst):len(dst)]}
}

// ParseMark reads a digest mark. Errors are Refusals.
func ParseMark(r Record) (Mark, error) {
	switch {
	case r.Table != TableMarks:
		return Mark{}, Refusal{Reason: ReasonTable}
	case r.Op != OpNew:
		return Mark{}, Refusal{Reason: ReasonOp}
	case r.Family != 0:
		return Mark{}, Refusal{Reason: ReasonFamily}
	case len(r.Attrs) != markLen && len(r.Attrs) != markShareLen:
		return Mark{}, Refusal{Reason: ReasonSize}
	}
	be := binary.BigEndian
	m := Mark{Sum: Sum{
		Entries: int64(be.Uint64(r.Attrs)), //nolint:gosec // two's complement, as AppendMark has it
		Xor:     be.Uint64(r.Attrs[8:]),
	}}
	if len(r.Attrs) == markLen {
		return m, nil
	}
	flags := r.Attrs[32]
	if flags&^(markCommitted|markBlank) != 0 || r.Attrs[33]|r.Attrs[34]|r.Attrs[35] != 0 || be.Uint64(r.Attrs[16:]) == 0 {
		return Mark{}, Refusal{Reason: ReasonUnknown}
	}
	m.Rules, m.Term, m.Number = be.Uint64(r.Attrs[16:]), be.Uint32(r.Attrs[24:]), be.Uint32(r.Attrs[28:])
	m.Commit, m.Blank = flags&markCommitted != 0, flags&markBlank != 0
	return m, nil
}
