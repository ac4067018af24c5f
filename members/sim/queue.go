// SPDX-License-Identifier: Apache-2.0

package sim

import "math/bits"

// event is something due at a time. Events of the same time come in the order in which they were made.
type event struct {
	at    int64
	seq   uint32
	kind  eventKind
	node  uint8
	epoch uint16 // of the node's daemon or pulse; the event is void if it has changed
	frame int32  // index of a frame, or of a fault
	next  int32  // used by the queue
}

type eventKind uint8

const (
	evFrame  eventKind = iota // a frame arrives
	evTick                    // the pulse's probe interval
	evCheck                   // the pulse looks at its deadlines
	evMain                    // the main loop takes its inbox
	evWake                    // the machine's WakeAt
	evFault                   // a planned fault begins or ends
	evStart                   // a daemon starts
	evReport                  // a reporter of a critical device looks
	evReady                   // policy (0) or connection table (1) are there, or flushed
	evCommit                  // a policy comes into force
)

func (a *event) before(b *event) bool { return a.at < b.at || a.at == b.at && a.seq < b.seq }

const (
	slotBits = 13 // a slot of the wheel is 8 µs wide: most hold one event at most
	slots    = 4096
)

// queue holds the events to come. The next 33 ms are a wheel of slots, each a sorted ring of events, with a bit for
// each slot that holds any; what is due later waits in a heap, from which it is taken directly.
type queue struct {
	pool  []event
	free  int32        // list of unused ones, by next; 0 ends it
	tails [slots]int32 // last of a slot's ring, 0 if it is empty
	used  [slots / 64]uint64
	words uint64 // a bit for each of used that is not 0
	base  int64  // slot number of the event taken last
	far   []event
}

func (q *queue) init() {
	q.pool = make([]event, 1, 256)
	q.far = make([]event, 0, 128)
	q.base = start >> slotBits
}

// push adds an event to the queue.
func (w *World) push(e event) {
	w.seq++
	e.seq = w.seq
	w.queue.add(e)
}

func (q *queue) add(e event) {
	at := max(e.at>>slotBits, q.base)
	if at-q.base >= slots {
		q.addFar(e)
		return
	}
	i := q.free
	if i == 0 {
		q.pool = append(q.pool, event{})
		i = int32(len(q.pool) - 1)
	} else {
		q.free = q.pool[i].next
	}
	s := at & (slots - 1)
	p := &q.pool[i]
	*p = e
	tail := q.tails[s]
	if tail == 0 {
		p.next, q.tails[s] = i, i
		q.used[s>>6] |= 1 << (s & 63)
		q.words |= 1 << (s >> 6)
		return
	}
	t := &q.pool[tail]
	if !p.before(t) {
		p.next, t.next, q.tails[s] = t.next, i, i
		return
	}
	before := t
	for k := &q.pool[before.next]; !p.before(k); k = &q.pool[before.next] {
		before = k
	}
	p.next, before.next = before.next, i
}

// slot returns the first slot that holds an event, -1 if none does.
func (q *queue) slot() int64 {
	if q.words == 0 {
		return -1
	}
	s := q.base & (slots - 1)
	word := s >> 6
	if u := q.used[word] >> (s & 63); u != 0 {
		return s + int64(bits.TrailingZeros64(u))
	}
	// The words after this one, around the wheel, and this one's lower part last.
	r := bits.RotateLeft64(q.words, -int(word+1))
	word = (word + 1 + int64(bits.TrailingZeros64(r))) & (slots/64 - 1)
	return word<<6 + int64(bits.TrailingZeros64(q.used[word]))
}

// take removes the next event if it is due, and reports whether one was.
func (q *queue) take(until int64, e *event) bool {
	s := q.slot()
	if s < 0 {
		return q.takeFar(until, e)
	}
	tail := q.tails[s]
	i := q.pool[tail].next
	p := &q.pool[i]
	if len(q.far) > 0 && q.far[0].before(p) {
		return q.takeFar(until, e)
	}
	if p.at > until {
		return false
	}
	*e = *p
	if i == tail {
		q.tails[s] = 0
		if q.used[s>>6] &^= 1 << (s & 63); q.used[s>>6] == 0 {
			q.words &^= 1 << (s >> 6)
		}
	} else {
		q.pool[tail].next = p.next
	}
	p.next, q.free = q.free, i
	q.base = max(q.base, e.at>>slotBits)
	return true
}

func (q *queue) addFar(e event) {
	q.far = append(q.far, e)
	h := q.far
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 4
		if !e.before(&h[up]) {
			break
		}
		h[i] = h[up]
		i = up
	}
	h[i] = e
}

func (q *queue) takeFar(until int64, e *event) bool {
	h := q.far
	if len(h) == 0 || h[0].at > until {
		return false
	}
	*e = h[0]
	q.base = max(q.base, e.at>>slotBits)
	n := len(h) - 1
	last := h[n]
	h = h[:n]
	q.far = h
	i := 0
	for {
		least := 4*i + 1
		if least >= n {
			break
		}
		for c := least + 1; c <= 4*i+4 && c < n; c++ {
			if h[c].before(&h[least]) {
				least = c
			}
		}
		if !h[least].before(&last) {
			break
		}
		h[i] = h[least]
		i = least
	}
	if n > 0 {
		h[i] = last
	}
	return true
}

// remove takes all events of a kind out.
func (q *queue) remove(kind eventKind) {
	base := q.base
	var keep []event
	for e := (event{}); q.take(1<<63-1, &e); {
		if e.kind != kind {
			keep = append(keep, e)
		}
	}
	q.base = base
	for _, e := range keep {
		q.add(e)
	}
}
