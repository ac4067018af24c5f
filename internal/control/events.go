// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"crypto/rand"
	"sync"
	"time"
)

// Events is the bounded log of the events of one run of a member's daemon. Publishing never waits: a reader that falls further behind than the log is long is
// told how many it has missed. Safe for concurrent use.
type Events struct {
	run     string // tells this log from those before it
	mu      sync.Mutex
	ring    []Event
	next    uint64        // sequence number of the next event; the first is 1
	changed chan struct{} // closed and replaced by Publish
	missed  uint64
}

// NewEvents returns a log that keeps the last n events.
func NewEvents(n int) *Events {
	return &Events{run: rand.Text(), ring: make([]Event, max(n, 1)), next: 1, changed: make(chan struct{})}
}

// Run identifies this log: sequence numbers count within it.
func (l *Events) Run() string { return l.run }

// Publish appends e, sets its Seq and, if it has none, its Time, and returns it.
func (l *Events) Publish(e Event) Event {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	e.Seq = l.next
	l.ring[e.Seq%uint64(len(l.ring))] = e
	l.next++
	close(l.changed)
	l.changed = make(chan struct{})
	return e
}

// Since returns the kept events with a sequence number above seq; all of them if none has reached seq yet, which must then be that of
// another run. If some above it are no longer kept, the first event returned has
// the code "overrun" and says how many.
func (l *Events) Since(seq uint64) []Event {
	events, _ := l.since(seq)
	return events
}

// Next is Since, but waits until there is something or ctx ends.
func (l *Events) Next(ctx context.Context, seq uint64) ([]Event, error) {
	for {
		events, changed := l.since(seq)
		if len(events) > 0 {
			return events, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Last returns the sequence number of the newest event, 0 before the first.
func (l *Events) Last() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next - 1
}

// Missed returns how many events readers have missed because they were slow.
func (l *Events) Missed() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.missed
}

func (l *Events) since(seq uint64) ([]Event, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := uint64(1)
	if kept := uint64(len(l.ring)); l.next > kept {
		first = l.next - kept
	}
	if seq >= l.next { // a number of an earlier run, of which nothing is kept: the counting began again
		seq = 0
	}
	var events []Event
	if seq+1 < first {
		lost := first - seq - 1
		// Asking from 0 means "whatever is kept", not "everything since the start".
		if seq > 0 {
			l.missed += lost
			at := l.ring[first%uint64(len(l.ring))]
			events = append(events, Event{Seq: first - 1, Time: at.Time, BootNs: at.BootNs, Code: CodeOverrun, Number: NumberOverrun, Severity: "warning", Lost: lost,
				Reason: "the reader was slower than the events"})
		}
		seq = first - 1
	}
	for n := seq + 1; n < l.next; n++ {
		events = append(events, l.ring[n%uint64(len(l.ring))])
	}
	return events, l.changed
}
