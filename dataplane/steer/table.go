// SPDX-License-Identifier: Apache-2.0

package steer

import "cmp"

const (
	// Slots is how many parts the traffic has: 2^10, so that one is a tenth of a percent.
	Slots = 1024
	// Members is how many members a cluster can have.
	Members = 8
	// Nobody stands for no member.
	Nobody uint8 = 0xff
	// Everybody stands for all members that have an open share.
	Everybody uint8 = 0xfe
)

// Entry is who takes a slot, in the byte that gates have it in:
//
//	bits 0..2  taker
//	bits 3..5  the member that the slot moves to; 0 if it is not moving
//	bit  6     moving
//	bit  7     nobody takes it: then all else is 0
type Entry uint8

const (
	entryMoving Entry = 1 << 6
	entryNobody Entry = 1 << 7
)

// Taken is the entry of a slot that a member takes; one that is no member makes it nobody's.
func Taken(member uint8) Entry {
	if member >= Members {
		return entryNobody
	}
	return Entry(member)
}

// Moves is the entry of a slot on its way from one member to another. From nobody, or to the taker itself, nothing moves.
func Moves(from, to uint8) Entry {
	if from >= Members || to >= Members || from == to {
		return Taken(from)
	}
	return Entry(from) | Entry(to)<<3 | entryMoving
}

// Taker returns who takes the slot, Nobody if nobody does.
func (e Entry) Taker() uint8 {
	if e.Nobody() {
		return Nobody
	}
	return uint8(e & 7)
}

// Next returns who will take the slot: the member that it moves to, else its taker.
func (e Entry) Next() uint8 {
	if !e.Moving() {
		return e.Taker()
	}
	return uint8(e >> 3 & 7)
}

// Moving reports whether the slot is on its way to Next.
func (e Entry) Moving() bool { return e&entryMoving != 0 && !e.Nobody() }

// Nobody reports whether no member takes the slot.
func (e Entry) Nobody() bool { return e&entryNobody != 0 }

// Valid reports whether the byte is one that Taken or Moves makes.
func (e Entry) Valid() bool {
	return e == Taken(e.Taker()) || e == Moves(e.Taker(), e.Next())
}

// Phase is the step of a change that a table is.
type Phase uint8

// The phases; a table in force has been committed.
const (
	PhaseNone    Phase = iota // of the zero Table: nothing is known
	PhasePrepare              // moving slots are still their takers', but for connections that begin
	PhaseCommit
)

// String returns the phase as operators see it.
func (p Phase) String() string {
	switch p {
	case PhasePrepare:
		return "prepare"
	case PhaseCommit:
		return "commit"
	}
	return "none"
}

// Version orders tables: by term, number and phase.
type Version struct {
	Term   uint32 // of the leader that made it
	Number uint32 // counts a leader's changes, from 0
	Phase  Phase
}

// Compare returns -1, 0 or 1 as v is older than, equal to, or newer than o. Terms and numbers do not wrap: gates' terms never
// decrease, and a leader that runs out of numbers stops changing (see Agreement).
func (v Version) Compare(o Version) int {
	return cmp.Or(cmp.Compare(v.Term, o.Term), cmp.Compare(v.Number, o.Number), cmp.Compare(v.Phase, o.Phase))
}

// Table says who takes which slot. The zero value is older than any other: nobody takes anything.
type Table struct {
	Version
	// Leader is the member that made it; in unicast it is the pivot.
	Leader uint8
	// Share is the term under which each member may hold its share, 0 if it has none. It is Term, but for a member that was taken out
	// by fencing its gate off: then the higher term that its gate was fenced with.
	Share [Members]uint32
	Entry [Slots]Entry
}

// Owners returns who takes each slot when nothing moves any more.
func (t *Table) Owners() (o [Slots]uint8) {
	for i, e := range t.Entry {
		o[i] = Nobody
		if t.Phase != PhaseNone {
			o[i] = e.Next()
		}
	}
	return o
}

// Takes returns how many slots each member takes, and how many it will take when nothing moves any more.
func (t *Table) Takes() (now, then [Members]int) {
	if t.Phase == PhaseNone {
		return now, then
	}
	for _, e := range t.Entry {
		if !e.Nobody() {
			now[e.Taker()]++
			then[e.Next()]++
		}
	}
	return now, then
}

// Valid reports whether a table that came from outside makes sense: valid entries, which move in the prepare phase only, and only
// between members with shares.
func (t *Table) Valid() bool {
	if t.Term == 0 || t.Leader >= Members || t.Phase != PhasePrepare && t.Phase != PhaseCommit {
		return false
	}
	for _, e := range t.Entry {
		if !e.Valid() || e.Moving() && t.Phase == PhaseCommit {
			return false
		}
		if !e.Nobody() && (t.Share[e.Taker()] == 0 || t.Share[e.Next()] == 0) {
			return false
		}
	}
	for _, s := range t.Share {
		if s != 0 && s < t.Term {
			return false
		}
	}
	return true
}
