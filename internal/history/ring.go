// SPDX-License-Identifier: Apache-2.0

package history

// ring keeps the last entries that were put into it.
type ring[T any] struct {
	all   []T
	first int // of the oldest, once the ring is full
	limit int
}

func newRing[T any](limit int) ring[T] { return ring[T]{limit: max(limit, 1)} }

func (r *ring[T]) put(v T) {
	if len(r.all) < r.limit {
		r.all = append(r.all, v)
		return
	}
	r.all[r.first] = v
	r.first = (r.first + 1) % r.limit
}

// list returns a copy, oldest first.
func (r *ring[T]) list() []T {
	return append(append(make([]T, 0, len(r.all)), r.all[r.first:]...), r.all[:r.first]...)
}

// last returns the newest entry.
func (r *ring[T]) last() (v T, ok bool) {
	if len(r.all) == 0 {
		return v, false
	}
	return r.all[(r.first+len(r.all)-1)%len(r.all)], true
}

func (r *ring[T]) clear() { r.all, r.first = nil, 0 }
