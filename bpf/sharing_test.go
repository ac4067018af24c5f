// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/members/gate"
)

// shareAt attaches a gate to the client's cable that shares load there, and answers for nothing.
func (s *station) shareAt(t *testing.T, g *Gate, steering Steering) {
	t.Helper()
	s.cast(t, g)
	i := s.iface()
	if steering.Mode == SteerMulticast {
		i.VMAC = manyMAC
	}
	for _, err := range []error{
		g.Attach(i), g.SetTimers(time.Hour, time.Hour, 25*time.Millisecond, 200*time.Millisecond), g.SetSteering(steering),
		g.SetMemberMACs(testSlot, [gate.Members]net.HardwareAddr{hw(macOf[0]), nil, hw(macOf[2])}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	g.Words().RenewShare(7, Boottime())
}

// knows gives the station a static neighbour, as a router has it that refuses a MAC of many.
func (s *station) knows(t *testing.T, a netip.Addr, mac [6]byte) {
	t.Helper()
	n := &netlink.Neigh{LinkIndex: s.link.Attrs().Index, State: netlink.NUD_PERMANENT, IP: ip(a), HardwareAddr: hw(mac)}
	if err := s.h.NeighSet(n); err != nil {
		t.Fatal(err)
	}
}

// TestSharingOnVeth: the kernel's stack takes what came by a MAC of many, answers from a VIP without a lease, and what is another's leaves
// again for that member.
func TestSharingOnVeth(t *testing.T) {
	for way := range waysOnVeth {
		t.Run(string(way), func(t *testing.T) {
			s := newMember(t)
			g := openGate(t, attachOptions(newPinDir(t), way))
			s.shareAt(t, g, testSteering)
			echo(t, netip.AddrPortFrom(vip4, 4000))
			echo(t, netip.AddrPortFrom(vip6, 4000))
			s.knows(t, vip4, manyMAC)
			s.knows(t, vip6, manyMAC)
			for _, vip := range []netip.Addr{vip4, vip6} {
				c := s.dial(t, netip.AddrPortFrom(vip, 4000))
				g.set(t, all(1))
				if !answers(t, c, true) {
					t.Errorf("%v: what this member takes is not answered", vip)
				}
				g.set(t, all(0))
				if answers(t, c, false) {
					t.Errorf("%v: what another takes is answered", vip)
				}
			}
			wire := s.raw(t, unix.ETH_P_IP)
			g.set(t, all(moving(1, 2)))
			frame := packet{from: client4, to: far4, proto: protoUDP, sport: 1000, dport: 2000}.frame(manyMAC, client)
			wire.send(t, frame)
			wire.expect(t, given(frame, 2))
			// What comes back to this member's own MAC goes no further.
			back := changed(frame, func(b []byte) { copy(b, ownMAC[:]); copy(b[6:], macOf[2][:]) })
			moved := counted(t, g, func() {
				wire.send(t, back)
				wire.send(t, frame)
				wire.expect(t, given(frame, 2))
			})
			if moved[SteerCorrected] != 1 {
				t.Errorf("counted %v, want one correction", moved)
			}
		})
	}
}

// TestPivotOnVeth: a later fragment that overtakes its first reaches everybody, and everything else one member.
func TestPivotOnVeth(t *testing.T) {
	for way := range waysOnVeth {
		t.Run(string(way), func(t *testing.T) {
			s := newMember(t)
			g := openGate(t, attachOptions(newPinDir(t), way))
			steering := testSteering
			steering.Mode = SteerUnicast
			s.shareAt(t, g, steering)
			g.Words().Renew(0, 7, Boottime())
			first, _, last := datagram(packet{from: client4, to: far4, proto: protoUDP, sport: 1000, dport: 2000}, 7)
			byPorts, _ := g.slot(t, first)
			byAddresses, _ := g.slot(t, last)
			g.set(t, all(1).with(2, byPorts).with(0, byAddresses))
			wire := s.raw(t, unix.ETH_P_IP)
			overtaking, leading := last.frame(vmac, client), first.frame(vmac, client)
			wire.send(t, overtaking)
			wire.expect(t, given(overtaking, 0))
			if way == AttachXDPGeneric {
				wire.send(t, leading)
				wire.expect(t, given(leading, 0)) // where the other one went
				return
			}
			wire.expect(t, given(overtaking, 2))
			wire.send(t, leading)
			wire.expect(t, given(leading, 2))
			wire.send(t, overtaking)
			wire.expect(t, given(overtaking, 2))
		})
	}
}

// expect wants the next IPv4 frame from the member to be this one.
func (r raw) expect(t *testing.T, want []byte) {
	t.Helper()
	got, _ := r.receive(t, unix.ETH_P_IP)
	if !bytes.HasPrefix(got, want) {
		t.Errorf("received % x, want % x", got, want)
	}
}
