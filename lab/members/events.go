// SPDX-License-Identifier: Apache-2.0

package members

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/internal/control"
)

// Event is what a member told.
type Event struct {
	control.Event
	// On is the member that told it; At is when it happened, with a monotonic reading.
	On string
	At time.Time
}

// OwnChange tells whether the member that told it changed its own state, rather than saw another change.
func (e Event) OwnChange() bool { return e.StateChange() && !strings.HasPrefix(e.Code, "peer-") }

// eventLog keeps all members' events. The zero value is ready to use.
type eventLog struct {
	mu       sync.Mutex
	events   []Event
	watchers []watcher
}

type watcher struct {
	ctx context.Context
	fn  func(Event)
}

func (l *eventLog) watch(ctx context.Context, fn func(Event)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchers = append(l.watchers, watcher{ctx, fn})
}

func (l *eventLog) all() []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events)
}

func (l *eventLog) add(e Event) {
	l.mu.Lock()
	l.events = append(l.events, e)
	l.watchers = slices.DeleteFunc(l.watchers, func(w watcher) bool { return w.ctx.Err() != nil })
	watchers := slices.Clone(l.watchers)
	l.mu.Unlock()
	for _, w := range watchers {
		w.fn(e)
	}
}

// follow reads a member's events until ctx ends, over all its daemon's lives. A daemon numbers its events from 1, so a new
// daemon is known by its first one.
func (l *eventLog) follow(ctx context.Context, m *Member) {
	var pid int
	var seq uint64
	for ctx.Err() == nil {
		if now := m.PID(); now != pid {
			pid, seq = now, 0
		}
		if pid != 0 {
			// Its error is the end of the daemon or of its patience with this reader: both mean to look again.
			_ = m.client.Follow(ctx, seq, func(e control.Event) error {
				if e.Seq > seq || e.Seq == 0 {
					seq = max(seq, e.Seq)
					l.add(Event{Event: e, On: m.name, At: timeOf(e)})
				}
				return nil
			})
		}
		select {
		case <-ctx.Done():
		case <-time.After(pollEvery):
		}
	}
}

// timeOf turns an event's boot time into this process's time. The wall clock may have been stepped meanwhile.
func timeOf(e control.Event) time.Time {
	now := time.Now()
	var ts unix.Timespec
	if e.BootNs == 0 || unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return now
	}
	return now.Add(time.Duration(e.BootNs - ts.Nano()))
}
