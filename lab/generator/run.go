// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Run is a running generator. Its methods are safe for concurrent use.
type Run struct {
	senders []*sender
	threads []atomic.Int32 // their numbers, 0 before they run
	end     atomic.Bool
	task    errgroup.Group
}

// Start begins to send as fast as it goes, until Stop, which must be called.
func Start(cfg Config) (*Run, error) {
	r := &Run{}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	for i := range cfg.Processors {
		var own []Flow
		for k := i; k < len(cfg.Flows); k += len(cfg.Processors) {
			own = append(own, cfg.Flows[k])
		}
		s, err := openSender(cfg, own)
		if err != nil {
			r.close()
			return nil, err
		}
		r.senders = append(r.senders, s)
	}
	r.threads = make([]atomic.Int32, len(r.senders))
	for i, s := range r.senders {
		r.task.Go(func() error { return r.send(s, &r.threads[i], cfg.Processors[i]) })
	}
	return r, nil
}

// send sends on one processor until the end.
func (r *Run) send(s *sender, thread *atomic.Int32, processor int) error {
	runtime.LockOSThread() // never unlocked: the thread goes with the goroutine, and its processor with it
	var set unix.CPUSet
	set.Set(processor)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("generator: stay on processor %d: %w", processor, err)
	}
	thread.Store(int32(unix.Gettid()))
	for !r.end.Load() {
		if err := s.batch(batch); err != nil {
			return err
		}
	}
	return nil
}

// Sent returns how many frames were sent so far, and how many of them the sender's own device refused.
func (r *Run) Sent() (sent, refused uint64) {
	for _, s := range r.senders {
		sent += s.sent.Load()
		refused += s.refused.Load()
	}
	return sent, refused
}

// CPU returns the processor time that the generator's threads have had so far, and with it that of all that was done with their frames
// on their processors. It must not be called after Stop.
func (r *Run) CPU() (time.Duration, error) {
	total := time.Duration(0)
	for i := range r.threads {
		id := r.threads[i].Load()
		if id == 0 {
			continue
		}
		var t unix.Timespec
		if err := unix.ClockGettime(threadClock(id), &t); err != nil {
			return 0, fmt.Errorf("generator: processor time of thread %d: %w", id, err)
		}
		total += time.Duration(t.Nano())
	}
	return total, nil
}

// threadClock is the clock of a thread's processor time: MAKE_THREAD_CPUCLOCK of linux/posix-timers.h, with CPUCLOCK_SCHED.
func threadClock(id int32) int32 { return ^id<<3 | 4 | 2 }

// Stop ends the run. It must be called once.
func (r *Run) Stop() error {
	r.end.Store(true)
	err := r.task.Wait()
	r.close()
	return err
}

func (r *Run) close() {
	for _, s := range r.senders {
		s.close()
	}
}

// Of sending each flow once.
const (
	// calmBatch frames are sent together, calmEvery so often: neighbours are asked for at first, and the queue for them is short.
	calmBatch = 16
	calmEvery = 2 * time.Millisecond
)

// Once sends one frame of each flow, slowly (8000 a second). Config.Processors is not looked at.
func Once(ctx context.Context, cfg Config) error {
	cfg.Processors = []int{0}
	if err := cfg.check(); err != nil {
		return err
	}
	s, err := openSender(cfg, cfg.Flows)
	if err != nil {
		return err
	}
	defer s.close()
	ticker := time.NewTicker(calmEvery)
	defer ticker.Stop()
	for left := len(cfg.Flows); left > 0; {
		before := s.sent.Load()
		if err := s.batch(min(left, calmBatch)); err != nil {
			return err
		}
		left -= int(s.sent.Load() - before)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
	if n := s.refused.Load(); n > 0 {
		return errors.New("generator: the sender's own device refused frames")
	}
	return nil
}
