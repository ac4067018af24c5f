// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"bytes"
	"context"
	"crypto/rand"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/internal/monitor/verdict"
)

const (
	// tries is how many echo requests a target gets within the timeout: a single lost frame is no news.
	tries = 3
	// solRaw and icmpFilter set which ICMP messages a raw socket takes (linux/icmp.h).
	solRaw, icmpFilter = 255, 1
	echoReply4         = 0
	echoReply6         = 129
)

// ping checks that hosts answer echo requests.
type ping struct {
	polled
	Ping
	timeout time.Duration
}

// asking is one check's sockets and what has come.
type asking struct {
	token    []byte
	id       int
	answered map[netip.Addr]bool
	conns    map[bool]*net.IPConn // by "is IPv4"
}

func (p *ping) check(ctx context.Context) verdict.Result {
	a := asking{token: make([]byte, 16), answered: map[netip.Addr]bool{}, conns: map[bool]*net.IPConn{}}
	_, _ = rand.Read(a.token) // never fails
	a.id = int(a.token[0])<<8 | int(a.token[1])
	defer func() {
		for _, c := range a.conns {
			_ = c.Close()
		}
	}()
	reasons := map[netip.Addr]string{}
	for _, t := range p.Targets {
		if err := p.open(ctx, &a, t); err != nil {
			reasons[t] = inWords(ctx, err)
		}
	}
	for n := range tries {
		waiting := false
		for _, t := range p.Targets {
			if a.answered[t] || a.conns[t.Is4()] == nil {
				continue
			}
			waiting = true
			if err := a.ask(t, n); err != nil {
				reasons[t] = inWords(ctx, err)
			}
		}
		if !waiting || ctx.Err() != nil {
			break
		}
		a.read(ctx, p, time.Now().Add(p.timeout/tries))
		if p.enough(a.answered) {
			break
		}
	}
	targets := make([]verdict.Target, len(p.Targets))
	for i, t := range p.Targets {
		targets[i].Name = t.String()
		switch {
		case a.answered[t]:
		case reasons[t] != "":
			targets[i].Reason = reasons[t]
		default:
			targets[i].Reason = "no echo reply"
		}
	}
	return verdict.Of(p.All, targets)
}

// enough reports whether nothing can change the verdict any more.
func (p *ping) enough(answered map[netip.Addr]bool) bool {
	return len(answered) == len(p.Targets) || !p.All && len(answered) > 0
}

// open opens the socket for a target's family.
func (p *ping) open(ctx context.Context, a *asking, to netip.Addr) error {
	from := p.From.own(to)
	if !from.IsValid() {
		if err := p.From.refuse(to); err != nil {
			return err
		}
	}
	if a.conns[to.Is4()] != nil {
		return nil
	}
	network := "ip6:58"
	if to.Is4() {
		network = "ip4:1"
	}
	local := ""
	if from.IsValid() {
		local = from.String()
	}
	conf := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		if err := p.From.toDevice(c); err != nil {
			return err
		}
		var set error
		err := c.Control(func(fd uintptr) { set = onlyReplies(int(fd), to.Is4()) })
		if err != nil {
			return err
		}
		return set
	}}
	c, err := conf.ListenPacket(ctx, network, local)
	if err != nil {
		return err
	}
	a.conns[to.Is4()] = c.(*net.IPConn) //nolint:errcheck // what an "ip" network gives
	return nil
}

// onlyReplies keeps all other ICMP of the host away from a socket.
func onlyReplies(fd int, is4 bool) error {
	if is4 {
		return unix.SetsockoptInt(fd, solRaw, icmpFilter, ^(1 << echoReply4))
	}
	f := unix.ICMPv6Filter{}
	for i := range f.Data {
		f.Data[i] = ^uint32(0)
	}
	f.Data[echoReply6/32] &^= 1 << (echoReply6 % 32)
	return unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &f)
}

func (a *asking) ask(to netip.Addr, sequence int) error {
	m := icmp.Message{Type: ipv6.ICMPTypeEchoRequest, Body: &icmp.Echo{ID: a.id, Seq: sequence, Data: a.token}}
	if to.Is4() {
		m.Type = ipv4.ICMPTypeEcho
	}
	b, err := m.Marshal(nil) // of ICMPv6 the kernel makes the checksum
	if err != nil {
		return err
	}
	_, err = a.conns[to.Is4()].WriteToIP(b, &net.IPAddr{IP: to.AsSlice()})
	return err
}

// read takes answers until a time, until there are enough or until ctx ends: of both families at once, since a silent one must not use
// up the time of the other.
func (a *asking) read(ctx context.Context, p *ping, until time.Time) {
	for _, c := range a.conns {
		_ = c.SetReadDeadline(until)
	}
	hurry := func() {
		for _, c := range a.conns {
			_ = c.SetReadDeadline(time.Unix(1, 0))
		}
	}
	defer context.AfterFunc(ctx, hurry)()
	var mu sync.Mutex // around answered
	var readers sync.WaitGroup
	for is4, c := range a.conns {
		readers.Go(func() {
			buf := make([]byte, 1500)
			for a.waits(p, is4, &mu) {
				n, from, err := c.ReadFromIP(buf)
				if err != nil {
					return
				}
				addr, ok := netip.AddrFromSlice(from.IP)
				if !ok || !a.ours(buf[:n], is4) {
					continue
				}
				mu.Lock()
				enough := a.take(p, addr.Unmap())
				mu.Unlock()
				if enough {
					hurry()
				}
			}
		})
	}
	readers.Wait()
}

// take notes who answered, and reports whether that is enough. Some answer from an address that was not asked, as for an anycast one: that says
// nothing of a target, and must not end the wait for those that may answer still.
func (a *asking) take(p *ping, from netip.Addr) bool {
	if slices.Contains(p.Targets, from) {
		a.answered[from] = true
	}
	return p.enough(a.answered)
}

// waits reports whether an answer of a family may still change the verdict.
func (a *asking) waits(p *ping, is4 bool, mu *sync.Mutex) bool {
	mu.Lock()
	defer mu.Unlock()
	return !p.enough(a.answered) && !a.all(p, is4)
}

// all reports whether every target of a family has answered.
func (a *asking) all(p *ping, is4 bool) bool {
	for _, t := range p.Targets {
		if t.Is4() == is4 && !a.answered[t] {
			return false
		}
	}
	return true
}

func (a *asking) ours(b []byte, is4 bool) bool {
	protocol := unix.IPPROTO_ICMPV6
	if is4 {
		protocol = unix.IPPROTO_ICMP
	}
	m, err := icmp.ParseMessage(protocol, b)
	if err != nil {
		return false
	}
	e, ok := m.Body.(*icmp.Echo)
	return ok && (m.Type == ipv4.ICMPTypeEchoReply || m.Type == ipv6.ICMPTypeEchoReply) && bytes.Equal(e.Data, a.token)
}
