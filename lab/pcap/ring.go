// SPDX-License-Identifier: Apache-2.0

package pcap

import (
	"slices"
	"time"
)

// frame is one recorded frame.
type frame struct {
	at     time.Time
	port   int
	length int // on the wire
	data   []byte
}

func (f frame) cost() int { return len(f.data) + frameCost }

// ring keeps the newest frames whose cost is within limit.
type ring struct {
	limit, used, evicted int
	frames               []frame
	head                 int // frames before it are gone
}

func (r *ring) add(f frame) {
	r.frames = append(r.frames, f)
	r.used += f.cost()
	for r.used > r.limit && r.head < len(r.frames) {
		r.used -= r.frames[r.head].cost()
		r.frames[r.head] = frame{}
		r.head++
		r.evicted++
	}
	if r.head > len(r.frames)/2 { // half of the slice is empty: move what is left to its beginning
		r.frames = slices.Delete(r.frames, 0, r.head)
		r.head = 0
	}
}

// sorted returns the frames in order of time; the ports are read one after the other, so they were not.
func (r *ring) sorted() []frame {
	frames := slices.Clone(r.frames[r.head:])
	slices.SortStableFunc(frames, func(a, b frame) int { return a.at.Compare(b.at) })
	return frames
}
