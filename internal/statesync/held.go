// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"container/heap"
	"slices"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// held are new connections of services that are synchronised only once they have lasted for a while. A connection that ends before
// its time was never there as far as others are concerned.
type held struct {
	byKey map[uint64]*heldEntry
	due   heldHeap
}

type heldEntry struct {
	key, print uint64
	at         int64 // when it is old enough
	index      int   // in the heap
	data       []byte
}

// Put holds the record data of the connection key until at; it is copied.
func (h *held) Put(key, print uint64, at int64, data []byte) {
	if h.byKey == nil {
		h.byKey = map[uint64]*heldEntry{}
	}
	if e := h.byKey[key]; e != nil {
		e.print, e.data = print, append(e.data[:0], data...)
		return
	}
	e := &heldEntry{key: key, print: print, at: at, data: append([]byte(nil), data...)}
	h.byKey[key] = e
	heap.Push(&h.due, e)
}

// Update takes a change of a connection that is held into its record, and reports whether it is held.
func (h *held) Update(key uint64, data []byte) bool {
	e := h.byKey[key]
	if e != nil {
		e.data = record.Merge(nil, e.data, data)
	}
	return e != nil
}

// Has reports whether the connection is held.
func (h *held) Has(key uint64) bool { return h.byKey[key] != nil }

// Drop forgets the connection and reports whether it was held.
func (h *held) Drop(key uint64) bool {
	e := h.byKey[key]
	if e == nil {
		return false
	}
	heap.Remove(&h.due, e.index)
	delete(h.byKey, key)
	return true
}

// Due takes out one connection whose time has come, nil if there is none.
func (h *held) Due(now int64) *heldEntry {
	if len(h.due) == 0 || h.due[0].at > now {
		return nil
	}
	e := heap.Pop(&h.due).(*heldEntry)
	delete(h.byKey, e.key)
	return e
}

// Take takes out those that which chooses.
func (h *held) Take(which func(key uint64) bool) (taken []*heldEntry) {
	for _, e := range slices.Clone(h.due) {
		if which(e.key) {
			heap.Remove(&h.due, e.index)
			delete(h.byKey, e.key)
			taken = append(taken, e)
		}
	}
	return taken
}

// Wake is when the next one is due, never if none is held.
func (h *held) Wake() int64 {
	if len(h.due) == 0 {
		return never
	}
	return h.due[0].at
}

// Len is how many are held.
func (h *held) Len() int { return len(h.due) }

// Rekey has all be known by the keys that h gives them.
func (h *held) Rekey(hasher *record.Hasher) {
	old := h.due
	h.Clear()
	for _, e := range old {
		r, _, err := record.Parse(e.data)
		if err != nil {
			continue // it was a record when it was put
		}
		if id, err := hasher.Identify(r); err == nil {
			h.Put(id.Key, id.Print, e.at, e.data)
		}
	}
}

// Clear forgets all.
func (h *held) Clear() { *h = held{} }

type heldHeap []*heldEntry

func (h heldHeap) Len() int           { return len(h) }
func (h heldHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h heldHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *heldHeap) Push(x any) {
	e := x.(*heldEntry)
	e.index = len(*h)
	*h = append(*h, e)
}
func (h *heldHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return e
}
