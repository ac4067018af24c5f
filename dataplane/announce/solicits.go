// SPDX-License-Identifier: Apache-2.0

package announce

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// ear hears router solicitations on one interface.
type ear struct {
	index   int
	conn    *packet.Conn
	group   int // an IPv6 socket that is a member of the all-routers group
	started bool
	failing atomic.Bool // reading it gave an error that does not pass by itself
	closed  chan struct{}
}

// readAgain is how long after an error an ear is read again.
const readAgain = 100 * time.Millisecond

// packetOtherHost is the packet type of a frame that is not for this host, such as one of a VLAN without a device.
const packetOtherHost = 3

// solicitFilter passes unfragmented router solicitations without extension headers (others are not valid anyway).
var solicitFilter = []bpf.Instruction{
	bpf.LoadExtension{Num: bpf.ExtType},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: packetOtherHost, SkipTrue: 5},
	bpf.LoadAbsolute{Off: 14 + 6, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_ICMPV6, SkipTrue: 3},
	bpf.LoadAbsolute{Off: 14 + 40, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 133, SkipTrue: 1},
	bpf.RetConstant{Val: 1500},
	bpf.RetConstant{Val: 0},
}

// openEar listens on an interface and joins the all-routers group there, so that snooping switches pass solicitations on.
func openEar(index int) (*ear, error) {
	program, err := bpf.Assemble(solicitFilter)
	if err != nil {
		return nil, fmt.Errorf("router solicitations: filter: %w", err)
	}
	conn, err := packet.Listen(&net.Interface{Index: index}, packet.Raw, etherTypeIPv6, &packet.Config{Filter: program})
	if err != nil {
		return nil, fmt.Errorf("router solicitations: %w", err)
	}
	e := &ear{index: index, conn: conn, group: -1, closed: make(chan struct{})}
	if e.group, err = joinAllRouters(index); err != nil {
		e.close()
		return nil, fmt.Errorf("router solicitations: join ff02::2: %w", err)
	}
	return e, nil
}

func joinAllRouters(index int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	m := &unix.IPv6Mreq{Multiaddr: [16]byte{0: 0xff, 1: 2, 15: 2}, Interface: uint32(index)}
	if err := unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, m); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// hears reports whether the ear is worth keeping.
func (e *ear) hears() bool {
	raw, err := e.conn.SyscallConn()
	if err != nil || e.failing.Load() {
		return false
	}
	bound := false
	err = raw.Control(func(fd uintptr) { bound = boundTo(int(fd), e.index) })
	return err == nil && bound
}

func (e *ear) close() {
	close(e.closed)
	_ = e.conn.Close()
	if e.group >= 0 {
		_ = unix.Close(e.group)
	}
}

// listen opens an ear on every interface that sends router advertisements and closes the others; the lock is held.
// Solicitations in the VLANs of an interface (Set.VLAN) are not heard: there the periodic advertisements must do.
func (a *Announcer) listen() error {
	var errs []error
	ears := make(map[int]*ear)
	for _, s := range a.stations {
		index := s.set.Index
		if s.advert == nil || s.set.VLAN != 0 || ears[index] != nil {
			continue
		}
		if e := a.ears[index]; e != nil && e.hears() {
			ears[index] = e
			continue
		}
		e, err := openEar(index)
		if err != nil {
			errs = append(errs, fmt.Errorf("announce on %s: %w", s.set.Name, err))
			continue
		}
		ears[index] = e
	}
	for index, e := range a.ears {
		if ears[index] != e {
			e.close()
		}
	}
	a.ears = ears
	return errors.Join(errs...)
}

// startEars runs a reader for every new ear.
func (a *Announcer) startEars(running *sync.WaitGroup) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.ears {
		if !e.started {
			e.started = true
			running.Go(func() { a.hear(e) })
		}
	}
}

// hear reads solicitations until the ear is closed. After an error it goes on.
func (a *Announcer) hear(e *ear) {
	buf := make([]byte, 1600)
	for {
		n, _, err := e.conn.ReadFrom(buf)
		if errors.Is(err, unix.ENETDOWN) {
			continue // reported once when the interface goes down; reading resumes when it is up again
		}
		if err != nil {
			select {
			case <-e.closed: // the error of a closed socket has no name that it could be told by
				return
			default:
			}
			if !e.failing.Swap(true) {
				a.log.Warn("router solicitations are not heard at present", "interface", e.index, "reason", err)
			}
			select {
			case <-e.closed:
				return
			case <-time.After(readAgain):
			}
			continue
		}
		if e.failing.Load() {
			e.failing.Store(false)
		}
		rs, err := parseSolicit(buf[:n])
		if err != nil {
			continue
		}
		a.counters.solicits.Add(1)
		a.answer(e.index, rs)
	}
}

// answer answers a solicitation: a host with an address gets its own advertisement at once, which RFC 4861 section
// 6.2.6 allows and which does not wake the segment; one without gets the next multicast one sooner.
func (a *Announcer) answer(index int, rs solicit) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.stations {
		if !s.serving || s.set.Index != index || s.advert == nil || s.set.VLAN != 0 {
			continue
		}
		if rs.source != unspecified6 && s.replies.allow(a.now()) {
			if b, err := s.set.routerAdvert(rs.source, rs.mac); err == nil {
				a.send(s, frame{kindRA, b})
			}
			continue
		}
		s.advertiser.solicited(a.now(), rand.Float64())
		a.signal()
	}
}

// bucket limits unicast answers, so that solicitations from forged sources cannot make the server a flood.
type bucket struct {
	tokens float64
	last   int64
}

// Unicast answers per second and at once.
const (
	repliesPerSecond = 100
	repliesBurst     = 100
)

// allow takes a token at time now (ns); the zero bucket is full.
func (b *bucket) allow(now int64) bool {
	if b.last == 0 {
		b.tokens = repliesBurst
	} else {
		b.tokens = min(repliesBurst, b.tokens+float64(now-b.last)/float64(time.Second)*repliesPerSecond)
	}
	b.last = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
