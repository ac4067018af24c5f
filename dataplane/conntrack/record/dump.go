// SPDX-License-Identifier: Apache-2.0

package record

import "math/bits"

// dump is a Tally in the making. Entries are told apart by their Prints: one connection's successor with the same tuples has the same, and
// with another reply tuple is another entry.
type dump struct {
	words   Words
	seen    printSet
	touched map[uint64]touched
}

// touched is an entry that an event spoke of.
type touched struct {
	key   uint64
	there bool
}

func newDump(expect int) *dump {
	return &dump{seen: newPrintSet(expect), touched: map[uint64]touched{}}
}

// see counts what the dump found, unless it was found or touched before, and reports whether it was not found before.
func (d *dump) see(id Identity) bool {
	if !d.seen.add(id.Print) {
		return false
	}
	if _, ok := d.touched[id.Print]; !ok {
		d.words.add(id)
	}
	return true
}

// touch remembers an event's word, and takes back the dump's.
func (d *dump) touch(id Identity, there bool) {
	if _, ok := d.touched[id.Print]; !ok && d.seen.has(id.Print) {
		d.words.remove(id)
	}
	d.touched[id.Print] = touched{id.Key, there}
}

func (d *dump) end() *Words {
	for print, t := range d.touched {
		if t.there {
			d.words.add(Identity{t.key, print})
		}
	}
	return &d.words
}

// printSet is a set of 64-bit hashes: open addressing, zero means free. The hashes are keyed and so well mixed, and nobody without the key can
// make them collide.
type printSet struct {
	slots []uint64
	n     int
	zero  bool
}

func newPrintSet(expect int) printSet {
	return printSet{slots: make([]uint64, 1<<max(10, bits.Len(uint(max(expect, 0)+max(expect, 0)/2))))} //nolint:gosec // not negative
}

// slot returns where print is, or the free slot where it belongs.
func (s *printSet) slot(print uint64) *uint64 {
	mask := uint64(len(s.slots) - 1) //nolint:gosec // a power of two
	for i := print & mask; ; i = (i + 1) & mask {
		if s.slots[i] == print || s.slots[i] == 0 {
			return &s.slots[i]
		}
	}
}

func (s *printSet) has(print uint64) bool {
	if print == 0 {
		return s.zero
	}
	return *s.slot(print) == print
}

// add reports whether print is new.
func (s *printSet) add(print uint64) bool {
	if print == 0 {
		fresh := !s.zero
		s.zero = true
		return fresh
	}
	if s.n >= len(s.slots)/4*3 {
		s.grow()
	}
	p := s.slot(print)
	if *p == print {
		return false
	}
	*p = print
	s.n++
	return true
}

func (s *printSet) grow() {
	old := s.slots
	s.slots = make([]uint64, 2*len(old))
	for _, print := range old {
		if print != 0 {
			*s.slot(print) = print
		}
	}
}
