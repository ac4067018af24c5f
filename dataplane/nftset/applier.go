// SPDX-License-Identifier: Apache-2.0

package nftset

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// MaxElements is how many elements an Applier keeps in mind for one set; more are refused.
const MaxElements = 1 << 20

// Counts says what became of records, since the Applier was made.
type Counts struct {
	// Added and Removed are elements of this member's sets. Kept are records that said nothing new.
	Added, Removed, Kept uint64
	// Healed are those of Added and Removed that a round brought in line.
	Healed uint64
	// Refused are records, by reason.
	Refused [Reasons]uint64
}

// Applier puts records into a copy's sets. Not safe for concurrent use.
type Applier struct {
	sock   *socket
	sets   map[Set]*target
	order  []Set
	counts Counts
	queue  []operation
}

// target is one set as the owner wants it.
type target struct {
	set     Set
	kernel  Set // as the kernel knows it
	held    map[string]*held
	problem error
}

// held is an element as the owner told it last.
type held struct {
	element
	until int64
	round uint32
	gone  bool // deleted; kept until a round ends, in case the set is put into another table before
}

// operation is one element's change, as far as the kernel has to do with it.
type operation struct {
	target      *target
	elem        element
	remove, add bool
	// found says that the kernel has said that the element exists; heals that it is a round that brings it in line.
	found, heals bool
}

// NewApplier opens an Applier for sets, in the network namespace of the calling thread.
func NewApplier(sets []Set) (*Applier, error) {
	sock, err := dial()
	if err != nil {
		return nil, fmt.Errorf("nftset: %w", err)
	}
	a := &Applier{sock: sock, sets: map[Set]*target{}, order: sets}
	for _, s := range sets {
		a.sets[s] = &target{set: s, kernel: s, held: map[string]*held{}}
	}
	return a, nil
}

// Close closes the Applier; the elements stay.
func (a *Applier) Close() error { return a.sock.close() }

// Counts returns what became of the records so far.
func (a *Applier) Counts() Counts { return a.counts }

// Statuses returns what there is to say of the sets.
func (a *Applier) Statuses() []Status {
	var all []Status
	for _, s := range a.order {
		t := a.sets[s]
		n := 0
		for _, h := range t.held {
			if !h.gone {
				n++
			}
		}
		all = append(all, Status{s, n, t.problem})
	}
	return all
}

// SetTables says how tables are called from now on. What the owner has told is put into a set's new table where it is not there; what else
// is there the next round judges. The error says that the kernel could not be asked; a set that is absent is not one.
func (a *Applier) SetTables(now int64, tables Tables) error {
	var failed error
	for _, s := range a.order {
		t := a.sets[s]
		k := tables.kernel(t.set)
		if k == t.kernel {
			continue
		}
		before := t.kernel
		t.kernel = k
		if t.problem = a.fill(t, now); t.problem != nil && !errors.Is(t.problem, ErrAbsent) {
			failed = errors.Join(failed, t.problem)
			t.kernel = before // the next call tries again
		}
	}
	return errors.Join(failed, a.commit())
}

// fill queues what the owner has told and the kernel's set does not have so.
func (a *Applier) fill(t *target, now int64) error {
	found := map[string]element{}
	if err := read(a.sock, t.kernel, func(setInfo) { clear(found) }, func(e *element) { found[e.identity()] = e.clone() }); err != nil {
		return err
	}
	for id, h := range t.held {
		e, there := found[id]
		if h.gone {
			if there {
				a.queue = append(a.queue, operation{target: t, elem: e.bareKey(), remove: true, heals: true})
			}
		} else if !there || !h.sameValue(&e) {
			a.heal(t, h, now, there)
		}
	}
	return nil
}

// Apply brings this member's sets in line with records of table 3, in their order. What is refused is counted. The error says that
// the kernel could not be asked at all.
func (a *Applier) Apply(now int64, rs []record.Record) error {
	var failed error
	for _, r := range rs {
		if reason := a.take(now, r, &failed); reason != ReasonNone {
			a.counts.Refused[reason]++
		}
	}
	return errors.Join(failed, a.commit())
}

func (a *Applier) take(now int64, r record.Record, failed *error) Reason {
	i, reason := parse(r)
	if reason != ReasonNone {
		return reason
	}
	t := a.sets[i.set]
	switch {
	case t == nil:
		return ReasonSet
	case i.ends:
		*failed = errors.Join(*failed, a.commit())
		a.counts.Kept++
		if err := a.endRound(t, now, i); err != nil {
			t.problem = err
			if !errors.Is(err, ErrAbsent) {
				*failed = errors.Join(*failed, err)
			}
		}
		return ReasonNone
	}
	id := i.elem.identity()
	old := t.held[id]
	if old == nil && len(t.held) >= MaxElements {
		return ReasonFull
	}
	next := &held{element: i.elem.clone(), round: i.round, gone: i.op == record.OpDelete}
	if i.elem.expires != 0 {
		next.until = now + int64(i.elem.expires)*1e6 //nolint:gosec // check bounds it
	}
	t.held[id] = next
	here := old != nil && !old.gone && !old.expired(now)
	switch {
	case next.gone:
		a.queue = append(a.queue, operation{target: t, elem: next.element, remove: true})
	case here && old.sameValue(&next.element) && bytes.Equal(old.exprs, next.exprs) && moved(old.until, next.until) < RefreshSlack:
		a.counts.Kept++
	default:
		a.queue = append(a.queue, operation{target: t, elem: next.element, remove: here, add: true})
	}
	return ReasonNone
}

func (h *held) expired(now int64) bool { return h.until != 0 && h.until <= now }

// endRound forgets what the owner has not listed, if this is all that it has listed, and brings the kernel's set in line.
func (a *Applier) endRound(t *target, now int64, i item) error {
	var listed uint32
	for _, h := range t.held {
		if h.round == i.round && !h.gone { // deletions are told beside the list, and do not make up for what was lost of it
			listed++
		}
	}
	for id, h := range t.held {
		if h.gone || h.expired(now) || (listed >= i.count && h.round != i.round) {
			delete(t.held, id)
		}
	}
	var all []element
	if err := read(a.sock, t.kernel, func(setInfo) { all = all[:0] }, func(e *element) { all = append(all, e.clone()) }); err != nil {
		return err
	}
	found := make(map[string]bool, len(all))
	for _, e := range all {
		id := e.identity()
		found[id] = true
		h := t.held[id]
		switch {
		case h == nil && listed < i.count:
			// Whether it belongs here is not known.
		case h == nil:
			a.queue = append(a.queue, operation{target: t, elem: e.bareKey(), remove: true, heals: true})
		case !h.sameValue(&e):
			a.heal(t, h, now, true)
		}
	}
	for id, h := range t.held {
		if !found[id] {
			a.heal(t, h, now, false)
		}
	}
	t.problem = nil
	return a.commit()
}

// heal queues an element with what is left of its time.
func (a *Applier) heal(t *target, h *held, now int64, remove bool) {
	e := h.element
	if h.until != 0 {
		left := (h.until - now) / 1e6
		if left < leastLeft {
			return
		}
		e.expires = uint64(left) //nolint:gosec // positive
	}
	a.queue = append(a.queue, operation{target: t, elem: e, remove: remove, add: true, heals: true})
}
