// SPDX-License-Identifier: Apache-2.0

// Package simtest is what the simulations of pure packages share: an agenda of what comes when, and numbers of seeds from
// the environment. It knows nothing of what is simulated, and has no clock and no randomness.
package simtest

import "container/heap"

// Agenda gives out what was entered, the earliest first; of one time, what was entered first. So a simulation on one seed does the same every time.
// The zero Agenda is empty. It is not safe for concurrent use.
type Agenda[T any] struct {
	entries entries[T]
	entered int64
}

type entry[T any] struct {
	at, order int64
	what      T
}

// Add enters something that comes at a time.
func (a *Agenda[T]) Add(at int64, what T) {
	a.entered++
	heap.Push(&a.entries, entry[T]{at, a.entered, what})
}

// Next is when the next comes; false if there is none.
func (a *Agenda[T]) Next() (at int64, ok bool) {
	if len(a.entries) == 0 {
		return 0, false
	}
	return a.entries[0].at, true
}

// Due reports whether something comes at that time or before.
func (a *Agenda[T]) Due(now int64) bool {
	at, ok := a.Next()
	return ok && at <= now
}

// Take removes the next, which there must be.
func (a *Agenda[T]) Take() (at int64, what T) {
	e := heap.Pop(&a.entries).(entry[T])
	return e.at, e.what
}

type entries[T any] []entry[T]

func (e entries[T]) Len() int { return len(e) }
func (e entries[T]) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].order < e[j].order
}
func (e entries[T]) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *entries[T]) Push(x any)   { *e = append(*e, x.(entry[T])) }
func (e *entries[T]) Pop() any {
	old := *e
	last := old[len(old)-1]
	*e = old[:len(old)-1]
	return last
}
