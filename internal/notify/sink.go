// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// queueLength bounds what waits for one receiver.
const queueLength = 1024

// maxBackoff is the longest pause between two attempts.
const maxBackoff = 30 * time.Second

// sender speaks one receiver's protocol. One goroutine uses it.
type sender interface {
	// send hands one message over, within patience.
	send(context.Context, *message) error
	close()
}

// sink is one receiver: its queue, and the goroutine that empties it.
type sink struct {
	n     *Notifier
	spec  Spec
	out   sender
	queue chan *message

	sent, dropped, failed atomic.Uint64

	// Of run.
	failing     bool
	droppedThen uint64 // dropped when failing began
}

func newSink(n *Notifier, spec Spec) *sink {
	s := &sink{n: n, spec: spec, queue: make(chan *message, queueLength)}
	c := conn{network: spec.Network, address: spec.Address}
	switch spec.Kind {
	case Journald:
		s.out = &journal{conn: c, facility: spec.Facility}
	case Syslog:
		s.out = &syslog{conn: c, facility: spec.Facility}
	case SNMP:
		s.out = &manager{spec: spec, engine: n.engine}
	}
	return s
}

// run sends what is queued until ctx ends.
func (s *sink) run(ctx context.Context) {
	defer s.out.close()
	settled := time.NewTimer(time.Hour)
	settled.Stop()
	for {
		select {
		case <-ctx.Done():
			s.leave(ctx)
			return
		case m := <-s.queue:
			if !s.deliver(ctx, m) {
				s.leave(ctx)
				return
			}
			if s.failing {
				// Well again is what has not failed for a while: a datagram that leaves says little.
				settled.Reset(s.n.settle)
			}
		case <-settled.C:
			s.failing = false
			dropped := s.dropped.Load() - s.droppedThen
			s.report(ctx, Report{Reason: fmt.Sprintf("%s can be reached again; %d notifications were dropped", s.spec.Name, dropped), Dropped: dropped})
		}
	}
}

// deliver sends m, again and again if it must; false if ctx has ended before.
func (s *sink) deliver(ctx context.Context, m *message) bool {
	for pause := s.n.backoff; ; pause = min(2*pause, maxBackoff) {
		err := s.out.send(ctx, m)
		if err == nil {
			s.sent.Add(1)
			return true
		}
		if ctx.Err() != nil {
			s.dropped.Add(1)
			return false
		}
		s.failed.Add(1)
		if !s.failing {
			s.failing, s.droppedThen = true, s.dropped.Load()
			s.report(ctx, Report{Failed: true, Reason: fmt.Sprintf("%s cannot be reached: %v", s.spec.Name, err)})
		}
		again := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			again.Stop()
			s.dropped.Add(1)
			return false
		case <-again.C:
		}
	}
}

// leave sends what is still queued, if the receiver is well, within the notifier's last patience.
func (s *sink) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.n.drain)
	defer cancel()
	for {
		select {
		case m := <-s.queue:
			if s.failing || ctx.Err() != nil || s.out.send(ctx, m) != nil {
				s.dropped.Add(1)
				continue
			}
			s.sent.Add(1)
		default:
			return
		}
	}
}

func (s *sink) report(ctx context.Context, r Report) {
	r.Sink = s.spec.Name
	select {
	case s.n.reports <- r:
	case <-ctx.Done():
	}
}
