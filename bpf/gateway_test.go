// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/ccp"
)

// TestThroughTheWire resolves the VIPs at the gate and talks to them through the VMAC, while it serves and while it does not.
func TestThroughTheWire(t *testing.T) {
	for way, as := range waysOnVeth {
		t.Run(string(way), func(t *testing.T) {
			pinDir := newPinDir(t)
			s := newMember(t)
			g := openGate(t, attachOptions(pinDir, way))
			s.cast(t, g)
			if got := g.AttachedAs(s.index()); got != as {
				t.Fatalf("attached as %q, want %q", got, as)
			}
			for _, addr := range []netip.Addr{vip4, vip6} {
				at := netip.AddrPortFrom(addr, 4000)
				echo(t, at)
				c := s.dial(t, at)
				g.in(serves)
				if !answers(t, c, true) {
					t.Fatalf("%v does not answer", addr)
				}
				s.checkNeighbour(t, addr, vmac)
				g.in(closed)
				if answers(t, c, false) {
					t.Errorf("%v answers while the gate is closed", addr)
				}
			}
			counters, err := g.Counters()
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range []Counter{ArpAnswered, NdAnswered, VmacAdmitted, ClosedVip} {
				if counters[c] == 0 {
					t.Errorf("nothing was counted as %v: %v", c, counters)
				}
			}
		})
	}
}

func (s *station) checkNeighbour(t *testing.T, addr netip.Addr, want [6]byte) {
	t.Helper()
	neighbours, err := s.h.NeighList(s.link.Attrs().Index, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range neighbours {
		if n.IP.Equal(net.IP(addr.AsSlice())) {
			if !bytes.Equal(n.HardwareAddr, want[:]) {
				t.Errorf("%v is at %v, want %v", addr, n.HardwareAddr, hw(want))
			}
			return
		}
	}
	t.Errorf("%v is not in the neighbour table %v", addr, neighbours)
}

// TestGateway forwards between two cables, and stops that at egress where the own MAC is used.
func TestGateway(t *testing.T) {
	pinDir := newPinDir(t)
	s := newMember(t)
	server := newStation(t, "hfbp1", far4.String()+"/24")
	host, err := netlink.NewHandle()
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	addAddr(t, host, server.member, "203.0.113.1/24")
	sysctl(t, "ipv4/ip_forward", "1")
	defer sysctl(t, "ipv4/ip_forward", "0")
	server.route(t, "192.0.2.0/24", "203.0.113.1")

	g := openGate(t, testOptions(pinDir))
	s.cast(t, g)
	if err := g.Attach(Iface{Index: server.index(), Slot: 6, MAC: ownMAC, VMAC: vmac, Gated: true, UseVMAC: true}); err != nil {
		t.Fatal(err)
	}
	server.do(t, func() error { echo(t, netip.AddrPortFrom(far4, 4000)); return nil })
	s.route(t, "203.0.113.0/24", vip4.String())
	c := s.dial(t, netip.AddrPortFrom(far4, 4000))
	g.in(serves)
	if !answers(t, c, true) {
		t.Fatal("no way through the VIP")
	}
	g.in(closed)
	checkStops(t, g, c, ClosedVmac)

	// A client that sends to the own MAC gets as far as the egress of the other side; the member itself still speaks.
	s.route(t, "203.0.113.0/24", own4.String())
	checkStops(t, g, c, EgressTransit)
	echo(t, netip.AddrPortFrom(own4, 4001))
	if own := s.dial(t, netip.AddrPortFrom(own4, 4001)); !answers(t, own, true) {
		t.Error("the member's own address does not answer")
	}
	g.in(lingers)
	if !answers(t, c, true) {
		t.Error("transit is stopped although forward lingers")
	}
}

func checkStops(t *testing.T, g *Gate, c *net.UDPConn, want Counter) {
	t.Helper()
	moved := counted(t, g, func() {
		if answers(t, c, false) {
			t.Error("a packet went through the closed gate")
		}
	})
	if moved[want] == 0 {
		t.Errorf("counted %v, want %v", moved, want)
	}
}

func (s *station) route(t *testing.T, to, via string) {
	t.Helper()
	_, dst, err := net.ParseCIDR(to)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.h.RouteReplace(&netlink.Route{LinkIndex: s.link.Attrs().Index, Dst: dst, Gw: net.ParseIP(via)}); err != nil {
		t.Fatal(err)
	}
}

// TestFramesOnTheWire checks what BPF_PROG_TEST_RUN cannot: tags that the stack has taken off, runts, the way out through egress.
func TestFramesOnTheWire(t *testing.T) {
	for way := range waysOnVeth {
		t.Run(string(way), func(t *testing.T) {
			pinDir := newPinDir(t)
			s := newMember(t)
			g := openGate(t, attachOptions(pinDir, way))
			s.cast(t, g)
			arps := s.raw(t, unix.ETH_P_ALL)
			g.in(serves)

			who := whoHas(vip4Tagged, 10)
			arps.send(t, padded(who.bytes()))
			got, vlan := arps.receive(t, unix.ETH_P_ARP)
			want := whoHas(vip4Tagged).answered(vmac)
			if vlan != 10 || !bytes.HasPrefix(got, want[:42]) {
				t.Errorf("tagged request was answered in VLAN %d with % x", vlan, got)
			}

			// Closed, nobody answers: the stack would not even if it were asked.
			g.in(closed)
			moved := counted(t, g, func() {
				arps.send(t, padded(whoHas(vip4).bytes()))
				arps.send(t, whoIs(vip6).bytes())
				arps.send(t, padded(whoHas(own4).bytes())) // the stack's answer to this one comes next
				if got, _ := arps.receive(t, unix.ETH_P_ARP); !bytes.HasPrefix(got, whoHas(own4).answered(ownMAC)[:42]) {
					t.Errorf("closed, a request was answered with % x", got)
				}
			})
			if moved[ClosedArp] != 1 || moved[ClosedNd] != 1 {
				t.Errorf("requests at the closed gate were counted as %v", moved)
			}

			// Closed: a probe is answered all the same, and its reply leaves through the closed egress.
			frames := s.raw(t, ccpEtherType)
			frames.send(t, ccpFrame{}.bytes())
			got, _ = frames.receive(t, ccpEtherType)
			if h, err := ccp.ParseHeader(got[14:]); err != nil || h.Type != ccp.TypeReply || !bytes.Equal(got[6:12], ownMAC[:]) || !bytes.Equal(got[:6], peerMAC[:]) {
				t.Errorf("probe was answered with % x", got)
			}

			// Runts do no harm, and do not get in.
			runts := [][]byte{
				udpFrame{dst: vmac, src: client, from: client4, to: far4}.bytes()[:14],
				udpFrame{dst: vmac, src: client, from: client4, to: far4}.bytes()[:20],
				whoHas(vip4).bytes()[:30], whoIs(vip6).bytes()[:60], ccpFrame{}.bytes()[:40],
			}
			moved = counted(t, g, func() {
				for _, runt := range runts {
					frames.send(t, runt)
				}
				// A probe behind them says that they have been dealt with.
				frames.send(t, ccpFrame{}.bytes())
				frames.receive(t, ccpEtherType)
			})
			if moved[ClosedVmac] != 2 || moved[FrameTruncated] != 1 {
				t.Errorf("runts were counted as %v", moved)
			}
		})
	}
}
