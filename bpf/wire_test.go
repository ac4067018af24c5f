// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// station is a machine at the other end of a cable: a network namespace without a name, joined to the test's own by a veth pair.
//
//	client (192.0.2.100, 2001:db8::100) --- member (192.0.2.11, 2001:db8::11, VIPs on lo) --- server (203.0.113.9)
type station struct {
	ns     netns.NsHandle
	h      *netlink.Handle
	port   string       // the member's end of the cable
	member netlink.Link // the same
	link   netlink.Link // the station's end
}

func newStation(t *testing.T, port string, addrs ...string) *station {
	t.Helper()
	s := &station{port: port}
	within(t, func() error { // a thread that ends with the namespace made
		ns, err := netns.New()
		s.ns = ns
		return err
	})
	t.Cleanup(func() { s.ns.Close() })
	var err error
	if s.h, err = netlink.NewHandleAt(s.ns); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.h.Close)
	s.plug(t)
	lo, err := s.h.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.h.LinkSetUp(lo); err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		addAddr(t, s.h, s.link, a)
	}
	return s
}

// plug makes the cable, with the member's end up.
func (s *station) plug(t *testing.T) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = s.port, hw(ownMAC)
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerHardwareAddr: hw(client), PeerNamespace: netlink.NsFd(s.ns)}
	if err := netlink.LinkAdd(veth); err != nil {
		t.Fatalf("make a cable: %v", err)
	}
	t.Cleanup(s.unplug)
	var err error
	if s.member, err = netlink.LinkByName(s.port); err != nil {
		t.Fatal(err)
	}
	if s.link, err = s.h.LinkByName("eth0"); err != nil {
		t.Fatal(err)
	}
	// Nobody waits a second: for an address of its own to be proved, or to ask anew for one that nobody answered for.
	hasten := func(name string) error {
		return errors.Join(os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/accept_dad", []byte("0"), 0),
			os.WriteFile("/proc/sys/net/ipv4/neigh/"+name+"/retrans_time_ms", []byte("100"), 0),
			os.WriteFile("/proc/sys/net/ipv6/neigh/"+name+"/retrans_time_ms", []byte("100"), 0))
	}
	if err := hasten(s.port); err != nil {
		t.Fatal(err)
	}
	s.do(t, func() error { return hasten("eth0") })
	if err := netlink.LinkSetUp(s.member); err != nil {
		t.Fatal(err)
	}
	if err := s.h.LinkSetUp(s.link); err != nil {
		t.Fatal(err)
	}
}

func (s *station) unplug() {
	if l, err := netlink.LinkByName(s.port); err == nil {
		_ = netlink.LinkDel(l)
	}
}

func (s *station) index() int { return s.member.Attrs().Index }

// do runs f in the station's namespace.
func (s *station) do(t *testing.T, f func() error) {
	t.Helper()
	within(t, func() error {
		if err := netns.Set(s.ns); err != nil {
			return err
		}
		return f()
	})
}

// within runs f on a thread that is thrown away afterwards, whatever namespace f left it in.
func within(t *testing.T, f func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- f()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func addAddr(t *testing.T, h *netlink.Handle, l netlink.Link, addr string) {
	t.Helper()
	a, err := netlink.ParseAddr(addr)
	if err != nil {
		t.Fatal(err)
	}
	a.Flags |= unix.IFA_F_NODAD
	if err := h.AddrAdd(l, a); err != nil {
		t.Fatalf("add address %s: %v", addr, err)
	}
}

func sysctl(t *testing.T, name, value string) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}

// newMember prepares the test's own namespace as the dataplane prepares a member: VIPs on lo, where the stack does not answer for
// them. It returns the client.
func newMember(t *testing.T) *station {
	t.Helper()
	host, err := netlink.NewHandle()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(host.Close)
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		t.Fatal(err)
	}
	for _, a := range []string{vip4.String() + "/32", vip6.String() + "/128"} {
		addAddr(t, host, lo, a)
		t.Cleanup(func() {
			if addr, err := netlink.ParseAddr(a); err == nil {
				_ = netlink.AddrDel(lo, addr)
			}
		})
	}
	s := newStation(t, "hfbp0", client4.String()+"/24", client6.String()+"/64")
	addAddr(t, host, s.member, own4.String()+"/24")
	addAddr(t, host, s.member, own6.String()+"/64")
	sysctl(t, "ipv4/conf/hfbp0/arp_ignore", "1")
	sysctl(t, "ipv4/conf/hfbp0/arp_announce", "2")
	return s
}

// cast attaches a gate to the client's cable, with the VIPs of the member.
func (s *station) cast(t *testing.T, g *Gate) {
	t.Helper()
	if err := g.SetVIPs([]VIP{{Addr: vip4, Index: s.index()}, {Addr: vip6, Index: s.index()}, {Addr: vip4Tagged, Index: s.index(), VLAN: 10}}); err != nil {
		t.Fatal(err)
	}
	if err := g.SetKey(testKeyNumber, testKey, true); err != nil {
		t.Fatal(err)
	}
	if err := g.Attach(s.iface()); err != nil {
		t.Fatal(err)
	}
}

func (s *station) iface() Iface {
	return Iface{Index: s.index(), Slot: testSlot, MAC: ownMAC, VMAC: vmac, Gated: true, UseVMAC: true}
}

// echo answers UDP datagrams at an address of this namespace until the test ends.
func echo(t *testing.T, at netip.AddrPort) {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := c.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			_, _ = c.WriteToUDPAddrPort(b[:n], from)
		}
	}()
}

// dial opens a UDP socket in the station.
func (s *station) dial(t *testing.T, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	var c *net.UDPConn
	s.do(t, func() (err error) {
		c, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
		return err
	})
	t.Cleanup(func() { c.Close() })
	return c
}

// answers reports whether a datagram comes back. When none is expected a short wait has to do.
func answers(t *testing.T, c *net.UDPConn, expected bool) bool {
	t.Helper()
	patience := 60 * time.Millisecond
	if expected {
		patience = 30 * time.Second
	}
	for end := time.Now().Add(patience); time.Now().Before(end); {
		question := fmt.Appendf(nil, "question at %d", Boottime())
		b := make([]byte, 100)
		_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		// Errors are those of neighbour resolution, of this datagram or one before.
		_, err := c.Write(question)
		for err == nil {
			var n int
			// Answers to questions that waited for resolution come late.
			if n, err = c.Read(b); err == nil && bytes.Equal(b[:n], question) {
				return true
			}
		}
	}
	return false
}

// raw is an AF_PACKET socket at the station's end.
type raw struct {
	fd int
}

func (s *station) raw(t *testing.T, etherType uint16) raw {
	t.Helper()
	r := raw{}
	s.do(t, func() (err error) {
		if r.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1); err != nil {
			return err
		}
		if err := unix.SetsockoptTimeval(r.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2}); err != nil {
			return err
		}
		return unix.Bind(r.fd, &unix.SockaddrLinklayer{Protocol: networkOrder(etherType), Ifindex: s.link.Attrs().Index})
	})
	t.Cleanup(func() { unix.Close(r.fd) })
	return r
}

func (r raw) send(t *testing.T, frame []byte) {
	t.Helper()
	if _, err := unix.Write(r.fd, frame); err != nil {
		t.Fatalf("send %d bytes: %v", len(frame), err)
	}
}

// receive returns the next frame of a type from the member, and its VLAN if the socket takes all types: others get it without.
func (r raw) receive(t *testing.T, etherType uint16) ([]byte, uint16) {
	t.Helper()
	b, oob := make([]byte, 2000), make([]byte, 200)
	for {
		n, oobn, _, from, err := unix.Recvmsg(r.fd, b, oob, 0)
		if err != nil {
			t.Fatalf("receive: %v", err)
		}
		if ll, ok := from.(*unix.SockaddrLinklayer); ok && (ll.Pkttype == unix.PACKET_OUTGOING || ll.Protocol != networkOrder(etherType)) {
			continue
		}
		vlan := uint16(0)
		messages, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			if m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA && len(m.Data) >= 20 && m.Data[0]&16 != 0 {
				vlan = uint16(m.Data[16]) | uint16(m.Data[17])<<8 // tp_vlan_tci, little-endian machines only: so are the tests
			}
		}
		return b[:n], vlan
	}
}
