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

// confirmer is a sender whose receiver acknowledges later. While it waits, sending nothing looks after what was sent.
type confirmer interface{ waits() bool }

// sink is one receiver: its queue, and the goroutine that empties it.
type sink struct {
	n       *Notifier
	name    string
	spec    Spec // guarded by n.mu
	queue   chan *message
	changed chan struct{} // wakes run after a change of spec

	sent, dropped, failed atomic.Uint64

	// Of run.
	out         sender
	failing     bool
	droppedThen uint64 // dropped when failing began
}

func newSink(n *Notifier, spec Spec) *sink {
	return &sink{n: n, name: spec.Name, spec: spec, queue: make(chan *message, queueLength), changed: make(chan struct{}, 1)}
}

// change takes another spec of the same name: what is queued and counted stays, and whether the receiver fails. The notifier's mutex is held.
func (s *sink) change(spec Spec) {
	was := s.spec
	s.spec = spec
	if was.Severity = spec.Severity; was == spec {
		return // the connection need not know
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// reopen makes the sender that the spec asks for.
func (s *sink) reopen() {
	s.n.mu.Lock()
	spec := s.spec
	s.n.mu.Unlock()
	was := s.out
	c := conn{network: spec.Network, address: spec.Address, confirm: s.n.confirm}
	switch spec.Kind {
	case Journald:
		s.out = &journal{conn: c, facility: spec.Facility}
	case Syslog:
		if old, ok := was.(*syslog); ok {
			if old.network == c.network && old.address == c.address {
				c, was = old.conn, nil
			}
			c.kept = old.kept
		}
		s.out = &syslog{conn: c, facility: spec.Facility}
	case SNMP:
		s.out = &manager{spec: spec, engine: s.n.engine}
	}
	if was != nil {
		was.close()
	}
}

// run sends what is queued until ctx ends.
func (s *sink) run(ctx context.Context) {
	s.reopen()
	defer func() { s.out.close() }()
	settled, unsure := time.NewTimer(time.Hour), time.NewTimer(time.Hour)
	settled.Stop()
	unsure.Stop()
	for {
		var m *message // none: what was sent before is looked after
		select {
		case <-ctx.Done():
			s.leave(ctx, nil)
			return
		case <-s.changed:
			s.reopen()
			continue
		case <-settled.C:
			s.failing = false
			dropped := s.dropped.Load() - s.droppedThen
			s.report(ctx, Report{Reason: fmt.Sprintf("%s can be reached again; %d notifications were dropped", s.name, dropped), Dropped: dropped})
			continue
		case m = <-s.queue:
		case <-unsure.C:
		}
		if !s.deliver(ctx, m) {
			s.leave(ctx, m)
			return
		}
		if s.failing {
			// Well again is what has not failed for a while: a datagram that leaves says little.
			settled.Reset(s.n.settle)
		}
		if c, ok := s.out.(confirmer); ok && c.waits() {
			unsure.Reset(s.n.confirm / 5)
		}
	}
}

// deliver sends m, again and again if it must; false if ctx has ended before.
func (s *sink) deliver(ctx context.Context, m *message) bool {
	one := uint64(1)
	if m == nil {
		one = 0
	}
	for pause := s.n.backoff; ; pause = min(2*pause, maxBackoff) {
		err := s.out.send(ctx, m)
		if err == nil {
			s.sent.Add(one)
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		s.failed.Add(1)
		if !s.failing {
			s.failing, s.droppedThen = true, s.dropped.Load()
			s.report(ctx, Report{Failed: true, Reason: fmt.Sprintf("%s cannot be reached: %v", s.name, err)})
		}
		again := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			again.Stop()
			return false
		case <-s.changed: // which may be the cure
			again.Stop()
			s.reopen()
			pause = s.n.backoff
		case <-again.C:
		}
	}
}

// leave sends m, which ctx has interrupted, and what is still queued, if the receiver is well, within the notifier's last patience.
func (s *sink) leave(ctx context.Context, m *message) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.n.drain)
	defer cancel()
	for {
		switch {
		case m == nil:
		case s.failing || ctx.Err() != nil || s.out.send(ctx, m) != nil:
			s.dropped.Add(1)
		default:
			s.sent.Add(1)
		}
		select {
		case m = <-s.queue:
		default:
			return
		}
	}
}

func (s *sink) report(ctx context.Context, r Report) {
	r.Sink = s.name
	select {
	case s.n.reports <- r:
	case <-ctx.Done():
	}
}
