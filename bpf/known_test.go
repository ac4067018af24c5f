// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/internal/labtest"
)

// connect puts a connection into the kernel's table: p as it began, to and from the addresses that NAT made of its ends, if they are set. One of
// TCP is liberal, as copies are, and one of UDP has a time-out as if it had begun here.
func connect(t testing.TB, p packet, src, dst netip.AddrPort) {
	t.Helper()
	connectFor(t, 600, p, src, dst)
}

func connectFor(t testing.TB, seconds int, p packet, src, dst netip.AddrPort) {
	t.Helper()
	labtest.Require(t, "conntrack")
	proto := map[uint8]string{protoTCP: "tcp", protoUDP: "udp"}[p.proto]
	args := []string{"-I", "-p", proto, "-s", p.from.String(), "-d", p.to.String(), "--sport", fmt.Sprint(p.sport), "--dport", fmt.Sprint(p.dport), "-t", fmt.Sprint(seconds)}
	if p.proto == protoTCP {
		args = append(args, "--state", "ESTABLISHED", "-u", "ASSURED,SEEN_REPLY")
	}
	if src.IsValid() {
		args = append(args, "--src-nat", src.String())
	}
	if dst.IsValid() {
		args = append(args, "--dst-nat", dst.String())
	}
	if out, err := exec.Command("conntrack", args...).CombinedOutput(); err != nil {
		t.Fatalf("conntrack %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	t.Cleanup(func() {
		_ = exec.Command("conntrack", "-F").Run()
	})
}

// connectNAT puts a connection with source NAT into the kernel's table: as it began, and as its answers come in.
func connectNAT(t testing.TB, begun, answer packet) {
	t.Helper()
	connect(t, begun, netip.AddrPortFrom(answer.to, answer.dport), netip.AddrPort{})
}

// noNAT leaves an end as it is.
var noNAT netip.AddrPort

// routed gives the test's namespace a route to everywhere, so that what is not its own can be told from what is.
func routed(t *testing.T) {
	t.Helper()
	s := newMember(t)
	sysctl(t, "ipv4/ip_forward", "1")
	sysctl(t, "ipv6/conf/all/forwarding", "1")
	for _, via := range []netip.Addr{client4, client6} {
		r := &netlink.Route{LinkIndex: s.index(), Gw: ip(via), Dst: &net.IPNet{IP: make(net.IP, via.BitLen()/8), Mask: net.CIDRMask(0, via.BitLen())}}
		if err := netlink.RouteReplace(r); err != nil {
			t.Fatalf("route by %v: %v", via, err)
		}
	}
}

// TestSteerDuplicates: what a member passes on is dropped if this one takes it by itself, unless it is not the cluster's at all.
func TestSteerDuplicates(t *testing.T) {
	routed(t)
	g := newSharingGate(t, testSteering)
	for _, e := range entries {
		for _, c := range []steerCase{
			{name: "transit", frame: packet{from: client4, to: far4, proto: protoUDP, sport: 1000, dport: 2000}.frame(ownMAC, macOf[0]), want: drop, count: []Counter{SteerDuplicate}},
			{name: "transit, IPv6", frame: packet{from: client6, to: far6, proto: protoUDP, sport: 1000, dport: 2000}.frame(ownMAC, macOf[0]), want: drop, count: []Counter{SteerDuplicate}},
			{name: "a member speaks to this one", frame: packet{from: client4, to: own4, proto: protoTCP, sport: 1000, dport: 22, tcp: tcpAck}.frame(ownMAC, macOf[0]), want: pass, count: []Counter{SteerPassedIn}},
			{name: "a member speaks to this one, IPv6", frame: packet{from: client6, to: own6, proto: protoTCP, sport: 1000, dport: 22, tcp: tcpAck}.frame(ownMAC, macOf[0]), want: pass, count: []Counter{SteerPassedIn}},
			{name: "the client itself", frame: packet{from: client4, to: far4, proto: protoUDP, sport: 1000, dport: 2000}.frame(ownMAC, client), want: pass},
		} {
			c.table = all(1)
			t.Run(e.name+"/"+c.name, func(t *testing.T) { g.check(t, e, c) })
		}
	}
}

// TestSteerOvertaken: what this member has just been given and another passes on it may have dropped before: a moment later it has not.
func TestSteerOvertaken(t *testing.T) {
	routed(t)
	g := newSharingGate(t, testSteering)
	p := packet{from: client4, to: far4, proto: protoUDP, sport: 1000, dport: 2000}
	slot, _ := g.slot(t, p)
	ranged := packet{from: far4, to: vip4, proto: protoICMP, icmp: 0, id: 45000}
	elsewhere, _ := g.slot(t, ranged)
	for _, e := range entries {
		for _, c := range []struct {
			name        string
			packet      packet
			before, now SlotTable
			want        verdict
		}{
			{"given just now", p, all(0).with(moving(0, 1), slot), all(0).with(1, slot), pass},
			{"given before", p, all(0).with(1, slot), all(2).with(1, slot), drop},
			{"of the first table", p, SlotTable{}, all(1), pass},
			{"of its part of the range, since it takes something", ranged, all(2), all(2).with(1, (elsewhere+1)%SteerSlots), pass},
			{"of its part of the range, as before", ranged, all(2).with(1, (elsewhere+1)%SteerSlots), all(2).with(1, (elsewhere+2)%SteerSlots), drop},
		} {
			t.Run(e.name+"/"+c.name, func(t *testing.T) {
				g.set(t, c.before)
				g.set(t, c.now)
				frame := c.packet.frame(ownMAC, macOf[0])
				if got, _ := e.run(t, g, frame, nil); got != c.want {
					t.Errorf("a moment after: %v, want %v", got, c.want)
				}
				g.settled()
				if got, _ := e.run(t, g, frame, nil); got != drop {
					t.Errorf("settled: %v, want drop", got)
				}
			})
		}
	}
}

// TestSteerKnown: the owner of a connection that the kernel knows is the taker of its original direction's slot, whatever NAT does.
func TestSteerKnown(t *testing.T) {
	inside, outside := netip.MustParseAddr("192.168.7.7"), far4
	port := func(a netip.Addr, p uint16) netip.AddrPort { return netip.AddrPortFrom(a, p) }
	type connection struct {
		name     string
		first    packet // as it began
		src, dst netip.AddrPort
		answer   packet // as answers come in
		error    packet // an ICMP error about what left, from somewhere on the way
	}
	tcp := func(from netip.Addr, sport uint16, to netip.Addr, dport uint16) packet {
		return packet{from: from, to: to, proto: protoTCP, sport: sport, dport: dport, tcp: tcpAck}
	}
	about := func(from, to netip.Addr, p packet) packet {
		e := packet{from: from, to: to, proto: protoICMP, icmp: 3, inner: p.bytes()}
		if from.Is6() {
			e.proto, e.icmp = protoICMPv6, 2
		}
		return e
	}
	router4, router6 := netip.MustParseAddr("198.18.0.1"), netip.MustParseAddr("2001:db8:ffff::1")
	inside6 := netip.MustParseAddr("2001:db8:7::7")
	connections := []connection{
		{name: "plain", first: tcp(inside, 1000, outside, 443), answer: tcp(outside, 443, inside, 1000),
			error: about(router4, inside, tcp(inside, 1000, outside, 443))},
		{name: "SNAT", first: tcp(inside, 1000, outside, 443), src: port(vip4, 45000), answer: tcp(outside, 443, vip4, 45000),
			error: about(router4, vip4, tcp(vip4, 45000, outside, 443))},
		{name: "SNAT outside the range", first: tcp(inside, 1000, outside, 443), src: port(vip4, 1000), answer: tcp(outside, 443, vip4, 1000),
			error: about(router4, vip4, tcp(vip4, 1000, outside, 443))},
		{name: "SNAT in another's part", first: tcp(inside, 1000, outside, 443), src: port(vip4, 35000), answer: tcp(outside, 443, vip4, 35000),
			error: about(router4, vip4, tcp(vip4, 35000, outside, 443))},
		{name: "DNAT", first: tcp(outside, 1000, vip4, 80), dst: port(server4, 8080), answer: tcp(server4, 8080, outside, 1000),
			error: about(router4, outside, tcp(outside, 1000, server4, 8080))},
		{name: "DNAT to what is not published", first: tcp(outside, 1000, vip4, 80), dst: port(inside, 8080), answer: tcp(inside, 8080, outside, 1000),
			error: about(router4, outside, tcp(outside, 1000, inside, 8080))},
		{name: "both", first: tcp(outside, 1000, vip4, 80), src: port(vip4Else, 45000), dst: port(server4, 8080), answer: tcp(server4, 8080, vip4Else, 45000),
			error: about(router4, vip4Else, tcp(vip4Else, 45000, server4, 8080))},
		{name: "SNAT, IPv6", first: tcp(inside6, 1000, far6, 443), src: port(vip6, 45000), answer: tcp(far6, 443, vip6, 45000),
			error: about(router6, vip6, tcp(vip6, 45000, far6, 443))},
		{name: "DNAT, IPv6", first: tcp(far6, 1000, vip6, 80), dst: port(server6, 8080), answer: tcp(server6, 8080, far6, 1000),
			error: about(router6, far6, tcp(far6, 1000, server6, 8080))},
		{name: "SNAT of UDP", first: packet{from: inside, to: outside, proto: protoUDP, sport: 1000, dport: 53}, src: port(vip4, 45000),
			answer: packet{from: outside, to: vip4, proto: protoUDP, sport: 53, dport: 45000},
			error:  about(router4, vip4, packet{from: vip4, to: outside, proto: protoUDP, sport: 45000, dport: 53})},
	}
	g := newTestGate(t, true)
	for _, mode := range []SteerMode{SteerMulticast, SteerUnicast} {
		s := testSteering
		s.Mode = mode
		for _, c := range connections {
			t.Run(fmt.Sprint(mode, "/", c.name), func(t *testing.T) {
				g.clear()
				g.share(t, s)
				connect(t, c.first, c.src, c.dst)
				owner, _ := g.slot(t, c.first)
				g.owned(t, mode, owner, map[string]packet{"first": c.first, "answer": c.answer, "error": c.error})
			})
		}
	}
}

// connectHere puts a connection of TCP into the kernel's table as its own packets would: strict.
func connectHere(t testing.TB, p packet) {
	t.Helper()
	tuple := func(p packet) netlink.IPTuple {
		return netlink.IPTuple{SrcIP: ip(p.from), DstIP: ip(p.to), Protocol: p.proto, SrcPort: p.sport, DstPort: p.dport}
	}
	f := &netlink.ConntrackFlow{FamilyType: unix.AF_INET, Forward: tuple(p), Reverse: tuple(p.answer()), TimeOut: 43200, ProtoInfo: &netlink.ProtoInfoTCP{State: nl.TCP_CONNTRACK_ESTABLISHED}}
	if err := netlink.ConntrackCreate(netlink.ConntrackTable, unix.AF_INET, f); err != nil {
		t.Fatal(err)
	}
}

// TestSteerBegun: of the connections in a slot that is moving here those are taken that have begun here, and no copies of the taker's.
func TestSteerBegun(t *testing.T) {
	port := func(a netip.Addr, p uint16) netip.AddrPort { return netip.AddrPortFrom(a, p) }
	tcp := packet{from: client4, to: far4, proto: protoTCP, sport: 1000, dport: 443, tcp: tcpAck}
	copied, strict := tcp, tcp
	copied.sport, strict.sport = 1001, 1002
	udp := packet{from: server4, to: far4, proto: protoUDP, sport: 1000, dport: 53}
	udp6 := packet{from: client6, to: far6, proto: protoUDP, sport: 1000, dport: 53}
	g := newTestGate(t, true)
	connect(t, copied, noNAT, noNAT)
	connectHere(t, strict)
	connect(t, udp, port(vip4, 45000), noNAT)
	connect(t, udp6, noNAT, noNAT)
	lasting := packet{from: client4, to: far4, proto: protoUDP, sport: 1000, dport: 53}
	connectFor(t, 43200, lasting, noNAT, noNAT)
	for _, c := range []struct {
		name    string
		first   packet
		packets []packet
		here    bool
	}{
		{"TCP, a copy", copied, []packet{copied, copied.answer()}, false},
		{"TCP, begun here", strict, []packet{strict, strict.answer()}, true},
		{"UDP, a copy", lasting, []packet{lasting, lasting.answer()}, false},
		{"UDP through NAT, begun here", udp, []packet{udp, {from: far4, to: vip4, proto: protoUDP, sport: 53, dport: 45000}}, true},
		{"UDP over IPv6, begun here", udp6, []packet{udp6, udp6.answer()}, true},
	} {
		for _, mode := range []SteerMode{SteerMulticast, SteerUnicast} {
			s := testSteering
			s.Mode = mode
			g.clear()
			g.share(t, s)
			mac, passedOn := manyMAC, SteerCorrected
			if mode == SteerUnicast {
				mac, passedOn = vmac, SteerPassed
				g.Words().Renew(0, 7, Boottime())
			}
			owner, _ := g.slot(t, c.first)
			for i, p := range c.packets {
				frame := p.frame(mac, client)
				slot, part := g.slot(t, p)
				for _, e := range entries {
					t.Run(fmt.Sprint(mode, "/", c.name, "/", i, "/", e.name), func(t *testing.T) {
						if mode == SteerMulticast && part != 1 && slot == owner {
							g.check(t, e, steerCase{frame: frame, table: all(1).with(moving(2, 1), owner), want: drop, count: []Counter{SteerForeign}})
							return
						}
						moves := steerCase{frame: frame, table: all(1).with(moving(2, 1), owner), want: answer, out: given(frame, 2), count: []Counter{passedOn}}
						if c.here {
							moves.want, moves.out, moves.count = pass, nil, []Counter{SteerTaken, VmacAdmitted}
						}
						g.check(t, e, moves)
						g.check(t, e, steerCase{frame: frame, table: all(1).with(2, owner), want: answer, out: given(frame, 2), count: []Counter{passedOn}})
					})
				}
			}
		}
	}
}

// owned checks that all packets of a connection go to whoever takes its slot.
func (g *Gate) owned(t *testing.T, mode SteerMode, owner uint16, packets map[string]packet) {
	t.Helper()
	mac, passedOn := manyMAC, SteerCorrected
	if mode == SteerUnicast {
		mac, passedOn = vmac, SteerPassed
		g.Words().Renew(0, 7, Boottime())
	}
	for _, e := range entries {
		for name, p := range packets {
			frame := p.frame(mac, client)
			taken := []Counter{SteerTaken, VmacAdmitted}
			// This member decides about every slot but the owner's, and about its own part of the range.
			slot, part := g.slot(t, p)
			others := all(1).with(2, owner)
			decides := mode == SteerUnicast || part == 1 || slot != owner && part != 2
			cases := []steerCase{{name: "ours", frame: frame, table: all(1).with(0, (owner+1)%SteerSlots).with(2, (owner+2)%SteerSlots), want: pass, count: taken}}
			if mode == SteerMulticast && (part == 0 || part == 2 || slot == (owner+1)%SteerSlots || slot == (owner+2)%SteerSlots) {
				cases[0].table = all(1)
			}
			if decides {
				cases = append(cases,
					steerCase{name: "another's", frame: frame, table: others, want: answer, out: given(frame, 2), count: []Counter{passedOn}},
					steerCase{name: "moving away", frame: frame, table: all(1).with(moving(1, 2), owner), want: pass, count: taken},
					steerCase{name: "moving away, drained", frame: frame, table: all(1).with(moving(1, 2), owner), words: func(w *Words) { g.SetDrained(true) }, want: answer, out: given(frame, 2), count: []Counter{passedOn}},
				)
			}
			for _, c := range cases {
				t.Run(e.name+"/"+name+"/"+c.name, func(t *testing.T) {
					g.SetDrained(false)
					g.check(t, e, c)
				})
			}
		}
	}
	g.SetDrained(false)
}

// TestUntranslated: packets of a family in which nothing is said to be translated go by their own slot, unless what begins must be told from what is
// known, or their slot is about to move.
func TestUntranslated(t *testing.T) {
	type pair struct{ first, answer packet }
	inside4, inside6 := netip.MustParseAddr("192.168.7.7"), netip.MustParseAddr("2001:db8:7::7")
	// Destination translation, to servers that are not published.
	v4 := pair{packet{from: far4, to: vip4, proto: protoTCP, sport: 1000, dport: 80, tcp: tcpAck}, packet{from: inside4, to: far4, proto: protoTCP, sport: 80, dport: 1000, tcp: tcpAck}}
	v6 := pair{packet{from: far6, to: vip6, proto: protoUDP, sport: 1000, dport: 80}, packet{from: inside6, to: far6, proto: protoUDP, sport: 80, dport: 1000}}
	for _, p := range []pair{v4, v6} {
		connect(t, p.first, noNAT, netip.AddrPortFrom(p.answer.from, 80))
	}
	// Of what began here in a slot that is about to move to this member.
	here := packet{from: client4, to: far4, proto: protoUDP, sport: 1000, dport: 53}
	connect(t, here, noNAT, noNAT)
	taken := []Counter{SteerTaken, VmacAdmitted}
	s := testSteering
	s.Published = nil
	g := newTestGate(t, true)
	for _, mode := range []SteerMode{SteerMulticast, SteerUnicast} {
		s.Mode = mode
		mac, passedOn := manyMAC, SteerCorrected
		if mode == SteerUnicast {
			mac, passedOn = vmac, SteerPassed
		}
		for _, e := range entries {
			for _, c := range []struct {
				name         string
				p            pair
				untranslated Families
				asked        bool
			}{
				{"IPv4, asked", v4, Families{}, true},
				{"IPv4, IPv6 is untranslated", v4, Families{Six: true}, true},
				{"IPv4, untranslated", v4, Families{Four: true}, false},
				{"IPv6, asked", v6, Families{}, true},
				{"IPv6, IPv4 is untranslated", v6, Families{Four: true}, true},
				{"IPv6, untranslated", v6, Families{Six: true}, false},
			} {
				t.Run(fmt.Sprint(mode, "/", e.name, "/", c.name), func(t *testing.T) {
					g.clear()
					g.share(t, s)
					g.Words().Renew(0, 7, Boottime())
					owner, _ := g.slot(t, c.p.first)
					g.SetUntranslated(c.untranslated)
					frame := c.p.answer.frame(mac, client)
					want := steerCase{frame: frame, table: all(1).with(2, owner), want: pass, count: taken}
					if c.asked {
						want.want, want.out, want.count = answer, given(frame, 2), []Counter{passedOn}
					}
					g.check(t, e, want)
					begins := packet{from: client4, to: far4, proto: protoTCP, sport: 9, dport: 8, tcp: tcpSyn}
					g.check(t, e, steerCase{frame: begins.frame(mac, client), table: all(1), want: pass, count: taken})
					g.SetBlockNew(true)
					g.check(t, e, steerCase{frame: begins.frame(mac, client), table: all(1), want: drop, count: []Counter{SteerBlocked}})
					g.SetBlockNew(false)
					if slot, _ := g.slot(t, here); mode == SteerUnicast {
						g.check(t, e, steerCase{frame: here.frame(mac, client), table: all(1).with(moving(2, 1), slot), want: pass, count: taken})
					}
				})
			}
		}
	}
	g.SetUntranslated(Families{Four: true, Six: true})
	if err := g.SetSteering(s); err != nil {
		t.Fatal(err)
	}
	if w := g.words.u32(offSteer).Load(); w&(steerPlain4|steerPlain6) != 0 {
		t.Errorf("new rules, and nothing is looked up: %x", w)
	}
}

// TestBlindSteers: programs that cannot ask for connections steer by addresses and ports alone, and drop nothing for being unknown.
func TestBlindSteers(t *testing.T) {
	o := testOptions(newPinDir(t))
	g, err := open(o, withAsking(buildOf(t), false))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(g.Close(), Remove(o.PinDir)); err != nil {
			t.Error(err)
		}
	})
	if err := g.SetVIPs(testVIPs()); err != nil {
		t.Fatal(err)
	}
	g.share(t, testSteering)
	begun := packet{from: server4, to: far4, proto: protoTCP, sport: 1000, dport: 443, tcp: tcpAck}
	answer := packet{from: far4, to: vip4, proto: protoTCP, sport: 443, dport: 45000, tcp: tcpAck}
	connectNAT(t, begun, answer)
	owner, _ := g.slot(t, begun)
	taken := []Counter{SteerTaken, VmacAdmitted}
	for _, e := range entries {
		for _, c := range []steerCase{
			{name: "its owner is another", frame: answer.frame(manyMAC, client), table: all(1).with(2, owner), want: pass, count: taken},
			{name: "unknown", frame: packet{from: far4, to: vip4, proto: protoTCP, sport: 1, dport: 2, tcp: tcpAck}.frame(manyMAC, client), table: all(1), want: pass, count: taken},
			{name: "moving away", frame: begun.frame(manyMAC, client), table: all(moving(1, 2)), want: pass, count: taken},
		} {
			t.Run(e.name+"/"+c.name, func(t *testing.T) { g.check(t, e, c) })
		}
	}
}
