// SPDX-License-Identifier: Apache-2.0

package sim

// event is something due at a time. Events of the same time come in the order in which they were made.
type event struct {
	at    int64
	seq   uint32
	kind  eventKind
	node  uint8
	epoch uint16 // of the node's daemon or pulse; the event is void if it has changed
	frame int32  // index of a frame, or of a fault
}

type eventKind uint8

const (
	evFrame eventKind = iota // a frame arrives
	evTick                   // the pulse's probe interval
	evCheck                  // the pulse looks at its deadlines
	evMain                   // the main loop takes its inbox
	evWake                   // the machine's WakeAt
	evFault                  // a planned fault begins or ends
	evStart                  // a daemon starts
)

func (a *event) before(b *event) bool { return a.at < b.at || a.at == b.at && a.seq < b.seq }

// push adds an event to the heap.
func (w *World) push(e event) {
	w.seq++
	e.seq = w.seq
	w.heap = append(w.heap, e)
	h := w.heap
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 4
		if !h[i].before(&h[up]) {
			break
		}
		h[i], h[up] = h[up], h[i]
		i = up
	}
}

// pop takes the next event.
func (w *World) pop() event {
	h := w.heap
	top := h[0]
	last := len(h) - 1
	h[0] = h[last]
	h = h[:last]
	for i := 0; ; {
		least := i
		for c := 4*i + 1; c <= 4*i+4 && c < last; c++ {
			if h[c].before(&h[least]) {
				least = c
			}
		}
		if least == i {
			break
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
	w.heap = h
	return top
}
