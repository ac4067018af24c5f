// SPDX-License-Identifier: Apache-2.0

package reset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sync/errgroup"

	"github.com/holdfast-project/holdfast/lab/tap"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// readEvery is how often the taps are read; times are the kernel's.
const readEvery = 5 * time.Millisecond

// sameFor is how long after a reset one with the same numbers is the same, passed on.
const sameFor = time.Second

// maxSeen bounds the memory.
const maxSeen = 100_000

// Reset is a reset as it was first seen.
type Reset struct {
	At time.Time `json:"at"`
	// By is the node that sent it, Gateway whether that is a member, MAC what it sent it from, Segment where.
	By      string           `json:"by"`
	Gateway bool             `json:"gateway"`
	MAC     net.HardwareAddr `json:"mac"`
	Segment string           `json:"segment"`
	From    netip.AddrPort   `json:"from"`
	To      netip.AddrPort   `json:"to"`
}

// String tells it in a line.
func (r Reset) String() string {
	return fmt.Sprintf("%s on %s from %s: %s > %s", r.By, r.Segment, r.MAC, r.From, r.To)
}

// seen is a reset at one cable.
type seen struct {
	Reset
	numbers [2]uint32 // sequence and acknowledgement
}

// Watch is a running observation. Its methods are safe for concurrent use.
type Watch struct {
	cables []cable
	stop   context.CancelFunc
	task   errgroup.Group

	mu     sync.Mutex
	seen   []seen
	missed uint
}

type cable struct {
	*tap.Tap
	port    *topology.Port
	gateway bool
}

// Start begins to watch what every node sends. It goes on until Stop or until ctx ends; Stop must be called in any case.
func Start(ctx context.Context, lab *topology.Lab) (*Watch, error) {
	filter, err := bpf.Assemble(filter())
	if err != nil {
		return nil, fmt.Errorf("reset: filter: %w", err)
	}
	w := new(Watch)
	ctx, w.stop = context.WithCancel(ctx)
	for _, n := range lab.Nodes {
		for _, p := range n.Ports {
			t, err := tap.Open(lab.Switch.NS.Do, p.SwitchPort, tap.Options{Filter: filter, Incoming: true})
			if err != nil {
				return nil, errors.Join(fmt.Errorf("reset: %w", err), w.Stop())
			}
			w.cables = append(w.cables, cable{t, p, n.Kind == topology.Member})
		}
	}
	w.task.Go(func() error { return tap.Follow(ctx, readEvery, w.collect) })
	return w, nil
}

func (w *Watch) collect() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var buf [256]byte
	for _, c := range w.cables {
		n, err := c.Drain(buf[:], func(f tap.Frame) {
			s, ok := parse(f.Data)
			if !ok || len(w.seen) >= maxSeen {
				return
			}
			s.At, s.By, s.Gateway, s.Segment = f.At, c.port.Node, c.gateway, c.port.Segment
			w.seen = append(w.seen, s)
		})
		if err != nil {
			return fmt.Errorf("reset: %w", err)
		}
		w.missed += n
	}
	return nil
}

// Window lists the resets that were first sent from from until to, each once, and tells how many frames were not seen.
func (w *Watch) Window(from, to time.Time) (resets []Reset, missed uint) {
	w.mu.Lock()
	all := slices.Clone(w.seen)
	missed = w.missed
	w.mu.Unlock()
	for _, s := range firsts(all) {
		if !s.At.Before(from) && s.At.Before(to) {
			resets = append(resets, s)
		}
	}
	return resets, missed
}

// firsts keeps of the sightings of each reset the first, in order of time.
func firsts(all []seen) []Reset {
	slices.SortStableFunc(all, func(a, b seen) int { return cmp.Compare(a.At.UnixNano(), b.At.UnixNano()) })
	var kept []seen
	var out []Reset
	for _, s := range all {
		again := false
		for i := len(kept) - 1; i >= 0 && !again && s.At.Sub(kept[i].At) <= sameFor; i-- {
			again = s.passedOn(kept[i])
		}
		if !again {
			kept, out = append(kept, s), append(out, s.Reset)
		}
	}
	return out
}

// passedOn tells whether s can be the earlier one, forwarded: with the same numbers, or, where a helper changed them in one
// direction, between the same ports and with one address the same.
func (s seen) passedOn(earlier seen) bool {
	if s.numbers == earlier.numbers {
		return true
	}
	half := s.numbers[0] == earlier.numbers[0] || s.numbers[1] == earlier.numbers[1]
	return half && s.From.Port() == earlier.From.Port() && s.To.Port() == earlier.To.Port() &&
		(s.From.Addr() == earlier.From.Addr() || s.To.Addr() == earlier.To.Addr())
}

// Stop ends the observation; Window still answers. A second Stop does nothing.
func (w *Watch) Stop() error {
	w.stop()
	err := w.task.Wait()
	var taps []*tap.Tap
	for _, c := range w.cables {
		taps = append(taps, c.Tap)
	}
	return errors.Join(err, tap.CloseAll(taps...))
}
