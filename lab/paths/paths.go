// SPDX-License-Identifier: Apache-2.0

package paths

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-project/holdfast/lab/tap"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// Of the taps.
const (
	// readEvery is how often they are read; times are the kernel's.
	readEvery = 5 * time.Millisecond
	// buffer is of each tap's socket: a second of all that a busy member sends.
	buffer = 32 << 20
	// maxFlows bounds the memory.
	maxFlows = 1_000_000
)

// Flow is one direction of a connection as the end station that it goes to sees it. The ports of an ICMP echo are its identity.
type Flow struct {
	Protocol uint8
	From, To netip.AddrPort
}

// Watch is a running observation. Its methods are safe for concurrent use.
type Watch struct {
	names  []string // of the members; numbers below are from 1, 0 is nobody
	cables []cable
	stop   context.CancelFunc
	task   errgroup.Group

	mu     sync.Mutex
	latest map[Flow]last
	marked window
	missed uint
}

// cable is a member's on one segment.
type cable struct {
	*tap.Tap
	member uint8
}

// last is who forwarded a flow last.
type last struct {
	member uint8
	at     time.Time
}

// Start begins to watch all members of a topology, on all segments that have end stations. It goes on until Stop or until ctx ends;
// Stop must be called in any case.
func Start(ctx context.Context, lab *topology.Lab) (*Watch, error) {
	w := &Watch{latest: map[Flow]last{}}
	w.marked = newWindow()
	filter, err := toStations()
	if err != nil {
		return nil, err
	}
	for i, n := range lab.OfKind(topology.Member) {
		w.names = append(w.names, n.Name)
		for _, p := range n.Ports {
			if lab.Spec.Segments[p.Slot].Hosts == topology.NoHosts {
				continue
			}
			t, err := tap.Open(lab.Switch.NS.Do, p.SwitchPort, tap.Options{Filter: filter, Incoming: true, Buffer: buffer})
			if err != nil {
				return nil, errors.Join(err, w.close())
			}
			w.cables = append(w.cables, cable{t, uint8(i + 1)})
		}
	}
	ctx, w.stop = context.WithCancel(ctx)
	w.task.Go(func() error { return tap.Follow(ctx, readEvery, w.read) })
	return w, nil
}

// read files what has come.
func (w *Watch) read() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var buf [snap]byte
	for _, c := range w.cables {
		n, err := c.Drain(buf[:], func(f tap.Frame) {
			if s, ok := parse(f.Data); ok {
				w.file(c.member, s, f.At)
			}
		})
		if err != nil {
			return fmt.Errorf("paths: %w", err)
		}
		w.missed += n
	}
	return nil
}

func (w *Watch) file(member uint8, s sight, at time.Time) {
	if l, known := w.latest[s.flow]; !known && len(w.latest) < maxFlows || known && !at.Before(l.at) {
		w.latest[s.flow] = last{member, at}
	}
	if at.After(w.marked.from) {
		w.marked.file(member, s)
	}
}

// Latest tells who forwarded a flow last, "" if nobody did, and when.
func (w *Watch) Latest(f Flow) (member string, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.latest[f]
	return w.name(l.member), l.at
}

func (w *Watch) name(member uint8) string {
	if member == 0 {
		return ""
	}
	return w.names[member-1]
}

// Mark begins to count anew.
func (w *Watch) Mark() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.marked = newWindow()
	w.missed = 0
}

// Report tells what was forwarded since the last Mark.
func (w *Watch) Report() Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.marked.report(w.names)
	r.Missed = w.missed
	return r
}

// Stop ends the observation. It must be called once.
func (w *Watch) Stop() error {
	w.stop()
	return errors.Join(w.task.Wait(), w.close())
}

func (w *Watch) close() error {
	var taps []*tap.Tap
	for _, c := range w.cables {
		taps = append(taps, c.Tap)
	}
	return tap.CloseAll(taps...)
}
