// SPDX-License-Identifier: Apache-2.0

package pmtu

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/topology"
)

// Port is the server's; the laboratory's rulesets let it through.
const Port = 20999

// Of a run.
const (
	// maxFlows bounds the sockets that are open at a time.
	maxFlows = 2000
	// patience is how long what is under way may take.
	patience = 2 * time.Second
	// again is how often a flow's datagram or error is sent at most: a queue for a neighbour that is being asked for is short.
	again = 3
	// smallest4 and smallest6 are the sizes that are said, and a hundred more; least is what IPv6 allows (RFC 8200).
	smallest4 = 1000
	smallest6 = 1280
	sizes     = 100
)

// Config says which flows there are.
type Config struct {
	// From has the sockets, To is whom they send to; the router is on To's segment.
	From, To *topology.Node
	// Family is 4 (if it is 0) or 6.
	Family int
	// At is where the sockets send to; not valid: To's own address. With a DNAT rule it is the gateway's.
	At netip.Addr
	// Count is how many flows, 1 to 2000.
	Count int
}

// Report is what became of a run.
type Report struct {
	Flows int `json:"flows"`
	// Reached is how many flows' datagrams To got, Told how many sockets heard the size that was said of their flow, Wrong how many
	// heard another one.
	Reached int `json:"reached"`
	Told    int `json:"told"`
	Wrong   int `json:"wrong"`
	// Missed names a flow that was not told.
	Missed string `json:"missed,omitempty"`
}

// flow is one socket.
type flow struct {
	fd   int
	seen netip.AddrPort // its address for To
	mtu  int
	told bool
}

// run is the state of Run.
type run struct {
	Config
	to     netip.Addr // To's own
	server *net.UDPConn
	router int
	flows  []flow
}

// Run opens the flows, says of each that its packets are too big, and reports.
func Run(ctx context.Context, c Config) (rep Report, err error) {
	if c.Family == 0 {
		c.Family = 4
	}
	switch {
	case c.From == nil || c.To == nil || len(c.From.Ports) == 0 || len(c.To.Ports) == 0:
		return rep, errors.New("pmtu: two nodes, each with a port, are needed")
	case c.Family != 4 && c.Family != 6:
		return rep, fmt.Errorf("pmtu: family %d: 4 or 6", c.Family)
	case c.Count < 1 || c.Count > maxFlows:
		return rep, fmt.Errorf("pmtu: %d flows: 1 to %d", c.Count, maxFlows)
	}
	r := &run{Config: c, to: address(c.To, c.Family), router: -1}
	if !r.At.IsValid() {
		r.At = r.to
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.open(); err != nil {
		return rep, fmt.Errorf("pmtu: %s to %s: %w", c.From.Name, c.To.Name, err)
	}
	for range again {
		if err := r.reach(ctx); err != nil {
			return rep, err
		}
	}
	for range again {
		if err := r.tell(ctx, &rep); err != nil {
			return rep, err
		}
	}
	rep.Flows = len(r.flows)
	for i, f := range r.flows {
		if f.seen.IsValid() {
			rep.Reached++
		}
		if !f.told {
			rep.Missed = fmt.Sprintf("flow %d, for %s from %s", i, c.To.Name, f.seen)
		}
	}
	return rep, nil
}

func address(n *topology.Node, family int) netip.Addr {
	if family == 6 {
		return n.Ports[0].V6.Addr()
	}
	return n.Ports[0].V4.Addr()
}

// stranger is an address on To's segment that nobody has: the router's.
func (r *run) stranger() netip.Addr {
	b := r.to.AsSlice()
	b[len(b)-2], b[len(b)-1] = 0xfe, 0xfe
	a, _ := netip.AddrFromSlice(b)
	return a
}

func (r *run) open() (err error) {
	err = r.To.NS.Do(func() (err error) {
		if r.server, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(r.to, Port))); err != nil {
			return err
		}
		family := unix.AF_INET
		if r.Family == 6 {
			family = unix.AF_INET6
		}
		r.router, err = unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		return err
	})
	if err != nil {
		return err
	}
	return r.From.NS.Do(func() error {
		for i := range r.Count {
			fd, err := r.socket()
			if err != nil {
				return fmt.Errorf("flow %d: %w", i, err)
			}
			mtu := smallest4 + i%sizes
			if r.Family == 6 {
				mtu = smallest6 + i%sizes
			}
			r.flows = append(r.flows, flow{fd: fd, mtu: mtu})
		}
		return nil
	})
}

// socket opens a flow's, which is told of errors.
func (r *run) socket() (fd int, err error) {
	family, level, option := unix.AF_INET, unix.IPPROTO_IP, unix.IP_RECVERR
	discover, do := unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO
	if r.Family == 6 {
		family, level, option = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_RECVERR
		discover, do = unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DO
	}
	if fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		return 0, err
	}
	err = errors.Join(unix.SetsockoptInt(fd, level, option, 1), unix.SetsockoptInt(fd, level, discover, do),
		unix.Bind(fd, sockaddr(netip.AddrPortFrom(address(r.From, r.Family), 0))), unix.Connect(fd, sockaddr(netip.AddrPortFrom(r.At, Port))))
	if err != nil {
		_ = unix.Close(fd) // nothing was sent
	}
	return fd, err
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}

// reach sends the datagrams of flows that To has not heard of, and reads where they come from.
func (r *run) reach(ctx context.Context) error {
	missing := 0
	for i, f := range r.flows {
		if f.seen.IsValid() {
			continue
		}
		missing++
		_, _ = unix.Write(f.fd, binary.BigEndian.AppendUint32(nil, uint32(i))) // what does not come is missing
	}
	b := make([]byte, 2048)
	for deadline := time.Now().Add(patience); missing > 0 && ctx.Err() == nil; {
		if err := r.server.SetReadDeadline(deadline); err != nil {
			return err
		}
		n, from, err := r.server.ReadFromUDPAddrPort(b)
		if errors.Is(err, unix.EAGAIN) || err != nil && time.Now().After(deadline) {
			break
		}
		if i := int(binary.BigEndian.Uint32(b)); err == nil && n == 4 && i < len(r.flows) && !r.flows[i].seen.IsValid() {
			r.flows[i].seen = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
			missing--
		}
	}
	return ctx.Err()
}

// tell says of the flows that have not been told what the router has to say, and asks their sockets.
func (r *run) tell(ctx context.Context, rep *Report) error {
	missing := 0
	for _, f := range r.flows {
		if f.told || !f.seen.IsValid() {
			continue
		}
		missing++
		packet := tooBig(r.stranger(), f.seen, netip.AddrPortFrom(r.to, Port), f.mtu)
		_ = unix.Sendto(r.router, packet, 0, sockaddr(netip.AddrPortFrom(f.seen.Addr(), 0))) // what does not come is missing
	}
	for deadline := time.Now().Add(patience); missing > 0 && time.Now().Before(deadline); {
		if err := ctx.Err(); err != nil {
			return err
		}
		for i := range r.flows {
			f := &r.flows[i]
			if f.told || !f.seen.IsValid() {
				continue
			}
			said, ok := heard(f.fd)
			switch {
			case !ok:
			case said == f.mtu:
				f.told = true
				rep.Told++
				missing--
			default:
				rep.Wrong++
			}
		}
		<-time.After(lookEvery)
	}
	return nil
}

// lookEvery is how often the sockets are asked.
const lookEvery = 5 * time.Millisecond

func (r *run) close() error {
	for _, f := range r.flows {
		_ = unix.Close(f.fd) // nothing is lost with it
	}
	if r.router >= 0 {
		_ = unix.Close(r.router)
	}
	if r.server != nil {
		return r.server.Close()
	}
	return nil
}
