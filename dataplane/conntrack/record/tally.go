// SPDX-License-Identifier: Apache-2.0

package record

import "math/bits"

// Word is what the entries of one bucket add up to.
type Word struct {
	// Xor is the exclusive or of their Prints.
	Xor uint64
	// Count is how many there are, modulo 2^32.
	Count uint32
}

// Words are all buckets of a Tally.
type Words [Buckets]Word

// Sum returns what all buckets add up to. The number of entries is right as long as no bucket's count is wrong by being negative.
func (w *Words) Sum() Sum {
	var s Sum
	for i := range w {
		s.Xor ^= w[i].Xor
		s.Entries += int64(w[i].Count)
	}
	return s
}

// Diff appends to dst the buckets in which the two differ, in ascending order.
func (w *Words) Diff(dst []uint16, other *Words) []uint16 {
	for i := range w {
		if w[i] != other[i] {
			dst = append(dst, uint16(i)) //nolint:gosec // below Buckets
		}
	}
	return dst
}

func (w *Words) add(id Identity) {
	w[id.Bucket()].Xor ^= id.Print
	w[id.Bucket()].Count++
}

func (w *Words) remove(id Identity) {
	w[id.Bucket()].Xor ^= id.Print
	w[id.Bucket()].Count--
}

// Sum is what a whole table adds up to.
type Sum struct {
	// Entries is how many there are.
	Entries int64
	// Xor is the exclusive or of all Prints.
	Xor uint64
}

// Tally adds up the identities of a table's entries, by buckets: two tables are alike when their tallies are, but for one chance in
// 2^64. It keeps no list: whoever adds an entry twice, or removes what was not added, makes it wrong, and a dump makes it right.
//
// The zero value is an empty one. It is not safe for concurrent use.
//
// Only what ends on all members by the owner's word should be counted: connections, not expectations, which end on each member by a
// time-out there.
type Tally struct {
	words   Words
	entries int64
	xor     uint64
	dump    *dump
}

// NewTally makes an empty Tally.
func NewTally() *Tally { return &Tally{} }

// Add counts an entry that began.
func (t *Tally) Add(id Identity) {
	t.words.add(id)
	t.entries++
	t.xor ^= id.Print
	if t.dump != nil {
		t.dump.touch(id, true)
	}
}

// Remove counts an entry that ended.
func (t *Tally) Remove(id Identity) {
	t.words.remove(id)
	t.entries--
	t.xor ^= id.Print
	if t.dump != nil {
		t.dump.touch(id, false)
	}
}

// Sum returns what all buckets add up to. It costs nothing.
func (t *Tally) Sum() Sum { return Sum{Entries: t.entries, Xor: t.xor} }

// SumOf returns what the buckets of a map add up to: bit i%8 of byte i/8 stands for bucket i.
func (t *Tally) SumOf(buckets *[Buckets / 8]byte) Sum {
	var s Sum
	for i, b := range buckets {
		for ; b != 0; b &= b - 1 {
			w := &t.words[8*i+bits.TrailingZeros8(b)]
			s.Xor ^= w.Xor
			s.Entries += int64(w.Count)
		}
	}
	return s
}

// Words returns a copy of all buckets.
func (t *Tally) Words() Words { return t.words }

// Diff appends to dst the buckets in which the Tally differs from other, in ascending order.
func (t *Tally) Diff(dst []uint16, other *Words) []uint16 { return t.words.Diff(dst, other) }

// Reset makes the Tally empty and forgets a dump under way.
func (t *Tally) Reset() { *t = Tally{} }

// BeginDump begins to make the Tally anew from a dump of the table; one under way is forgotten. expect is how many entries the dump may
// have: memory for them is taken at once (8 to 16 bytes each, until EndDump), and more if they are more.
//
// A dump is no picture of a moment: entries begin and end while it goes on, each event may be told before or after the dump passes its
// entry, and a table that grows may be told in part twice. So what an event touches counts by its last event; everything else counts
// by the dump, once. For this to be right, every event from before the kernel began the dump until after it ended must have been given to Add or
// Remove between BeginDump and EndDump, or before: read the event socket empty before EndDump.
//
// Until EndDump, Sum, Words and Diff go on telling of the old one.
func (t *Tally) BeginDump(expect int) { t.dump = newDump(expect) }

// Dumping reports whether a dump has begun and not ended.
func (t *Tally) Dumping() bool { return t.dump != nil }

// Seen counts an entry that the dump found, and reports whether it found it for the first time; without BeginDump it does nothing.
func (t *Tally) Seen(id Identity) (first bool) { return t.dump != nil && t.dump.see(id) }

// EndDump replaces the Tally by what the dump found, corrected by what Add and Remove were told since BeginDump, and returns the buckets that
// were wrong. Without BeginDump it does nothing.
func (t *Tally) EndDump() (wrong []uint16) {
	if t.dump == nil {
		return nil
	}
	words := t.dump.end()
	wrong = t.words.Diff(nil, words)
	t.words = *words
	s := t.words.Sum()
	t.entries, t.xor, t.dump = s.Entries, s.Xor, nil
	return wrong
}

// AbandonDump forgets a dump under way; the old Tally remains.
func (t *Tally) AbandonDump() { t.dump = nil }
