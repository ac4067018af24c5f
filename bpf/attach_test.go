// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/internal/labtest"
)

// waysOnVeth are the attachments that work on a veth: in native mode it loses what XDP sends back.
var waysOnVeth = map[Attach]string{AttachAuto: asTCX, AttachClassic: asClassic, AttachXDPGeneric: asXDPGeneric}

func attachOptions(pinDir string, a Attach) Options {
	o := testOptions(pinDir)
	o.Attach = a
	return o
}

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

// flood sends numbered datagrams at 1000 a second until stop is closed, and returns how many were sent and how many came back.
func flood(t *testing.T, c *net.UDPConn, stop <-chan struct{}) (sent, received int) {
	t.Helper()
	back := make(chan int)
	go func() {
		seen := map[uint32]bool{}
		b := make([]byte, 100)
		for {
			_ = c.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
			n, err := c.Read(b)
			if err != nil {
				back <- len(seen)
				return
			}
			if n == 4 {
				seen[binary.BigEndian.Uint32(b)] = true
			}
		}
	}()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return sent, <-back
		case <-tick.C:
			if _, err := c.Write(binary.BigEndian.AppendUint32(nil, uint32(sent))); err == nil {
				sent++
			}
		}
	}
}

// TestAdoptionLosesNothing closes, adopts and upgrades the gate under traffic.
func TestAdoptionLosesNothing(t *testing.T) {
	for way, as := range waysOnVeth {
		t.Run(string(way), func(t *testing.T) {
			o := attachOptions(newPinDir(t), way)
			s := newMember(t)
			g := reopen(t, o, buildOf(t))
			s.cast(t, g)
			g.in(serves)
			echo(t, netip.AddrPortFrom(vip4, 4000))
			c := s.dial(t, netip.AddrPortFrom(vip4, 4000))
			if !answers(t, c, true) {
				t.Fatal("the VIP does not answer")
			}
			stop, result := make(chan struct{}), make(chan [2]int)
			go func() {
				sent, received := flood(t, c, stop)
				result <- [2]int{sent, received}
			}()
			for i := range 6 {
				if err := g.Close(); err != nil {
					t.Fatal(err)
				}
				spec := buildOf(t)
				if i%2 == 0 {
					spec = anotherBuild(t)
				}
				// Timers of the options would close the gate that nobody renews.
				o.Soft, o.Hard = time.Hour, time.Hour
				g = reopen(t, o, spec)
				if err := g.Attach(s.iface()); err != nil {
					t.Fatal(err)
				}
				if got := g.AttachedAs(s.index()); got != as {
					t.Errorf("attached as %q, want %q", got, as)
				}
			}
			close(stop)
			r := <-result
			if r[0] == 0 || r[0] != r[1] {
				t.Errorf("%d of %d datagrams were lost", r[0]-r[1], r[0])
			}
			t.Logf("%d datagrams over 3 upgrades and 3 downgrades", r[0])
			if err := errors.Join(g.Close(), Remove(o.PinDir)); err != nil {
				t.Fatal(err)
			}
			checkBare(t, s)
		})
	}
}

// checkBare asks bpftool and tc's own tables whether anything is left at a member's interfaces.
func checkBare(t *testing.T, s *station) {
	t.Helper()
	labtest.Require(t, "bpftool")
	out, err := exec.Command("bpftool", "-j", "net", "show").CombinedOutput()
	if err != nil {
		t.Fatalf("bpftool: %v: %s", err, out)
	}
	if strings.Contains(string(out), s.port) {
		t.Errorf("bpftool still sees %s", out)
	}
	qdiscs, err := netlink.QdiscList(s.member)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range qdiscs {
		if q.Type() == "clsact" {
			t.Errorf("a clsact qdisc is left at %s", s.port)
		}
	}
}

// TestSeveredLink: an interface that came back under its old number is attached anew.
func TestSeveredLink(t *testing.T) {
	o := testOptions(newPinDir(t))
	s := newMember(t)
	g := openGate(t, o)
	s.cast(t, g)
	index := s.index()
	s.unplug()
	if got := g.AttachedAs(index); got != "" {
		t.Errorf("attached as %q to an interface that is gone", got)
	}
	if err := g.Attach(s.iface()); err == nil {
		t.Error("attached to an interface that is gone")
	}
	s.replug(t, index)
	if err := g.Attach(s.iface()); err != nil {
		t.Fatal(err)
	}
	if got := g.AttachedAs(index); got != asTCX {
		t.Errorf("attached as %q, want %q", got, asTCX)
	}
	g.in(serves)
	arps := s.raw(t, unix.ETH_P_ARP)
	arps.send(t, padded(whoHas(vip4).bytes()))
	if got, _ := arps.receive(t, unix.ETH_P_ARP); !bytes.HasPrefix(got, whoHas(vip4).answered(vmac)[:42]) {
		t.Errorf("request was answered with % x", got)
	}
	if err := g.Detach(index); err != nil {
		t.Fatal(err)
	}
	checkBare(t, s)
}

// replug makes the cable again, with the member's end under a given number.
func (s *station) replug(t *testing.T, index int) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr, attrs.Index = s.port, hw(ownMAC), index
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerHardwareAddr: hw(client), PeerNamespace: netlink.NsFd(s.ns)}); err != nil {
		t.Fatal(err)
	}
	for _, e := range []error{
		func() (err error) { s.member, err = netlink.LinkByName(s.port); return err }(),
		func() (err error) { s.link, err = s.h.LinkByName("eth0"); return err }(),
		netlink.LinkSetUp(s.member), s.h.LinkSetUp(s.link),
	} {
		if e != nil {
			t.Fatal(e)
		}
	}
}

// TestChangeOfAttachment: another configuration attaches otherwise, and leaves nothing of the way before.
func TestChangeOfAttachment(t *testing.T) {
	o := testOptions(newPinDir(t))
	s := newMember(t)
	steps := []struct {
		way Attach
		as  string
	}{
		{AttachTCX, asTCX}, {AttachXDPGeneric, asXDPGeneric}, {AttachClassic, asClassic}, {AttachTCX, asClassic}, {AttachXDP, asXDPNative}, {AttachAuto, asXDPNative},
		{AttachXDPGeneric, asXDPGeneric}, {AttachAuto, asTCX},
	}
	for _, step := range steps {
		o.Attach = step.way
		g := reopen(t, o, buildOf(t))
		s.cast(t, g)
		if got := g.AttachedAs(s.index()); got != step.as {
			t.Errorf("%s: attached as %q, want %q", step.way, got, step.as)
		}
		for _, as := range []string{asXDPNative, asXDPGeneric, asTCX, asClassic} {
			if there, err := g.attached(s.index(), as); err != nil || there != (as == step.as) {
				t.Errorf("%s: attached as %s: %v, %v", step.way, as, there, err)
			}
		}
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := Remove(o.PinDir); err != nil {
		t.Fatal(err)
	}
	checkBare(t, s)
}

// TestUngated: an interface without VIPs gets no egress program, and loses the one it had.
func TestUngated(t *testing.T) {
	for _, way := range []Attach{AttachTCX, AttachClassic} {
		t.Run(string(way), func(t *testing.T) {
			o := attachOptions(newPinDir(t), way)
			s := newMember(t)
			g := openGate(t, o)
			egressThere := func() bool {
				classic, err := classicAttached(s.index(), netlink.HANDLE_MIN_EGRESS)
				if err != nil {
					t.Fatal(err)
				}
				linked, err := g.attached(s.index(), asEgress)
				if err != nil {
					t.Fatal(err)
				}
				return classic || linked
			}
			s.cast(t, g)
			if !egressThere() {
				t.Error("a gated interface has no egress program")
			}
			i := s.iface()
			i.Gated = false
			if err := g.Attach(i); err != nil {
				t.Fatal(err)
			}
			if egressThere() {
				t.Error("an interface without VIPs has an egress program")
			}
			frames := s.raw(t, ccpEtherType)
			frames.send(t, ccpFrame{}.bytes())
			frames.receive(t, ccpEtherType)
		})
	}
}

// TestDetachWhatIsGone: an interface that went with its links can be taken off, and so can the whole gate.
func TestDetachWhatIsGone(t *testing.T) {
	for way := range waysOnVeth {
		t.Run(string(way), func(t *testing.T) {
			o := attachOptions(newPinDir(t), way)
			s := newMember(t)
			g := reopen(t, o, buildOf(t))
			s.cast(t, g)
			s.unplug()
			if err := g.Detach(s.index()); err != nil {
				t.Error(err)
			}
			if err := g.Detach(s.index()); err != nil {
				t.Errorf("again: %v", err)
			}
			s.plug(t)
			s.cast(t, g)
			s.unplug()
			if err := errors.Join(g.Close(), Remove(o.PinDir)); err != nil {
				t.Error(err)
			}
		})
	}
}
