// SPDX-License-Identifier: Apache-2.0

package ccp

import "sort"

// WindowSize is how many accepted sequences a Window remembers.
const WindowSize = 1024

// Window says whether a sequence was seen before. Sequences are times, so a window over a range of numbers would be of no use: this
// one remembers the WindowSize newest that were accepted, and refuses everything not newer than the newest it has forgotten. So
// frames may overtake each other, on different interfaces for one, and none is accepted twice.
//
// The zero value has seen nothing and is ready to use. Not safe for concurrent use.
type Window struct {
	ring  [WindowSize]uint64 // ascending from start
	start int
	n     int
	floor uint64 // everything up to here is refused
}

// Check reports DropNone if seq has not been seen, DropReplay if it has, DropOld if it is older than what is remembered. Zero was
// always seen. It changes nothing: a frame proves its sequence only by its seal.
func (w *Window) Check(seq uint64) DropReason {
	if seq <= w.floor {
		return DropOld
	}
	if i := w.search(seq); i < w.n && w.at(i) == seq {
		return DropReplay
	}
	return DropNone
}

// Accept remembers seq, which Check must have let pass.
func (w *Window) Accept(seq uint64) {
	if w.n == WindowSize {
		w.floor = w.at(0)
		w.start = (w.start + 1) % WindowSize
		w.n--
		if seq <= w.floor {
			return // the place that was free for it is below all the others: it is forgotten at once
		}
	}
	i := w.search(seq)
	for j := w.n; j > i; j-- {
		*w.slot(j) = w.at(j - 1)
	}
	*w.slot(i) = seq
	w.n++
}

// Newest is the highest sequence accepted, 0 for none.
func (w *Window) Newest() uint64 {
	if w.n == 0 {
		return w.floor
	}
	return w.at(w.n - 1)
}

// search returns the place of the first sequence not below seq. The usual frame is newer than all, so that is looked at first.
func (w *Window) search(seq uint64) int {
	if w.n == 0 || seq > w.at(w.n-1) {
		return w.n
	}
	return sort.Search(w.n, func(i int) bool { return w.at(i) >= seq })
}

func (w *Window) slot(i int) *uint64 { return &w.ring[(w.start+i)%WindowSize] }
func (w *Window) at(i int) uint64    { return *w.slot(i) }
