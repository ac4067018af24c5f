// SPDX-License-Identifier: Apache-2.0

package record

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Table says what a record is about. It is a wire value: ONLY APPEND.
type Table uint8

// The tables.
const (
	// TableConnections is the kernel's connection table (ctnetlink, subsystem 1).
	TableConnections Table = 1
	// TableExpectations is the kernel's table of connections that a helper expects (subsystem 2).
	TableExpectations Table = 2
	// TableSets are the elements of nftables' dynamic sets and maps.
	TableSets Table = 3
	// TableMarks are digest marks: what the sender's table adds up to at this point of its stream (see Mark).
	TableMarks Table = 4
)

// String returns the table as status and metrics name it.
func (t Table) String() string {
	switch t {
	case TableConnections:
		return "connections"
	case TableExpectations:
		return "expectations"
	case TableSets:
		return "sets"
	case TableMarks:
		return "marks"
	}
	return fmt.Sprintf("table-%d", uint8(t))
}

// Op says what happened. It is a wire value: ONLY APPEND.
type Op uint8

// The ops.
const (
	// OpNew: it began, or a dump found it. The receiver creates it; where its tuple is taken it brings what is there in line.
	OpNew Op = 1
	// OpUpdate: it changed. The receiver changes it, and creates it if it has it not.
	OpUpdate Op = 2
	// OpDelete: it ended. The receiver deletes it; that it has it not is fine.
	OpDelete Op = 3
)

// String returns the op as status and metrics name it.
func (o Op) String() string {
	switch o {
	case OpNew:
		return "new"
	case OpUpdate:
		return "update"
	case OpDelete:
		return "delete"
	}
	return fmt.Sprintf("op-%d", uint8(o))
}

// Families, as nfgenmsg has them.
const (
	// IPv4 is AF_INET.
	IPv4 uint8 = 2
	// IPv6 is AF_INET6.
	IPv6 uint8 = 10
)

const (
	// HeaderLen is the length of a record's header on the wire.
	HeaderLen = 8
	// MaxLen bounds a record on the wire, padding included: it leaves room in the frame that carries it. The longest that FromMessage
	// makes (IPv6, both NATs, master, labels, helper, sequence adjustment, SYN proxy) has 516 bytes.
	MaxLen = 1024
)

// Record is one change of one table. The zero value is no valid record.
type Record struct {
	Table  Table
	Op     Op
	Family uint8
	// Attrs are the attributes, without padding behind the last one. They alias what the record was made of.
	Attrs []byte
}

// ErrRecord says that bytes are no record; errors of Parse wrap it.
var ErrRecord = errors.New("record: malformed")

// Len returns how many bytes Append adds.
func (r Record) Len() int { return HeaderLen + align(len(r.Attrs)) }

// Append appends the record's wire form to dst. It allocates nothing where dst has room for Len more bytes.
func (r Record) Append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(HeaderLen+len(r.Attrs))) //nolint:gosec // MaxLen bounds every record made here
	dst = append(dst, byte(r.Table), byte(r.Op), r.Family, 0, 0, 0)
	dst = append(dst, r.Attrs...)
	for range align(len(r.Attrs)) - len(r.Attrs) {
		dst = append(dst, 0)
	}
	return dst
}

// Parse takes the first record off b; its attributes alias b. It checks the frame of the record (length, table, op, reserved bytes,
// padding), not what the attributes say: that is Checker's.
func Parse(b []byte) (r Record, rest []byte, err error) {
	if len(b) < HeaderLen {
		return Record{}, nil, fmt.Errorf("%w: %d bytes, a header has %d", ErrRecord, len(b), HeaderLen)
	}
	n := int(binary.BigEndian.Uint16(b))
	if n < HeaderLen || align(n) > MaxLen || align(n) > len(b) {
		return Record{}, nil, fmt.Errorf("%w: length %d with %d bytes left, at most %d", ErrRecord, n, len(b), MaxLen)
	}
	r = Record{Table: Table(b[2]), Op: Op(b[3]), Family: b[4], Attrs: b[HeaderLen:n:n]}
	switch {
	case r.Table == 0 || r.Table > TableMarks:
		return Record{}, nil, fmt.Errorf("%w: table %d", ErrRecord, b[2])
	case r.Op == 0 || r.Op > OpDelete:
		return Record{}, nil, fmt.Errorf("%w: op %d", ErrRecord, b[3])
	case b[5]|b[6]|b[7] != 0:
		return Record{}, nil, fmt.Errorf("%w: reserved bytes % x are not zero", ErrRecord, b[5:8])
	}
	for _, c := range b[n:align(n)] {
		if c != 0 {
			return Record{}, nil, fmt.Errorf("%w: padding is not zero", ErrRecord)
		}
	}
	return r, b[align(n):], nil
}

// align rounds up to a multiple of 4, as netlink aligns attributes (NLA_ALIGN).
func align(n int) int { return (n + 3) &^ 3 }
