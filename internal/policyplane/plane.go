// SPDX-License-Identifier: Apache-2.0

package policyplane

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/nft"
	"github.com/holdfast-project/holdfast/policy/store"
	"github.com/holdfast-project/holdfast/policy/transfer"
)

// Plane is the policy plane of one member. All methods may be called from any goroutine.
type Plane struct {
	o       Options
	loop    *loop
	changed chan struct{}
	events  chan Event
	shown   atomic.Pointer[Snapshot]

	mu     sync.Mutex
	queue  []any
	frames int // in queue
	ran    bool
	wake   chan struct{}

	// crash, in tests, ends everything just before what it is told of; what others do after that does nothing.
	crash   func(point string) bool
	crashed atomic.Bool
	stop    context.CancelFunc
}

// New makes a plane, opens its directory and looks what the kernel has, so that Snapshot tells at once whether a policy is in force: a daemon
// that comes up again finds the one that it left. It changes nothing in the kernel: Run does.
func New(o Options) (*Plane, error) {
	if len(o.Keys) == 0 {
		return nil, errors.New("policyplane: no public key of management's: name a file of them in the configuration")
	}
	o.Times = o.Times.filled()
	if o.Clock == nil {
		o.Clock = boottime
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Send == nil {
		o.Send = func(uint8, ccp.Policy) {}
	}
	p := &Plane{o: o, changed: make(chan struct{}, 1), events: make(chan Event, maxEvents), wake: make(chan struct{}, 1)}
	p.shown.Store(&Snapshot{})
	l, err := open(p)
	if err != nil {
		return nil, err
	}
	p.loop = l
	p.shown.Store(l.snapshot())
	return p, nil
}

const (
	// maxEvents is how many events wait for a reader; later ones are lost then, and logged.
	maxEvents = 256
	// maxFrames is how many frames wait for the loop; later ones are lost then, as on the wire.
	maxFrames = 1024
)

// Run runs the plane until ctx ends. What is in force stays in force. A plane runs once.
func (p *Plane) Run(ctx context.Context) error {
	p.mu.Lock()
	ran := p.ran
	p.ran = true
	p.mu.Unlock()
	if ran {
		return errors.New("policyplane: it ran already: make another one")
	}
	ctx, p.stop = context.WithCancel(ctx)
	defer p.stop()
	group, ctx := errgroup.WithContext(ctx)
	p.loop.group, p.loop.ctx = group, ctx
	group.Go(p.loop.run)
	return group.Wait()
}

// at is called before everything that must survive a crash around it; false: this is where a test ends the process.
func (p *Plane) at(point string) bool {
	if p.crash == nil {
		return true
	}
	if !p.crashed.Load() && p.crash(point) {
		p.crashed.Store(true)
		p.stop()
	}
	return !p.crashed.Load()
}

// open makes the loop and looks at the disk and the kernel.
func open(p *Plane) (*loop, error) {
	l := &loop{
		p: p, o: &p.o, cfg: p.o.Config, log: p.o.Log, boot: bootID(),
		kernel: nft.New(nft.Options{Cluster: p.o.Cluster, Namespace: p.o.Namespace, Command: p.o.Command}),
		peers:  map[uint8]PeerState{}, alarms: map[string]alarm{}, told: map[policy.Digest]bool{},
		answers: transfer.NewAnswerer(transfer.Config{}),
		fetches: fetches{jobs: map[policy.Digest]*job{}, from: map[policy.Digest]string{}},
	}
	l.setMembers()
	var bad []store.Bad
	var err error
	if l.disk, bad, err = openDisk(p.o.Dir, p.o.Cluster, p.o.Keys); err != nil {
		return nil, err
	}
	l.unusable(bad)
	if l.state, err = readDurable(p.o.Dir); errors.Is(err, errState) {
		l.count.Damaged++
		l.event(Event{Kind: Damaged, Text: err.Error()})
		err = l.disk.setAside()
	}
	if err != nil {
		return nil, err
	}
	return l, l.adopt()
}

// adopt takes what the kernel has for what is in force: nothing else knows better.
func (l *loop) adopt() error {
	all, err := l.kernel.State()
	if err != nil {
		return fmt.Errorf("policyplane: %w", err)
	}
	if i := slices.IndexFunc(all, func(g nft.Loaded) bool { return g.Awake }); i >= 0 {
		l.hold(offerOf(all[i], true), false, nil)
	}
	if l.filter, err = l.kernel.HasBootFilter(); err != nil {
		return fmt.Errorf("policyplane: %w", err)
	}
	if good, staged := l.disk.entries(); len(good)+len(staged) > 0 {
		for _, e := range slices.Concat(good, staged) {
			l.state.Highest = max(l.state.Highest, e.Generation)
		}
	}
	l.state.Highest = max(l.state.Highest, l.inForce().Generation)
	// An operator's order to have no policy ends with the boot, or with a policy that somebody put into force all the same.
	l.unloaded = l.state.Unloaded == l.boot && l.held == nil
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
	p.mu.Lock()
	full := p.frames >= maxFrames
	if !full {
		p.frames++
	}
	p.mu.Unlock()
	if !full {
		p.tell(frameIn{from, own})
	}
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

// Load puts a policy's file into force, by an operator's order, on a member that has no management: it must verify, and be newer than what is
// here. Peers take it from this member then. The error wraps one of policy's, ErrInstalling or ErrDeclined if it is refused.
func (p *Plane) Load(ctx context.Context, file []byte) (policy.Offer, error) {
	o := loadOrder{file, make(chan loaded, 1)}
	p.tell(o)
	select {
	case r := <-o.done:
		return r.what, r.err
	case <-ctx.Done():
		return policy.Offer{}, ctx.Err()
	}
}

// Trusts reports, by an error for operators, that other keys of management's would leave this member without the policy in force, or without the
// one that a rollback goes to: they would not verify any more.
func (p *Plane) Trusts(keys []ed25519.PublicKey) error {
	s := p.Snapshot()
	for _, g := range []*Generation{s.InForce, s.Previous} {
		if g == nil || g.Key == "" {
			continue
		}
		if !slices.ContainsFunc(keys, func(k ed25519.PublicKey) bool { return policy.Fingerprint(k) == g.Key }) {
			return fmt.Errorf("generation %d, in force or next to be gone back to, is signed by key %s, which would not be known any more: install policies that another key has signed first",
				g.Generation, g.Key)
		}
	}
	return nil
}

// Bundle reads a policy of the snapshot's history from the disk. The error wraps store.ErrNone if it is not there.
func (p *Plane) Bundle(generation uint64) (*policy.Sealed, error) {
	for _, g := range p.Snapshot().History {
		if g.Generation == generation {
			return p.loop.disk.get(g.Offer)
		}
	}
	return nil, fmt.Errorf("generation %d: %w; see `holdfast policy history`", generation, store.ErrNone)
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
	order struct {
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
