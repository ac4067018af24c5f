// SPDX-License-Identifier: Apache-2.0

// Package stall watches the host that a laboratory runs on: whether its processors could be had when they were wanted. Members whose timers are milliseconds
// take a host that stands still for a dead peer, and rightly; who reads a timeline must see which it was.
package stall

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/monotonic"
)

const (
	period = 5 * time.Millisecond
	// Least is how late a wake-up is at least to be told: nearly what makes a member of the default profile look dead. The kernel's own work in a
	// laboratory takes less.
	Least = 25 * time.Millisecond
	// priority is below that of everything in the laboratory that has a real-time one: it may wait for us, we must not be what it waits for.
	priority = 1
)

// Watch is a watch over all processors that this process may use.
type Watch struct {
	stopped atomic.Bool
	done    sync.WaitGroup
}

// Start watches until Stop. told is called from the watch's own threads, with the processor, when it was wanted, and for how long it could not be
// had; that is at least Least. Work of higher real-time priority counts, and so do the kernel's own long ones, other guests of the machine, and a
// collection of this process. An error means that nothing is watched.
func Start(told func(processor int, at time.Time, d time.Duration)) (*Watch, error) {
	var may unix.CPUSet
	if err := unix.SchedGetaffinity(0, &may); err != nil {
		return nil, fmt.Errorf("stall: processors of this process: %w", err)
	}
	w := new(Watch)
	ready := make(chan error)
	started := 0
	for cpu := range len(may) * 64 {
		if !may.IsSet(cpu) {
			continue
		}
		started++
		w.done.Go(func() { w.watch(cpu, ready, told) })
	}
	var errs []error
	for range started {
		errs = append(errs, <-ready)
	}
	if err := errors.Join(errs...); err != nil {
		w.Stop()
		return nil, err
	}
	return w, nil
}

// Stop ends the watch and waits for it.
func (w *Watch) Stop() {
	w.stopped.Store(true)
	w.done.Wait()
}

func (w *Watch) watch(cpu int, ready chan<- error, told func(int, time.Time, time.Duration)) {
	runtime.LockOSThread() // never unlocked: the thread is bound and raised, and ends with the task
	err := raise(cpu)
	ready <- err
	if err != nil {
		return
	}
	next := monotonic.Now() + int64(period)
	for !w.stopped.Load() {
		if monotonic.SleepUntil(next) != nil {
			return
		}
		now := monotonic.Now()
		if late := time.Duration(now - next); late >= Least {
			told(cpu, time.Now().Add(-late), late)
		}
		next = now + int64(period)
	}
}

func raise(cpu int) error {
	var one unix.CPUSet
	one.Set(cpu)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return fmt.Errorf("stall: bind to processor %d: %w", cpu, err)
	}
	attr := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: priority}
	if err := unix.SchedSetAttr(0, attr, 0); err != nil {
		return fmt.Errorf("stall: SCHED_FIFO %d: %w (run as root)", priority, err)
	}
	return nil
}
