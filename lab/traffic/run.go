// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// settle is how long after the last send a packet may still arrive before it is called lost.
const settle = 300 * time.Millisecond

// flow is one direction of one family.
type flow struct {
	name    string
	id      uint16
	family  int
	forward bool
	out     *sender
	in      *receiver
	// sent is written by the sending thread, got by the receiving task.
	sent, got log
	errors    log // sequence numbers that the stack refused
	corrupt   atomic.Int64
	skipped   log // deadlines left out; at is when, seq is how many
}

// Run is running traffic. Its methods are safe for concurrent use.
type Run struct {
	cfg   Config
	id    uint32
	start time.Time
	flows []*flow
	stop  context.CancelFunc // ends the senders
	drain context.CancelFunc // ends the receivers
	send  *errgroup.Group
	recv  *errgroup.Group
	// ended is when the senders ended, drained up to when the receivers have read; both in ns since start, 0 while not.
	ended, drained atomic.Int64
	settled        sync.Once
}

// Start opens the sockets and begins to send. The traffic runs until Stop or until ctx ends; Stop or Close must be called in any case.
func Start(ctx context.Context, cfg Config) (*Run, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	r := &Run{cfg: cfg, id: rand.Uint32(), start: time.Now()}
	if err := r.open(); err != nil {
		r.close()
		return nil, err
	}
	sending, stop := context.WithCancel(ctx)
	receiving, drain := context.WithCancel(context.WithoutCancel(ctx))
	r.stop, r.drain = stop, drain
	r.send, r.recv = new(errgroup.Group), new(errgroup.Group)
	r.recv.Go(func() error { return r.receive(receiving) })
	for _, forward := range []bool{true, false} {
		if flows := r.direction(forward); len(flows) > 0 {
			r.send.Go(func() error { return r.pace(sending, flows) })
		}
	}
	return r, nil
}

// Start time of the run; all times in reports have a monotonic reading that compares with it.
func (r *Run) Start() time.Time { return r.start }

// Flows returns the flows' names, indexed by the flow number in their packets.
func (r *Run) Flows() []string {
	names := make([]string, len(r.flows))
	for i, f := range r.flows {
		names[i] = f.name
	}
	return names
}

// Stop ends the sending, waits until the last packets have arrived, and returns what became of the whole run, with gaps above
// threshold (0: three sending intervals). The run can be judged by Window afterwards. A second Stop does nothing new.
func (r *Run) Stop(threshold time.Duration) (Report, error) {
	r.stop()
	err := r.send.Wait()
	r.settled.Do(func() { <-time.After(settle + drainEvery) })
	err = errors.Join(err, r.Close())
	return r.Window(r.start, r.start.Add(time.Duration(r.ended.Load())), threshold), err
}

// Close ends everything at once, for whom it no longer matters whether the last packets arrive. After Stop it does nothing new.
func (r *Run) Close() error {
	r.stop()
	err := r.send.Wait()
	r.drain()
	err = errors.Join(err, r.recv.Wait())
	r.close()
	return err
}

// Progress returns each flow as it is now.
func (r *Run) Progress() []Progress {
	out := make([]Progress, 0, len(r.flows))
	for _, f := range r.flows {
		p := Progress{Flow: f.name, Sent: uint64(f.sent.n.Load()), Received: uint64(f.got.n.Load())}
		if v := f.got.view(); v.n > 0 {
			p.LastArrival = r.start.Add(time.Duration(v.at(v.n - 1).at))
		}
		out = append(out, p)
	}
	return out
}

// open makes the flows and their sockets: one socket per end and family, used for both directions.
func (r *Run) open() error {
	for _, family := range []int{4, 6} {
		a, b := r.cfg.A.addr(family), r.cfg.B.addr(family)
		if !a.IsValid() {
			continue
		}
		fdA, err := openSocket(r.cfg.A.In, a, r.cfg.Port)
		if err != nil {
			return fmt.Errorf("traffic: socket of %s: %w", r.cfg.A.Name, err)
		}
		endA := &end{fd: fdA, addr: a}
		r.flows = append(r.flows, r.newFlow(r.cfg.A, r.cfg.B, family, true))
		f := r.flows[len(r.flows)-1]
		f.out = newSender(endA, b, r.cfg)
		fdB, err := openSocket(r.cfg.B.In, b, r.cfg.Port)
		if err != nil {
			return fmt.Errorf("traffic: socket of %s: %w", r.cfg.B.Name, err)
		}
		endB := &end{fd: fdB, addr: b}
		f.in = newReceiver(endB)
		if r.cfg.OneWay {
			continue
		}
		back := r.newFlow(r.cfg.B, r.cfg.A, family, false)
		back.out, back.in = newSender(endB, a, r.cfg), newReceiver(endA)
		r.flows = append(r.flows, back)
	}
	for i, f := range r.flows {
		f.id = uint16(i)
	}
	return nil
}

func (r *Run) newFlow(from, to Endpoint, family int, forward bool) *flow {
	return &flow{name: fmt.Sprintf("%s>%s v%d", from.Name, to.Name, family), family: family, forward: forward}
}

func (r *Run) direction(forward bool) []*flow {
	var out []*flow
	for _, f := range r.flows {
		if f.forward == forward {
			out = append(out, f)
		}
	}
	return out
}

func (r *Run) close() {
	for _, f := range r.flows {
		if f.out != nil {
			f.out.end.close()
		}
		if f.in != nil {
			f.in.end.close()
		}
	}
}
