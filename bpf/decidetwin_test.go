// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/dataplane/steer"
	"github.com/holdfast-project/holdfast/members/gate"
)

// conversation is a connection that the kernel knows, with the packets that come in of it.
type conversation struct {
	first, answer packet
	noted, here   bool // the gate goes by a note of it, and whether it has begun here
	translated    bool
}

// asked reports whether the kernel can be asked about it.
func (c conversation) asked() bool { return c.first.proto == protoTCP || c.first.proto == protoUDP }

// converse makes random connections, of every kind of NAT, and has the kernel know those that it can be asked about.
func (r wild) converse(t *testing.T, n int) (known []conversation) {
	t.Helper()
	met := map[Answer]bool{} // no two have packets alike
	for len(known) < n {
		six := r.rng.IntN(4) == 0
		from, to, server, vip, other := r.host(six), r.host(six), server4, vip4, vip4Else
		if six {
			server, vip, other = server6, vip6, vip6Else
		}
		proto := []uint8{protoTCP, protoTCP, protoUDP, protoGRE, protoESP, protoSCTP, protoICMP}[r.rng.IntN(7)]
		port := func() uint16 { return uint16(1024 + r.rng.IntN(60000)) }
		first := packet{from: from, to: to, proto: proto, sport: port(), dport: port(), tcp: tcpAck, id: port(), spi: r.rng.Uint32()}
		if proto == protoICMP {
			if first.icmp = 8; six {
				first.proto, first.icmp = protoICMPv6, 128
			}
		}
		var src, dst netip.AddrPort
		kind := r.rng.IntN(4)
		if kind&1 != 0 { // SNAT
			src = netip.AddrPortFrom(vip, port())
		}
		if kind&2 != 0 { // DNAT
			first.to, dst = vip, netip.AddrPortFrom(server, port())
			src = netip.AddrPort{}
			if kind == 3 {
				src = netip.AddrPortFrom(other, port())
			}
		}
		answer := first.answer()
		if src.IsValid() {
			answer.to, answer.dport, answer.id = src.Addr(), src.Port(), src.Port()
		}
		if dst.IsValid() {
			answer.from, answer.sport = dst.Addr(), dst.Port()
		}
		c := conversation{first: first, answer: answer, here: proto == protoUDP, translated: kind != 0} // as [connect] makes them
		if met[answerTo(first)] || met[answerTo(answer)] {
			continue
		}
		met[answerTo(first)], met[answerTo(answer)] = true, true
		if c.asked() {
			connect(t, first, src, dst)
		} else {
			c.noted, c.here = kind != 0, r.rng.IntN(2) == 0
		}
		known = append(known, c)
	}
	return known
}

func (r wild) host(six bool) netip.Addr {
	for {
		a := r.addr(six)
		switch a {
		case vip4, vip4Tagged, vip4Else, proxy4, vip6, vip6Else, proxy6, vip6Local, far4, far6: // the latter speak to VIPs without being answered
			continue
		}
		if !published.Contains(a) && !netip.MustParsePrefix("2001:db8:2::/64").Contains(a) {
			return a
		}
	}
}

func (r wild) table() SlotTable {
	t := SlotTable{Term: 7, Number: 1, Phase: uint8(steer.PhasePrepare), Leader: testSelf}
	for i := range t.Entry {
		switch r.rng.IntN(8) {
		case 0:
			t.Entry[i] = EntryNobody
		case 1, 2:
			from := uint8(r.rng.IntN(testMembers))
			t.Entry[i] = moving(from, (from+1+uint8(r.rng.IntN(testMembers-1)))%testMembers)
		default:
			t.Entry[i] = uint8(r.rng.IntN(testMembers))
		}
	}
	return t
}

// want is what the gate of this member should do by package steer: the verdict, and whom it gives the packet to.
func want(rules *steer.Rules, table *steer.Table, p steer.Packet, known *steer.Packet) (verdict, uint8) {
	d := rules.Decide(table, p, known)
	if d.Decider != testSelf {
		return drop, 0
	}
	if d.Why == steer.WhyUnknown {
		// Whoever takes it asks for itself: only if that is this member it is dropped here.
		_, taker := rules.Slot(p)
		if !takes(table, taker) {
			open := p
			if p.Inner != nil {
				inner := *p.Inner
				open.Inner = &inner
				open.Inner.TCPFlags = steer.TCPSyn
			}
			open.TCPFlags = steer.TCPSyn
			taker = rules.Decide(table, open, nil).Taker
		}
		d.Taker = taker
		if taker == testSelf {
			return drop, 0
		}
	}
	switch d.Taker {
	case testSelf:
		return pass, 0
	case steer.Nobody:
		return drop, 0
	}
	return answer, d.Taker
}

func takes(t *steer.Table, member uint8) bool {
	now, _ := t.Takes()
	return member < steer.Members && now[member] > 0
}

// TestSteerTwin lets the C gate and package steer decide about packets of known and unknown connections under random tables.
func TestSteerTwin(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if testSeed != 0 {
		seed = testSeed
	}
	t.Logf("seed %d (run again with -gate.seed)", seed)
	g := newTestGate(t, true)
	r := wild{rand.New(rand.NewPCG(seed, 3))}
	known := r.converse(t, 300)
	plain := slices.DeleteFunc(slices.Clone(known), func(c conversation) bool { return c.translated })
	met := map[string]int{}
	for round := range 40 {
		s := testSteering
		s.Mode = []SteerMode{SteerMulticast, SteerUnicast}[round%2]
		s.Key = []SteerKey{SteerByPorts, SteerByIPs, SteerByPortsAndSPI}[round%3]
		s.BlockNew = round%7 == 6
		if round%4 < 2 {
			s.Published = nil // most packets then need no look at anything but their ends
		}
		g.clear()
		g.share(t, s)
		mac := manyMAC
		if s.Mode == SteerUnicast {
			mac = vmac
			g.Words().Renew(0, 7, Boottime())
		}
		table := r.table()
		g.set(t, table)
		g.SetDrained(round%5 == 4)
		for _, c := range known {
			if slot, _ := g.slot(t, c.first); c.noted {
				g.note(t, c.answer, slot, c.here)
			}
		}
		known := known
		if round%8 < 3 { // these need not be looked up, and go where they go otherwise
			known = plain
			g.SetUntranslated(Families{Four: true, Six: true})
		}
		rules := testRules(s)
		rules.BlockNew, rules.Drained = s.BlockNew, round%5 == 4
		twin := &steer.Table{Version: steer.Version{Term: 7, Number: 1, Phase: steer.PhasePrepare}, Leader: testSelf}
		for i, e := range table.Entry {
			twin.Entry[i] = steer.Entry(e)
		}
		for range 300 {
			var p packet
			var about *packet // how its connection began
			here, kind := false, "else"
			if r.rng.IntN(3) > 0 {
				c := known[r.rng.IntN(len(known))]
				p, about = []packet{c.first, c.answer}[r.rng.IntN(2)], &c.first
				if here = c.here; c.noted {
					kind = "noted"
				} else if c.asked() {
					kind = "asked"
				}
				if r.rng.IntN(4) == 0 { // somebody on the way reports about what left
					left := p.answer()
					p = packet{from: far4, to: left.from, proto: protoICMP, icmp: 11, inner: left.bytes(), about: &left}
					if left.from.Is6() {
						p.from, p.proto, p.icmp = far6, protoICMPv6, 3
					}
				}
			} else if p = r.packet(0); p.discovers() || p.fragment != 0 || p.more {
				continue
			}
			frame := p.frame(mac, client)
			seen, err := rules.Parse(frame)
			if err != nil {
				t.Fatalf("%+v: %v", p, err)
			}
			var first *steer.Packet
			if about != nil {
				first = about.steered(s.Key)
				first.Here = here
			}
			verdict, to := want(rules, twin, seen, first)
			e := entries[r.rng.IntN(2)]
			got, out := e.run(t, g, frame, nil)
			if got != verdict || got == answer && [6]byte(out) != macOf[to] {
				t.Fatalf("round %d, %s: %v to % x, want %v to member %d (%+v)\n%+v, of %+v", round, e.name, got, out[:6], verdict, to, rules.Decide(twin, seen, first), p, about)
			}
			met[fmt.Sprint(verdict, " ", kind, " error ", p.about != nil)]++
		}
	}
	for _, v := range []verdict{pass, drop, answer} {
		for _, k := range []string{" asked error true", " asked error false", " noted error true", " noted error false", " else error false"} {
			if met[string(v)+k] < 20 {
				t.Errorf("%s%s: %d packets only", v, k, met[string(v)+k])
			}
		}
	}
	t.Log(met)
}

var _ = [1]struct{}{}[gate.Members-steer.Members] // the two number members alike
