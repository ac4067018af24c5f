// SPDX-License-Identifier: Apache-2.0

package record

import "errors"

var errSkeleton = errors.New("record: not written yet")

// FromMessage makes a record of one message of ctnetlink: an event or an entry of a dump. msgType and flags are nlmsg_type and
// nlmsg_flags, payload is what follows struct nlmsghdr (struct nfgenmsg and attributes). The attributes are appended to dst, and the
// record aliases what was appended: with room for MaxLen bytes in dst nothing is allocated.
func FromMessage(dst []byte, msgType, flags uint16, payload []byte) (Record, error) {
	return Record{}, errSkeleton
}

// AppendCreate appends the attributes by which the kernel creates the entry of a NEW or UPDATE record.
func (r Record) AppendCreate(dst []byte) []byte { return dst }

// AppendUpdate appends the attributes by which the kernel changes an existing entry: without NAT, master and helper.
func (r Record) AppendUpdate(dst []byte) []byte { return dst }

// AppendDelete appends the attributes by which the kernel finds the entry to delete.
func (r Record) AppendDelete(dst []byte) []byte { return dst }

// Original returns the original tuple of a connection, or the tuple of an expectation.
func Original(r Record) (Tuple, error) { return Tuple{}, errSkeleton }

// Reply returns the reply tuple of a connection as it is on the wire, translated, or the master's original tuple of an expectation.
func Reply(r Record) (Tuple, error) { return Tuple{}, errSkeleton }

// Hasher computes identities. It is not changed by use: goroutines may share one.
type Hasher struct{ key [16]byte }

// NewHasher makes a Hasher; members that compare tallies must have the same key.
func NewHasher(key [16]byte) *Hasher { return &Hasher{key: key} }

// Identify computes the identity of a record of table 1 or 2.
func (h *Hasher) Identify(r Record) (Identity, error) { return Identity{}, errSkeleton }

// Check returns nil, or a Refusal.
func (c *Checker) Check(r Record) error { return errSkeleton }

// Judge tells by compiled Rules which records are copied. It is not changed by use: goroutines may share one.
type Judge struct{}

// Compile makes a Judge.
func (r Rules) Compile() *Judge { return &Judge{} }

// Judge judges one record of table 1 or 2.
func (j *Judge) Judge(r Record) Verdict { return Verdict{} }

// Tally adds up the identities of a table's entries. The zero value is an empty one.
type Tally struct{ words Words }

// NewTally makes an empty Tally.
func NewTally() *Tally { return &Tally{} }

// Add counts an entry that began.
func (t *Tally) Add(id Identity) {}

// Remove counts an entry that ended.
func (t *Tally) Remove(id Identity) {}

// Sum returns what all buckets add up to.
func (t *Tally) Sum() Sum { return Sum{} }

// Words returns a copy of all buckets.
func (t *Tally) Words() Words { return t.words }

// Diff appends to dst the buckets in which the two differ.
func (t *Tally) Diff(dst []uint16, other *Words) []uint16 { return dst }

// BeginDump begins to make the Tally anew from a dump. Until EndDump, Sum and Words go on telling of the old one.
func (t *Tally) BeginDump() {}

// Seen counts an entry that the dump found; false: it found it before.
func (t *Tally) Seen(id Identity) bool { return true }

// Dumping reports whether a dump has begun and not ended.
func (t *Tally) Dumping() bool { return false }

// EndDump replaces the Tally by what the dump found, corrected by what Add and Remove were told since BeginDump.
func (t *Tally) EndDump() {}

// AbandonDump forgets a dump under way; the old Tally remains.
func (t *Tally) AbandonDump() {}

// AppendMark makes a digest mark, with its attributes appended to dst.
func AppendMark(dst []byte, s Sum) Record { return Record{Table: TableMarks, Op: OpNew} }

// ParseMark reads a digest mark.
func ParseMark(r Record) (Sum, error) { return Sum{}, errSkeleton }

// Text returns a record in one line, as `conntrack -L` would say it.
func Text(r Record) string { return "" }
