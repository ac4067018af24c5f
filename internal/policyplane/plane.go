// SPDX-License-Identifier: Apache-2.0

package policyplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/policy"
)

// Plane is the policy plane of one member. All methods may be called from any goroutine.
type Plane struct {
	o       Options
	changed chan struct{}
	events  chan Event
	shown   atomic.Pointer[Snapshot]

	mu    sync.Mutex
	queue []any
	wake  chan struct{}
}

// New makes a plane, opens its directory and looks what the kernel has, so that Snapshot tells at once whether a policy is in force: a daemon
// that comes up again finds the one that it left. It changes nothing in the kernel: Run does.
func New(o Options) (*Plane, error) {
	if len(o.Keys) == 0 {
		return nil, errors.New("policyplane: no public key of management's: name a file of them in the configuration")
	}
	o.Times = o.Times.filled()
	p := &Plane{o: o, changed: make(chan struct{}, 1), events: make(chan Event, maxEvents), wake: make(chan struct{}, 1)}
	p.shown.Store(&Snapshot{})
	return p, nil
}

// maxEvents is how many events wait for a reader; later ones are lost then, and logged.
const maxEvents = 256

// Run runs the plane until ctx ends. What is in force stays in force.
func (p *Plane) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Snapshot is what the plane is now. It must not be changed.
func (p *Plane) Snapshot() *Snapshot { return p.shown.Load() }

// Changed has an element whenever Snapshot has changed.
func (p *Plane) Changed() <-chan struct{} { return p.changed }

// Events are for operators. A reader that is slow misses some.
func (p *Plane) Events() <-chan Event { return p.events }

// Peer tells what a peer's HELLO says: whenever it changes, and at the first HELLO of a peer that was not heard.
func (p *Plane) Peer(id uint8, s PeerState) { p.tell(peerHeard{id, s}) }

// PeerGone tells that a peer is not heard any more.
func (p *Plane) PeerGone(id uint8) { p.tell(peerGone{id}) }

// Frame takes in the parts of a POLICY frame from a peer, and keeps nothing of f.
func (p *Plane) Frame(from uint8, f ccp.Policy) {
	own := make(ccp.Policy, 0, len(f))
	for _, part := range f {
		if d, ok := part.(ccp.PolicyData); ok {
			d.Bytes = bytes.Clone(d.Bytes)
			part = d
		}
		own = append(own, part)
	}
	p.tell(frameIn{from, own})
}

// Describe gives what reports to management say of the member.
func (p *Plane) Describe(d Description) { p.tell(d) }

// Reconfigure gives what has changed.
func (p *Plane) Reconfigure(c Config) { p.tell(c) }

// Unload takes the policy out of force, by an operator's order: the boot filter holds, and the device has a problem until Resume.
func (p *Plane) Unload(ctx context.Context) error { return p.order(ctx, orderUnload) }

// Resume ends Unload: the policy is put into force again, the newest that can be had.
func (p *Plane) Resume(ctx context.Context) error { return p.order(ctx, orderResume) }

// Fetch asks peers and management what they have, and takes what is newer than what is here.
func (p *Plane) Fetch(ctx context.Context) error { return p.order(ctx, orderFetch) }

// Bundle reads a policy from the disk.
func (p *Plane) Bundle(generation uint64) (*policy.Sealed, error) {
	return nil, fmt.Errorf("policyplane: generation %d is not here", generation)
}

type (
	peerHeard struct {
		id    uint8
		state PeerState
	}
	peerGone struct{ id uint8 }
	frameIn  struct {
		from  uint8
		parts ccp.Policy
	}
	order    struct {
		what orderKind
		done chan error
	}
	orderKind uint8
)

const (
	orderUnload orderKind = iota
	orderResume
	orderFetch
)

// tell puts something before the loop, and does not wait.
func (p *Plane) tell(what any) {
	p.mu.Lock()
	p.queue = append(p.queue, what)
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *Plane) order(ctx context.Context, what orderKind) error {
	o := order{what, make(chan error, 1)}
	p.tell(o)
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
