// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// ErrLost says that the kernel had more events than the buffer held and dropped some. Those still in the buffer come with the next
// Reads; until the last of them is read the kernel drops further ones. What was lost is not known: compare with a dump.
var ErrLost = errors.New("conntrack: events were lost: the buffer of the event socket was full")

// ListenOptions say which events to listen to.
type ListenOptions struct {
	// Buffer is the receive buffer's size in bytes, set beyond net.core.rmem_max; 0 means 32 MiB. The kernel takes about 1 KB of it
	// for each waiting event.
	Buffer int
	// Ignore are port ids whose doings are not reported: those of the sockets by which this member itself writes the table.
	Ignore []uint32
	// Services are those of record.Rules, all of them and in their order: of connections that are never copied the kernel reports
	// nothing.
	Services []record.Service
	// Expectations says whether events of expectations are wanted too.
	Expectations bool
	// Kinds are the events wanted at first; 0 means All. See Hear.
	Kinds Kinds
}

// Kinds is a set of kinds of events.
type Kinds uint8

// The kinds of events, of connections and of expectations alike.
const (
	// Begun: it is new.
	Begun Kinds = 1 << iota
	// Changed: its state, mark, labels or helper changed.
	Changed
	// Ended: it was deleted or has expired.
	Ended

	// All of them.
	All = Begun | Changed | Ended
)

// DefaultBuffer is the receive buffer of an event socket unless told otherwise.
const DefaultBuffer = 32 << 20

// Events is a socket that hears of changes of the connection table. Read may be called by one goroutine at a time, everything else
// at any time.
//
// The kernel sends events without waiting for their reader (NETLINK_BROADCAST_ERROR is not set): a full buffer loses events and never
// delays traffic. See docs/decisions/009-what-conntrack-takes.md.
type Events struct {
	file *os.File
	raw  syscall.RawConn
	port uint32

	waiter *waiter

	expectations bool
	partial      atomic.Bool // the services are not in the filter
	hearing      sync.Mutex
	kinds        Kinds // those that are heard

	batch *Batch                // of the Read under way
	read  func(fd uintptr) bool // tryRead, kept so that reading allocates nothing
	err   error
	count struct {
		received, lost, truncated atomic.Uint64
	}
}

// EventStats are counts since Listen.
type EventStats struct {
	// Received counts messages, Overruns how often Read returned ErrLost, Truncated messages that were longer than a batch's slot
	// (each such Read returned ErrLost too).
	Received, Overruns, Truncated uint64
	// Dropped counts events that the kernel could not queue, by its own count.
	Dropped uint64
	// Partial says that the services were too many for the kernel's filter.
	Partial bool
	// Queued and Size are the bytes of the buffer in use and there.
	Queued, Size int
}

// Listen opens a socket that hears events from now on. Only what happens later is reported: dump the table after it.
func Listen(o ListenOptions) (*Events, error) {
	e, err := listen(o)
	if err != nil {
		return nil, fmt.Errorf("conntrack: listen to events: %w", err)
	}
	return e, nil
}

func listen(o ListenOptions) (_ *Events, err error) {
	if o.Buffer == 0 {
		o.Buffer = DefaultBuffer
	}
	// The kernel doubles what it is given for its own bookkeeping; here the number is what it accounts.
	fd, port, err := dial(o.Buffer/2, 0)
	if err != nil {
		return nil, err
	}
	// One that blocks is not given to the runtime's poller: see waiter.
	if err := unix.SetNonblock(fd, false); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("mode: %w", err)
	}
	file := os.NewFile(uintptr(fd), "conntrack events")
	waiter, err := newWaiter()
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	defer func() {
		if err != nil {
			waiter.close()
			_ = file.Close()
		}
	}()
	// The filter is there before the first event can be.
	whole, err := install(fd, o.Ignore, o.Services)
	if err != nil {
		return nil, err
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("poll: %w", err)
	}
	e := &Events{file: file, raw: raw, waiter: waiter, port: port, expectations: o.Expectations}
	e.read = e.tryRead
	e.partial.Store(!whole)
	if o.Kinds == 0 {
		o.Kinds = All
	}
	if err := e.hear(fd, o.Kinds); err != nil {
		return nil, err
	}
	return e, nil
}

// groups are the multicast groups of nfnetlink by kind: of connections and of expectations.
var groups = map[Kinds][2]int{
	Begun:   {unix.NFNLGRP_CONNTRACK_NEW, unix.NFNLGRP_CONNTRACK_EXP_NEW},
	Changed: {unix.NFNLGRP_CONNTRACK_UPDATE, unix.NFNLGRP_CONNTRACK_EXP_UPDATE},
	Ended:   {unix.NFNLGRP_CONNTRACK_DESTROY, unix.NFNLGRP_CONNTRACK_EXP_DESTROY},
}

// Hear sets the kinds of events that are heard from now on. The kernel makes an event only if somebody hears its kind, and then before it
// asks the filter: a copy that hears what it does itself, only to have the filter refuse it, takes half as long again for each record.
func (e *Events) Hear(k Kinds) error {
	return e.control(func(fd int) error { return e.hear(fd, k) })
}

func (e *Events) hear(fd int, want Kinds) error {
	e.hearing.Lock()
	defer e.hearing.Unlock()
	is := e.kinds
	for kind, g := range groups {
		option := unix.NETLINK_ADD_MEMBERSHIP
		if (is^want)&kind == 0 {
			continue
		} else if is&kind != 0 {
			option = unix.NETLINK_DROP_MEMBERSHIP
		}
		for i, group := range g {
			if i == 1 && !e.expectations {
				continue
			}
			if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, option, group); err != nil {
				return fmt.Errorf("conntrack: join or leave group %d of nfnetlink: %w", group, err)
			}
		}
		e.kinds ^= kind
	}
	return nil
}

// Read waits for events and puts those that are there into b. ErrLost says that others were lost, and may come together with events
// in b; os.ErrClosed and os.ErrDeadlineExceeded come with none. It allocates nothing.
func (e *Events) Read(b *Batch) error {
	e.batch = b
	b.n, b.truncated = 0, 0
	if err := e.waiter.state(); err != nil {
		return err
	}
	if err := e.raw.Read(e.read); err != nil {
		return os.ErrClosed // its own word for it is none that errors.Is knows
	}
	e.count.received.Add(uint64(b.n))
	switch {
	case errors.Is(e.err, os.ErrClosed), errors.Is(e.err, os.ErrDeadlineExceeded):
		return e.err
	case errors.Is(e.err, unix.ENOBUFS):
		e.count.lost.Add(1)
		return ErrLost
	case e.err != nil:
		return fmt.Errorf("conntrack: read events: %w", e.err)
	case b.truncated > 0:
		e.count.lost.Add(1)
		e.count.truncated.Add(uint64(b.truncated))
		return ErrLost
	}
	return nil
}

// tryRead reads as soon as there is something to say. It is done then, as syscall.RawConn.Read wants to know.
func (e *Events) tryRead(fd uintptr) bool {
	for {
		e.err = e.batch.receive(int(fd))
		if !errors.Is(e.err, unix.EAGAIN) {
			return true
		}
		if e.err = e.waiter.wait(int(fd)); e.err != nil {
			return true
		}
	}
}

// SetReadDeadline sets until when Read waits; the zero time is for ever. A Read that is waiting already is told too.
func (e *Events) SetReadDeadline(t time.Time) error {
	// Its descriptors stay open while this is under way.
	return e.control(func(int) error {
		e.waiter.setDeadline(t)
		return nil
	})
}

// SetFilter replaces the ignored port ids and the services of ListenOptions. No event in between is missed. Services that are too many for a
// filter are left out of it (EventStats.Partial): their events have to be judged anyway, and only cost more.
func (e *Events) SetFilter(ignore []uint32, services []record.Service) error {
	return e.control(func(fd int) error {
		whole, err := install(fd, ignore, services)
		if err != nil {
			return fmt.Errorf("conntrack: filter events: %w", err)
		}
		e.partial.Store(!whole)
		return nil
	})
}

// Stats returns the counts and the buffer's use.
func (e *Events) Stats() (EventStats, error) {
	s := EventStats{Received: e.count.received.Load(), Overruns: e.count.lost.Load(), Truncated: e.count.truncated.Load(), Partial: e.partial.Load()}
	err := e.control(func(fd int) error {
		m, err := memory(fd)
		s.Dropped, s.Queued, s.Size = uint64(m[skMemDrops]), int(m[skMemReceived]), int(m[skMemReceive])
		return err
	})
	return s, err
}

// Close closes the socket; a Read that is waiting returns os.ErrClosed.
func (e *Events) Close() error {
	e.waiter.close()
	return e.file.Close()
}

func (e *Events) control(f func(fd int) error) error {
	var err error
	if closed := e.raw.Control(func(fd uintptr) { err = f(int(fd)) }); closed != nil {
		return os.ErrClosed
	}
	return err
}
