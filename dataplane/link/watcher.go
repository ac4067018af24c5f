// SPDX-License-Identifier: Apache-2.0

package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Event is LinkChanged, AddressChanged or Listed.
type Event interface{ event() }

// State is an interface as the kernel sees it.
type State struct {
	Index int
	Name  string
	// AdminUp: the operator wants it up. Carrier: the lower layer is up and (802.1X) not waiting for admission.
	AdminUp, Carrier bool
	MAC              [6]byte
	// MTU is what a frame may hold behind the Ethernet header.
	MTU int
	// Received: some frame has arrived since the carrier came (or since boot, when it was there at the first look). A
	// switch that still listens for loops sends its own frames, which count.
	Received bool
	// RxPackets is the interface's own counter.
	RxPackets uint64
	// Kind is the kernel's name for what it is ("bond", "vlan"; "device" for hardware), Parent the device that it is a VLAN of,
	// Master the one that it is a link or port of; 0 for none.
	Kind           string
	Parent, Master int
	// Unused: a link of a bond that the bond's own monitor does not find up.
	Unused bool
	// Bond is the bond that it is, or is a VLAN on. Query, which looks at one device only, leaves it out.
	Bond Bond
}

// Bond is how many links of a bond there are. Without a Name there is no bond.
type Bond struct {
	Name string
	// Up links have carrier, are administratively up, and are found up by the bond's monitor.
	Up, Links int
}

// LinkChanged says that an interface has appeared, changed or gone.
//
//nolint:revive // link.Changed would not say that the other event is about addresses
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

// Implementation constants.
const (
	// receivedPoll is how often interfaces that have received nothing yet are looked at: counters raise no events. One that has been looked at
	// for receivedSoon is as likely one that never receives, and is looked at every receivedSeldom.
	receivedPoll   = 50 * time.Millisecond
	receivedSoon   = time.Minute
	receivedSeldom = time.Second
	// resyncPause keeps a failing subscription from becoming a busy loop.
	resyncPause = 100 * time.Millisecond
	// receiveBuffer holds the kernel's messages while the reader is busy.
	receiveBuffer = 1 << 20
)

// Watcher reports changes of interfaces and addresses.
type Watcher struct {
	log    *slog.Logger
	events chan Event
	view   *view
}

// NewWatcher returns a Watcher that reports nothing until Serve runs. log may be nil.
func NewWatcher(log *slog.Logger) *Watcher {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Watcher{log: log, events: make(chan Event, 256), view: newView()}
}

// Events delivers what exists, then Listed, then changes, each once; those of links and those of addresses are in the
// order of the kernel's messages, but come by sockets of their own. The
// reader must keep up: the Watcher waits for it, and the kernel drops what its socket cannot hold, which costs a new listing.
func (w *Watcher) Events() <-chan Event { return w.events }

// Serve watches until ctx ends. It subscribes in the network namespace of the calling thread; in a process with more than
// one, lock the goroutine to its thread. When the subscription breaks it lists everything anew and reports the difference.
func (w *Watcher) Serve(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := w.session(ctx); ctx.Err() == nil {
			w.log.Warn("interface events were lost, listing anew", "reason", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(resyncPause):
		}
	}
	return nil
}

// session subscribes, lists, and reports until something breaks. Subscribing comes before listing, so that no change falls
// between the two; what the listing already showed is not reported twice.
func (w *Watcher) session(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	links, addrs := make(chan netlink.LinkUpdate, 64), make(chan netlink.AddrUpdate, 64)
	done := make(chan struct{})
	var drained sync.WaitGroup
	defer drained.Wait()
	defer close(done)
	broken := func(err error) { cancel(fmt.Errorf("netlink subscription: %w", err)) }

	err := netlink.LinkSubscribeWithOptions(links, done, netlink.LinkSubscribeOptions{
		ErrorCallback: broken, ReceiveBufferSize: receiveBuffer})
	if err != nil {
		return fmt.Errorf("watch interfaces: %w", err)
	}
	defer drained.Go(func() { drain(links) })
	err = netlink.AddrSubscribeWithOptions(addrs, done, netlink.AddrSubscribeOptions{
		ErrorCallback: broken, ReceiveBufferSize: receiveBuffer})
	if err != nil {
		return fmt.Errorf("watch addresses: %w", err)
	}
	defer drained.Go(func() { drain(addrs) })
	if err := w.list(ctx); err != nil {
		return err
	}
	return w.follow(ctx, links, addrs)
}

// drain lets the subscription's goroutine end: it may be waiting for a reader.
func drain[T any](ch <-chan T) {
	for range ch { //nolint:revive // emptied on purpose
	}
}

// list reports the difference between what exists and what was reported.
func (w *Watcher) list(ctx context.Context) error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list addresses: %w", err)
	}
	states := make([]State, 0, len(links))
	for _, l := range links {
		states = append(states, stateOf(l))
	}
	known := make([]AddressChanged, 0, len(addrs))
	for _, a := range addrs {
		if p, ok := prefixOf(a.IPNet); ok {
			known = append(known, AddressChanged{Index: a.LinkIndex, Prefix: p, Tentative: tentative(a.Flags)})
		}
	}
	for _, e := range w.view.replace(states, known) {
		if err := w.report(ctx, e); err != nil {
			return err
		}
	}
	return w.report(ctx, Listed{})
}

func (w *Watcher) follow(ctx context.Context, links <-chan netlink.LinkUpdate, addrs <-chan netlink.AddrUpdate) error {
	look := time.NewTimer(time.Hour)
	look.Stop()
	defer look.Stop()
	var looks lookout
	for {
		if wait := looks.wait(w.view.silent()); wait > 0 {
			look.Reset(wait)
		}
		var events []Event
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case u, open := <-links:
			if !open {
				return errEnded(ctx)
			}
			if u.Family == unix.AF_UNSPEC { // what a bridge says of its port has the same types, and less in it
				events = w.view.link(stateOf(u.Link), u.Header.Type == unix.RTM_DELLINK)
			}
		case u, open := <-addrs:
			if !open {
				return errEnded(ctx)
			}
			if p, ok := prefixOf(&u.LinkAddress); ok {
				events = w.view.address(AddressChanged{Index: u.LinkIndex, Prefix: p, Gone: !u.NewAddr, Tentative: tentative(u.Flags)})
			}
		case <-look.C:
			looks.looked()
			for _, index := range w.view.silent() {
				if s, err := Query(index); err == nil {
					events = append(events, w.view.link(s, false)...)
				}
			}
		}
		for _, e := range events {
			if err := w.report(ctx, e); err != nil {
				return err
			}
		}
	}
}

// errEnded is why a subscription's channel was closed.
func errEnded(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return errors.New("netlink subscription: ended")
}

func (w *Watcher) report(ctx context.Context, e Event) error {
	select {
	case w.events <- e:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Query asks the kernel about one interface now; Received is whether it has ever received. The kernel may hold back the
// notice of a lost carrier for up to a second when the link flaps; this does not.
func Query(index int) (State, error) {
	l, err := netlink.LinkByIndex(index)
	if err != nil {
		return State{}, fmt.Errorf("interface %d: %w", index, err)
	}
	return stateOf(l), nil
}

func stateOf(l netlink.Link) State {
	a := l.Attrs()
	s := State{
		Index:   a.Index,
		Name:    a.Name,
		MTU:     a.MTU,
		AdminUp: a.RawFlags&unix.IFF_UP != 0,
		Carrier: a.RawFlags&unix.IFF_LOWER_UP != 0 && a.OperState != netlink.OperDormant,
	}
	copy(s.MAC[:], a.HardwareAddr)
	s.Kind, s.Master = l.Type(), a.MasterIndex
	if s.Kind == kindVLAN { // a veth's other end is a parent too, and may be in another namespace
		s.Parent = a.ParentIndex
	}
	if b, is := a.Slave.(*netlink.BondSlave); is {
		s.Unused = b.MiiStatus != netlink.BondLinkUp
	}
	if a.Statistics != nil {
		s.RxPackets = a.Statistics.RxPackets
	}
	s.Received = s.RxPackets > 0
	return s
}

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	addr, ok := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(addr.Unmap(), bits), ok
}

func tentative(flags int) bool {
	return flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0 && flags&unix.IFA_F_OPTIMISTIC == 0
}
