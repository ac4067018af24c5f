// SPDX-License-Identifier: Apache-2.0

package report

import (
	"slices"
	"time"
)

// Add records an event and calls the watchers with it. A zero At becomes now.
func (t *Timeline) Add(e Event) {
	if e.At.IsZero() {
		e.At = time.Now()
	}
	t.mu.Lock()
	t.events = append(t.events, e)
	watch := t.watch
	t.mu.Unlock()
	for _, w := range watch {
		w(e)
	}
}

// Watch calls fn with every later event, from the task that adds it; fn must not wait and must be safe for concurrent use.
func (t *Timeline) Watch(fn func(Event)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watch = append(slices.Clip(t.watch), fn)
}

// Events returns all events so far in order of time; those of the same time stay in the order of their adding.
func (t *Timeline) Events() []Event {
	t.mu.Lock()
	events := slices.Clone(t.events)
	t.mu.Unlock()
	slices.SortStableFunc(events, func(a, b Event) int { return a.At.Compare(b.At) })
	return events
}
