// SPDX-License-Identifier: Apache-2.0

package flow

// index finds the entry of a key. Keys are hashes already, so the key's own bits say where to look; a Go map would hash them again, and
// does not shrink. Linear probing; deletion moves what follows back, so there are no graves.
type index struct {
	slots []indexSlot // a power of two
	used  int
}

type indexSlot struct {
	key   uint64
	entry int32 // 0: empty
}

// indexLeast is what an empty index has room for: some milliseconds of a busy gateway.
const indexLeast = 1024

func newIndex() index { return index{slots: make([]indexSlot, indexLeast)} }

func (x *index) home(key uint64) int { return int(key & uint64(len(x.slots)-1)) }

// find returns where key is, or where it would be put.
func (x *index) find(key uint64) int {
	for i := x.home(key); ; i = (i + 1) & (len(x.slots) - 1) {
		if s := x.slots[i]; s.entry == 0 || s.key == key {
			return i
		}
	}
}

// get returns the entry of key, or 0.
func (x *index) get(key uint64) int32 { return x.slots[x.find(key)].entry }

// put makes entry, which is not 0, the one of key.
func (x *index) put(key uint64, entry int32) {
	i := x.find(key)
	if x.slots[i].entry == 0 {
		if x.used++; 2*x.used > len(x.slots) {
			x.grow()
			i = x.find(key)
		}
	}
	x.slots[i] = indexSlot{key, entry}
}

// remove forgets key, if entry is the one of it.
func (x *index) remove(key uint64, entry int32) {
	i := x.find(key)
	if x.slots[i].entry != entry || entry == 0 {
		return
	}
	x.used--
	mask := len(x.slots) - 1
	for j := i; ; {
		x.slots[i] = indexSlot{}
		for {
			j = (j + 1) & mask
			if x.slots[j].entry == 0 {
				return
			}
			// What is at home after the hole, as seen from where it is, cannot move into it.
			if home := x.home(x.slots[j].key); (j-home)&mask >= (j-i)&mask {
				break
			}
		}
		x.slots[i] = x.slots[j]
		i = j
	}
}

func (x *index) grow() {
	old := x.slots
	x.slots = make([]indexSlot, 2*len(old))
	for _, s := range old {
		if s.entry != 0 {
			x.slots[x.find(s.key)] = s
		}
	}
}
