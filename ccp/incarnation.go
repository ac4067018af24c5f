// SPDX-License-Identifier: Apache-2.0

package ccp

import "slices"

// check says whether a frame of inc with this sequence can be new.
func (inc *incarnation) check(seq uint64) DropReason {
	switch {
	case inc.window != nil:
		return inc.window.Check(seq)
	case seq <= inc.newest:
		return DropReplay
	}
	return DropNone
}

func (inc *incarnation) accept(seq uint64) {
	if inc.window != nil {
		inc.window.Accept(seq)
	}
	inc.newest = max(inc.newest, seq)
}

// all returns the current incarnation and the candidates; some may be nil.
func (p *peer) all() [1 + candidates]*incarnation {
	list := [1 + candidates]*incarnation{p.current}
	copy(list[1:], p.candidates[:])
	return list
}

func (p *peer) find(id uint64) (*incarnation, bool) {
	for _, inc := range p.all() {
		if inc != nil && inc.id == id {
			return inc, true
		}
	}
	return nil, false
}

func (p *peer) isRetired(id uint64) bool { return slices.Contains(p.retired[:], id) }

// nominate gives inc a place among the candidates and reports whether there was one: a free one, or that of the least deserving
// candidate if inc deserves it more.
func (p *peer) nominate(inc *incarnation, now int64) bool {
	least := 0
	for i, c := range p.candidates {
		if c == nil {
			p.candidates[i] = inc
			return true
		}
		if p.candidates[least].merit(now) > c.merit(now) {
			least = i
		}
	}
	if inc.merit(now) <= p.candidates[least].merit(now) {
		return false
	}
	p.candidates[least] = inc
	return true
}

// merit orders candidates. Those that are no recordings come first; among equals it is a lottery, drawn anew every candidateTurn, in
// which each incarnation has one ticket however many frames of it arrive: a flood of recordings has no better odds than the one
// frame in 100 ms of the living.
func (inc *incarnation) merit(now int64) uint64 {
	// The finalizer of SplitMix64 (Steele, Lea, Flood 2014), of which only the spread matters here.
	x := inc.id + uint64(now/candidateTurn)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x = (x ^ x>>31) >> 1
	if now < inc.freshUntil {
		x |= 1 << 63
	}
	return x
}

// promote makes the candidate inc the current incarnation, for good: the one before it is retired.
func (p *peer) promote(inc *incarnation) {
	if p.current != nil {
		p.retired[p.nextSlot] = p.current.id
		p.nextSlot = (p.nextSlot + 1) % retiredKept
	}
	for i, c := range p.candidates {
		if c == inc {
			p.candidates[i] = nil
		}
	}
	inc.window = &Window{floor: inc.newest}
	p.current = inc
}
