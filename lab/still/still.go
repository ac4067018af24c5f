// SPDX-License-Identifier: Apache-2.0

package still

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Of the looking.
const (
	// every is how often a thread wakes on each processor.
	every = 2 * time.Millisecond
	// least is how late it must be for a span: a member's probes leave every 10 ms, and it is not missed before three have gone.
	least = 15 * time.Millisecond
	// priority is the threads', of SCHED_FIFO: above the members' pulses.
	priority = 90
)

// Span is a time in which a processor stood still.
type Span struct {
	From, To time.Time
	CPU      int
}

// Watch is a running observation. Its methods are safe for concurrent use.
type Watch struct {
	stop context.CancelFunc
	task errgroup.Group
	told func(Span)

	mu    sync.Mutex
	spans []Span
}

// Start looks on all processors that this process may use, until Stop, and calls told, unless it is nil, with every span when it is over. Stop
// must be called.
func Start(told func(Span)) (*Watch, error) {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return nil, fmt.Errorf("processors of this process: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	w := &Watch{stop: stop, told: told}
	for cpu, left := 0, all.Count(); left > 0; cpu++ {
		if all.IsSet(cpu) {
			left--
			w.task.Go(func() error { return w.look(ctx, cpu) })
		}
	}
	return w, nil
}

// look sleeps on a processor and notes when it was woken late.
func (w *Watch) look(ctx context.Context, cpu int) error {
	runtime.LockOSThread() // never unlocked: the thread ends with the task
	var only unix.CPUSet
	only.Set(cpu)
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		return fmt.Errorf("stay on processor %d: %w", cpu, err)
	}
	attr := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: priority}
	if err := unix.SchedSetAttr(0, attr, 0); err != nil {
		return fmt.Errorf("raise a thread to SCHED_FIFO %d: %w", priority, err)
	}
	for ctx.Err() == nil {
		due := time.Now().Add(every)
		ts := unix.NsecToTimespec(int64(every))
		if err := unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &ts, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("sleep on processor %d: %w", cpu, err)
		}
		if now := time.Now(); now.Sub(due) >= least {
			w.note(Span{due, now, cpu})
		}
	}
	return nil
}

func (w *Watch) note(s Span) {
	w.mu.Lock()
	w.spans = append(w.spans, s)
	w.mu.Unlock()
	if w.told != nil {
		w.told(s)
	}
}

// Near tells whether the host stood still at a time, or had within the time before that.
func (w *Watch) Near(at time.Time, before time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.spans {
		if !at.Before(s.From) && at.Sub(s.To) <= before {
			return true
		}
	}
	return false
}

// Stop ends the observation.
func (w *Watch) Stop() error {
	w.stop()
	return w.task.Wait()
}
