// SPDX-License-Identifier: Apache-2.0

package neighbour

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"
)

// Implementation constants.
const (
	// idle is how long sockets stay open after the last question, but for those that are in the way of the traffic; see ear.
	idle = 10 * time.Second
	// sweep is how often idle sockets are looked for.
	sweep = time.Second
	// macMemory is how long the MAC of a neighbour that answered may be used for an echo.
	macMemory = 30 * time.Second
)

var (
	errClosed = errors.New("neighbour: Serve has ended: make a new Asker")
	errFamily = errors.New("not an IPv4 or IPv6 address")
)

// Asker sends questions and collects answers. Its methods are safe for concurrent use.
type Asker struct {
	log     *slog.Logger
	answers chan Answer
	wake    chan struct{}
	learned *memory

	mu           sync.Mutex
	segments     map[int]*segment
	table        Table
	questions    map[question]*open
	macs         map[place]seen
	fresh        []*ear // opened, not yet read by Serve
	closed       bool
	dropped      uint64
	id, sequence uint16 // of echo requests
}

// question identifies an open question.
type question struct {
	kind  Kind
	index int
	addr  netip.Addr
}

// place is an address on an interface.
type place struct {
	index int
	addr  netip.Addr
}

// open is the state of a question. Times are CLOCK_BOOTTIME in ns.
type open struct {
	asked, until int64
	wait         time.Duration
	answered     map[[6]byte]bool
	// then is an echo request to send when this Neighbour question is answered.
	then *echo
	// sent is when each echo request left, by its sequence number.
	sent map[uint16]int64
}

// echo is an echo request that waits for its target's MAC; to is where one went already, to a MAC that answered before.
type echo struct {
	wait time.Duration
	to   [6]byte
}

// seen is a MAC that answered for a place.
type seen struct {
	mac [6]byte
	at  int64
}

// New returns an Asker without interfaces. log may be nil.
func New(log *slog.Logger) *Asker {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Asker{
		log: log, answers: make(chan Answer, 256), wake: make(chan struct{}, 1), learned: newMemory(), id: uint16(rand.Uint32()),
		segments: make(map[int]*segment), questions: make(map[question]*open), macs: make(map[place]seen),
	}
}

// Configure names the interfaces and the owners of MACs; it replaces the former configuration. Questions on interfaces that
// are no longer named, or have changed, are forgotten.
func (a *Asker) Configure(ifaces []Iface, table Table) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return errClosed
	}
	a.table = make(Table, len(table))
	for mac, owner := range table {
		a.table[mac] = owner
	}
	segments := make(map[int]*segment, len(ifaces))
	for _, in := range ifaces {
		if old := a.segments[in.Index]; old != nil && old.Same(in) {
			segments[in.Index] = old
			continue
		}
		segments[in.Index] = &segment{Iface: in}
	}
	for index, s := range a.segments {
		if segments[index] != s {
			s.close()
			a.forget(index)
		}
	}
	a.segments = segments
	return nil
}

// forget drops the questions on an interface, and what was learned there.
func (a *Asker) forget(index int) {
	a.learned.forget(index)
	for q := range a.questions {
		if q.index == index {
			delete(a.questions, q)
		}
	}
}

// Ask sends one question on an interface and returns; the answer, or Nobody after wait, comes on Answers. Asking
// again while a question for the same (kind, interface, address) is open sends another frame, extends its time, and has
// those who answer once more reported once more. An Echo is a Neighbour question too, and both are answered: where the MAC
// answered lately the echo request leaves at once, else when the MAC answers; if nobody does, the Echo finds nobody.
// The first question on an interface opens sockets in the network namespace of the calling thread.
func (a *Asker) Ask(kind Kind, index int, addr netip.Addr, wait time.Duration) error {
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() {
		return fmt.Errorf("ask %v on interface %d: %w", addr, index, errFamily)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return errClosed
	}
	s := a.segments[index]
	if s == nil {
		return fmt.Errorf("ask %v on interface %d: not a configured interface", addr, index)
	}
	if err := a.ask(s, kind, addr, wait); err != nil {
		return fmt.Errorf("ask %v on %s: %w", addr, s.Name, err)
	}
	return nil
}

// ask is Ask for a segment; the lock is held.
func (a *Asker) ask(s *segment, kind Kind, addr netip.Addr, wait time.Duration) error {
	if kind != VIP && kind != Neighbour && kind != Echo {
		return fmt.Errorf("kind %d: not a kind of question", kind)
	}
	now := boottime()
	if kind == Echo {
		return a.askEcho(s, addr, wait, now)
	}
	b, err := s.resolution(addr)
	return a.post(s, question{kind, s.Index, addr}, wait, now, b, err)
}

// askEcho asks for the MAC, and for the echo: at once of a MAC that answered lately, so that nothing waits for a round trip more, and
// of any other one that answers now. It listens for the echo's answer already: sockets are opened in Ask only, whose thread is in
// the right network namespace.
func (a *Asker) askEcho(s *segment, addr netip.Addr, wait time.Duration, now int64) error {
	if !s.source(addr).IsValid() {
		return errNoOwner
	}
	if addr.Is4() {
		if _, err := a.ear(s, etherTypeIPv4, now); err != nil {
			return err
		}
	}
	q := question{Neighbour, s.Index, addr}
	b, err := s.resolution(addr)
	if err := a.post(s, q, wait, now, b, err); err != nil {
		return err
	}
	then := &echo{wait: wait}
	a.questions[q].then = then
	if m, known := a.macs[place{s.Index, addr}]; known && now-m.at <= int64(macMemory) {
		then.to = m.mac
		return a.sendEcho(s, addr, m.mac, wait, now)
	}
	return nil
}

// sendEcho sends an echo request to a MAC.
func (a *Asker) sendEcho(s *segment, addr netip.Addr, mac [6]byte, wait time.Duration, now int64) error {
	a.sequence++
	b, err := s.echoRequest(addr, mac, a.id, a.sequence)
	q := question{Echo, s.Index, addr}
	if o := a.questions[q]; o != nil {
		maps.DeleteFunc(o.sent, func(_ uint16, at int64) bool { return now-at > int64(macMemory) })
		o.sent[a.sequence] = now
	} else if err == nil {
		a.questions[q] = &open{asked: now, answered: make(map[[6]byte]bool), sent: map[uint16]int64{a.sequence: now}}
	}
	return a.post(s, q, wait, now, b, err)
}

// post listens, notes the question and sends its frame, in this order, so that no answer can be missed. It passes on the
// error of building the frame.
func (a *Asker) post(s *segment, q question, wait time.Duration, now int64, frame []byte, err error) error {
	if err != nil {
		return err
	}
	e, err := a.ear(s, uint16(frame[12])<<8|uint16(frame[13]), now)
	if err != nil {
		return err
	}
	s.used = now
	o := a.questions[q]
	if o == nil {
		o = &open{asked: now, answered: make(map[[6]byte]bool)}
		a.questions[q] = o
	}
	clear(o.answered) // who asks again wants to know whether it is still so
	o.wait = wait
	o.until = now + int64(wait)
	a.signal()
	return e.send(frame)
}

// ear returns the segment's ear for an EtherType; Serve will read a new one.
func (a *Asker) ear(s *segment, etherType uint16, now int64) (*ear, error) {
	e, opened, err := s.listen(etherType, now)
	if opened {
		a.fresh = append(a.fresh, e)
	}
	return e, err
}

// Answers is where answers arrive. When nobody reads, answers beyond the channel's room are dropped.
func (a *Asker) Answers() <-chan Answer { return a.answers }

// Serve reads answers until ctx ends, then closes the sockets.
func (a *Asker) Serve(ctx context.Context) error {
	var readers sync.WaitGroup
	defer readers.Wait()
	defer a.close()
	timer := time.NewTimer(sweep)
	defer timer.Stop()
	for {
		timer.Reset(a.tend(&readers))
		select {
		case <-ctx.Done():
			return nil
		case <-a.wake:
		case <-timer.C:
		}
	}
}

// tend starts readers of new ears, ends questions whose time is over, closes idle sockets, and returns when to look again.
func (a *Asker) tend(readers *sync.WaitGroup) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.fresh {
		readers.Go(func() { a.read(e) })
	}
	a.fresh = nil
	now := boottime()
	next := sweep
	for q, o := range a.questions {
		if now < o.until {
			next = min(next, time.Duration(o.until-now))
			continue
		}
		delete(a.questions, q)
		if len(o.answered) == 0 {
			a.deliver(Answer{Kind: q.kind, Index: q.index, Addr: q.addr, By: Nobody, At: now, RTT: o.wait})
			if o.then != nil && o.then.to == [6]byte{} { // else the echo request has left, and ends by itself
				a.deliver(Answer{Kind: Echo, Index: q.index, Addr: q.addr, By: Nobody, At: now, RTT: o.then.wait})
			}
		}
	}
	for p, m := range a.macs {
		if now-m.at > int64(macMemory) {
			delete(a.macs, p)
		}
	}
	for _, s := range a.segments {
		for _, e := range s.hush(a.needed(s.Index)) {
			readers.Go(e.close)
		}
		if len(a.questions) == 0 && now-s.used > int64(idle) {
			s.close()
		}
	}
	return next
}

// needed lists the EtherTypes that open questions on an interface are answered with; the lock is held.
func (a *Asker) needed(index int) map[uint16]bool {
	types := make(map[uint16]bool)
	for q, o := range a.questions {
		switch {
		case q.index != index:
		case q.addr.Is6():
			types[etherTypeIPv6] = true
		case q.kind == Echo || o.then != nil: // the echo is still to be sent
			types[etherTypeIPv4] = true
		}
	}
	return types
}

func (a *Asker) signal() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

func (a *Asker) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	for _, s := range a.segments {
		s.close()
	}
	for _, e := range a.fresh {
		e.close()
	}
	a.fresh = nil
	clear(a.questions)
}
