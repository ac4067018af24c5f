// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// flood sends numbered datagrams at 1000 a second until stop is closed, and returns how many were sent and how many came back.
func flood(t *testing.T, c *net.UDPConn, stop <-chan struct{}) (sent, received int) {
	t.Helper()
	all := make(chan int, 1) // how many were sent
	back := make(chan int)
	go func() {
		seen := map[uint32]bool{}
		b := make([]byte, 100)
		most := -1
		for patience := time.Now(); most < 0 || len(seen) < most && time.Since(patience) < 2*time.Second; {
			select {
			case most = <-all:
				patience = time.Now()
				continue
			default:
			}
			_ = c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
			if n, err := c.Read(b); err == nil && n == 4 {
				seen[binary.BigEndian.Uint32(b)] = true
			}
		}
		back <- len(seen)
	}()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			all <- sent
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
			for i := range 4 {
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
			t.Logf("%d datagrams over 2 upgrades and 2 downgrades", r[0])
			if err := errors.Join(g.Close(), Remove(o.PinDir)); err != nil {
				t.Fatal(err)
			}
			checkBare(t, s)
		})
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
	if got := g.AttachedAs(index); got != asTC {
		t.Errorf("attached as %q, want %q", got, asTC)
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
