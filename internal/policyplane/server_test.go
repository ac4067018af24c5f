// SPDX-License-Identifier: Apache-2.0

package policyplane

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/install"
)

// server is management, as far as the test plays it.
type server struct {
	w      *world
	mu     sync.Mutex
	orders Orders
	before policy.Offer      // what was current before the newest commit
	to     map[string]Orders // orders of some members only
	files  map[policy.Digest][]byte
	lines  []*line
	away   bool
	forged bool
}

// line is a member's way to it.
type line struct {
	m      *member
	orders chan Orders

	mu     sync.Mutex
	report Report
}

func (s *server) attach(l *line) {
	s.mu.Lock()
	s.lines = append(s.lines, l)
	s.mu.Unlock()
	s.tell()
}

func (s *server) detach(l *line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.lines {
		if s.lines[i] == l {
			s.lines = append(s.lines[:i:i], s.lines[i+1:]...)
			return
		}
	}
}

// tell gives all that can be reached their orders.
func (s *server) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lines {
		if s.away || !s.w.connected(l.m.name, "management") {
			continue
		}
		o := s.orders
		if own, some := s.to[l.m.name]; some {
			o = own
		}
		select {
		case <-l.orders:
		default:
		}
		l.orders <- o
	}
}

func (s *server) set(f func()) {
	s.mu.Lock()
	f()
	s.mu.Unlock()
	s.tell()
}

// order is what all are to do.
func (s *server) order(number uint64, b *policy.Sealed, p Phase, confirm time.Duration) {
	s.set(func() {
		s.files[b.Head().Digest()] = b.Encode()
		s.orders.Attempt = OrderedAttempt{Number: number, Policy: b.Head().Offer(""), Phase: p, ConfirmWithin: confirm}
		switch o := b.Head().Offer(""); {
		case p == PhaseCommit && s.orders.Current != o:
			s.before, s.orders.Current = s.orders.Current, o
		case p == PhaseRolledBack && s.orders.Current == o:
			s.orders.Current = s.before
		}
		s.to = nil
	})
}

// has is what management has, without an install.
func (s *server) has(b *policy.Sealed) {
	s.set(func() {
		s.files[b.Head().Digest()] = b.Encode()
		s.orders.Current = b.Head().Offer("")
	})
}

func (l *line) Report(r Report) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.report = r
}

func (l *line) last() Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.report
}

func (l *line) Orders() <-chan Orders { return l.orders }

func (l *line) Reachable() (bool, string) {
	s := l.m.w.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away || !s.w.connected(l.m.name, "management") {
		return false, "connection refused"
	}
	return true, ""
}

func (l *line) Fetch(_ context.Context, what policy.Offer) ([]byte, error) {
	if ok, why := l.Reachable(); !ok {
		return nil, errors.New(why)
	}
	s := l.m.w.server
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.files[what.Digest]
	if !ok {
		return nil, errors.New("not found")
	}
	if s.forged {
		f = append([]byte(nil), f...)
		f[len(f)-1] ^= 1
	}
	return f, nil
}

// replied waits until all members' reports have a state of the attempt.
func (w *world) replied(number uint64, s install.State) {
	w.t.Helper()
	w.within(10*time.Second, fmt.Sprintf("attempt %d %v everywhere", number, s), func() bool {
		for _, m := range w.members {
			m.mu.Lock()
			skip, line := m.plane == nil && !m.coming, m.line
			m.mu.Unlock()
			if skip {
				continue
			}
			if a := line.last().Attempt; a.Number != number || a.State != s {
				return false
			}
		}
		return true
	})
}

// install runs one as management does.
func (w *world) install(number uint64, b *policy.Sealed) {
	w.t.Helper()
	w.server.order(number, b, PhasePrepare, time.Minute)
	w.replied(number, install.Prepared)
	w.server.order(number, b, PhaseCommit, time.Minute)
	w.replied(number, install.Committed)
	w.server.order(number, b, PhaseConfirmed, time.Minute)
	w.replied(number, install.Confirmed)
}
