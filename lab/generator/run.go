// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Run is a generator that sends in bursts; in between its threads wait.
type Run struct {
	senders []*sender
	orders  []chan order
	parts   chan part
	task    errgroup.Group
}

// order tells a thread from when on to measure and until when to send.
type order struct{ from, until time.Time }

// part is what a thread has sent of a burst: in all, and in the measured time, in which it had its processor for cpu.
type part struct {
	all, sent uint64
	took, cpu time.Duration
	err       error
}

// Burst is what a generator has sent in a burst.
type Burst struct {
	// All is how many frames were sent, Sent those of the measured time.
	All, Sent uint64
	// CPU is the processor time of the threads in the measured time, and with it that of all that was done with their frames on their processors.
	CPU time.Duration
	// Had is the part of the measured time in which the threads had their processors: the rest went to other threads, and to whom the host gave it.
	Had float64
}

// Start opens the sockets and starts the threads. Stop must be called.
func Start(cfg Config) (*Run, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	r := &Run{parts: make(chan part, len(cfg.Processors))}
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
		r.orders = append(r.orders, make(chan order, 1))
	}
	for i, s := range r.senders {
		r.task.Go(func() error { return r.serve(s, r.orders[i], cfg.Processors[i]) })
	}
	return r, nil
}

// Burst sends on all processors, as fast as it goes: first for settle, so that caches have what they need, then for the window that is measured. It must not
// be called by two at once.
func (r *Run) Burst(settle, window time.Duration) (Burst, error) {
	from := time.Now().Add(settle)
	for _, c := range r.orders {
		c <- order{from: from, until: from.Add(window)}
	}
	var b Burst
	var took time.Duration
	var errs []error
	for range r.orders {
		p := <-r.parts
		errs = append(errs, p.err)
		b.All, b.Sent, b.CPU, took = b.All+p.all, b.Sent+p.sent, b.CPU+p.cpu, took+p.took
	}
	b.Had = float64(b.CPU) / float64(took)
	return b, errors.Join(errs...)
}

// serve sends on one processor what it is ordered to.
func (r *Run) serve(s *sender, orders <-chan order, processor int) error {
	runtime.LockOSThread() // never unlocked: the thread goes with the goroutine, and its processor with it
	var set unix.CPUSet
	set.Set(processor)
	err := unix.SchedSetaffinity(0, &set)
	if err != nil {
		err = fmt.Errorf("generator: stay on processor %d: %w", processor, err)
	}
	for o := range orders {
		p := part{err: err, took: 1}
		if err == nil {
			p = s.burst(o)
		}
		r.parts <- p
	}
	return err
}

// burst sends as an order says, a batch at the least before the measured time and one in it.
func (s *sender) burst(o order) (p part) {
	began := s.sent.Load()
	until := func(end time.Time) (at time.Time, cpu time.Duration, sent uint64) {
		for {
			if err := s.batch(batch); err != nil {
				p.err = err
				break
			}
			if at = time.Now(); !at.Before(end) {
				break
			}
		}
		var t unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
			p.err = fmt.Errorf("generator: processor time of the thread: %w", err)
		}
		return at, time.Duration(t.Nano()), s.sent.Load()
	}
	from, cpu, sent := until(o.from)
	end, cpuEnd, sentEnd := until(o.until)
	p.all, p.sent, p.took, p.cpu = sentEnd-began, sentEnd-sent, end.Sub(from), cpuEnd-cpu
	return p
}

// Processors is how many processors send.
func (r *Run) Processors() int { return len(r.senders) }

// Sent returns how many frames were sent so far, and how many of them the sender's own device refused.
func (r *Run) Sent() (sent, refused uint64) {
	for _, s := range r.senders {
		sent += s.sent.Load()
		refused += s.refused.Load()
	}
	return sent, refused
}

// Stop ends the run. It must be called once, and not during a burst.
func (r *Run) Stop() error {
	for _, c := range r.orders {
		close(c)
	}
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
