// SPDX-License-Identifier: Apache-2.0

package statesync

import "math/bits"

// keySet is a set of connections' keys, eight bytes each at a load of at most three quarters: half a million take 8 MB. Keys are
// keyed hashes already, so their low bits are as good as any. The zero value is empty.
type keySet struct {
	slots []uint64
	n     int
	zero  bool // whether the key 0, which marks a free slot, is in
}

// Len is how many keys are in.
func (s *keySet) Len() int {
	if s.zero {
		return s.n + 1
	}
	return s.n
}

// Has reports whether key is in.
func (s *keySet) Has(key uint64) bool {
	if key == 0 {
		return s.zero
	}
	if len(s.slots) == 0 {
		return false
	}
	mask := uint64(len(s.slots) - 1)
	for i := key & mask; s.slots[i] != 0; i = (i + 1) & mask {
		if s.slots[i] == key {
			return true
		}
	}
	return false
}

// Add puts key in.
func (s *keySet) Add(key uint64) {
	if key == 0 {
		s.zero = true
		return
	}
	if s.n >= len(s.slots)/4*3 {
		s.grow(max(1024, 2*len(s.slots)))
	}
	if s.insert(key) {
		s.n++
	}
}

// Reserve makes room for n keys in all.
func (s *keySet) Reserve(n int) {
	if want := 1 << bits.Len(uint(n/3*4+1024)); want > len(s.slots) {
		s.grow(want)
	}
}

func (s *keySet) grow(size int) {
	old := s.slots
	s.slots = make([]uint64, size)
	for _, key := range old {
		if key != 0 {
			s.insert(key)
		}
	}
}

func (s *keySet) insert(key uint64) bool {
	mask := uint64(len(s.slots) - 1)
	i := key & mask
	for ; s.slots[i] != 0; i = (i + 1) & mask {
		if s.slots[i] == key {
			return false
		}
	}
	s.slots[i] = key
	return true
}

// Clear empties the set and gives its memory back.
func (s *keySet) Clear() { *s = keySet{} }
