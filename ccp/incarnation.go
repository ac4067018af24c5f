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

// nominate gives inc a place among the candidates and reports whether there was one. A place is free, or held by one without proof
// for long enough, or, for a newcomer that is no recording, by one that may be.
func (p *peer) nominate(inc *incarnation, now int64) bool {
	worst := -1
	for i, c := range p.candidates {
		if c == nil {
			p.candidates[i] = inc
			return true
		}
		if worst < 0 || rank(c) < rank(p.candidates[worst]) {
			worst = i
		}
	}
	c, stay := p.candidates[worst], int64(candidateStay)
	switch {
	case inc.fresh && !c.fresh:
		stay = 0
	case c.fresh && !inc.fresh:
		stay = freshStay
	}
	if now-c.since < stay {
		return false
	}
	p.candidates[worst] = inc
	return true
}

// rank orders candidates by how much they deserve their place: those that are no recordings above the others, then the younger.
func rank(c *incarnation) int64 {
	if c.fresh {
		return c.since
	}
	return c.since - 1<<62
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
