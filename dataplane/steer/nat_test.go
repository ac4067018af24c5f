// SPDX-License-Identifier: Apache-2.0

package steer

import (
	"net/netip"
	"testing"

	"github.com/holdfast-project/holdfast/internal/simtest"
)

// flow is a connection as its packets look on the wires before and behind the cluster.
type flow struct {
	out, back Packet // as they come in: of the original direction, and of the answers
	orig      Packet // the original tuple: what connection tables have
	snat      bool   // the owner chooses the port that answers come to
	dnat      bool
}

var (
	vips = [...]netip.Addr{addr("192.0.2.1"), addr("10.0.0.1"), addr("2001:db8::1"), addr("fd00::1")}
	pub  = []netip.Prefix{netip.MustParsePrefix("10.0.1.0/24"), netip.MustParsePrefix("10.9.9.9/32"), netip.MustParsePrefix("fd00:1::/64")}
)

func natRules(kind Kind, mode Mode, members int) *Rules {
	return &Rules{Kind: kind, Key: [2]uint64{0x123456789, 0xabcdef}, Mode: mode, Members: members, SNATFirst: 32768, SNATLast: 65535, Published: pub,
		VIP: func(a netip.Addr) bool { return a == vips[0] || a == vips[1] || a == vips[2] || a == vips[3] }}
}

func random(r *rng, six bool, net string) netip.Addr {
	p := netip.MustParsePrefix(net)
	b := p.Addr().AsSlice()
	for i := p.Bits() / 8; i < len(b); i++ {
		b[i] = byte(r.next())
	}
	if !six {
		b[3] |= 2
	} else {
		b[15] |= 2
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// randomFlow makes a connection with whatever NAT. port is what its owner would choose of its part of the range.
func randomFlow(r *rng) flow {
	six := r.chance(40)
	pick := func(four, six6 string) netip.Addr {
		if six {
			return random(r, true, six6)
		}
		return random(r, false, four)
	}
	vip := func(i int64) netip.Addr {
		if six {
			return vips[2+i]
		}
		return vips[i]
	}
	protos := [...]uint8{ProtoTCP, ProtoTCP, ProtoTCP, ProtoUDP, ProtoUDP, ProtoSCTP, ProtoUDPLite, ProtoDCCP, ProtoICMP, ProtoGRE}
	proto := protos[r.n(int64(len(protos)))]
	client, server := pick("198.51.0.0/16", "2001:db8:9::/48"), pick("172.16.0.0/16", "fd00:2::/64")
	p := Packet{Proto: proto, Src: client, Dst: server, SrcPort: uint16(1 + r.n(65535)), DstPort: uint16(1 + r.n(32767))}
	switch proto {
	case ProtoICMP:
		p.ICMPType = icmpRequest
		if six {
			p.Proto, p.ICMPType = ProtoICMPv6, icmpv6Request
		}
		p.DstPort = p.SrcPort
	case ProtoGRE:
		p.SrcPort, p.DstPort = 0, 0
	case ProtoTCP:
		p.TCPFlags = TCPSyn
	}
	f := flow{out: p, orig: p, back: p.Reversed()}
	kind := r.n(4)
	if proto == ProtoGRE && kind != 2 {
		kind = 0 // what has no ports cannot be told apart behind one address
	}
	if kind&1 != 0 { // SNAT to a VIP
		f.snat = true
		f.back.Dst = vip(r.n(2))
	}
	if kind&2 != 0 { // DNAT to a published server
		f.dnat = true
		f.out.Dst = vip(r.n(2))
		f.orig = f.out
		f.back.Src = random(r, six, pub[map[bool]int{true: 2}[six]].String())
		if HasPorts(proto) {
			f.back.SrcPort = uint16(1 + r.n(32767))
		}
	}
	return f
}

// choose sets the port that the owner's SNAT chooses.
func (f *flow) choose(r *rng, rules *Rules, owner uint8) {
	if !f.snat || f.back.Proto == ProtoGRE {
		return
	}
	from, to := Range(rules.SNATFirst, rules.SNATLast, rules.Members, int(owner))
	f.back.DstPort = from + uint16(r.n(int64(to-from)+1))
	if HasID(f.back.Proto, f.back.ICMPType) {
		f.back.SrcPort = f.back.DstPort
	}
	if f.back.Proto == ProtoTCP {
		f.back.TCPFlags = TCPSyn | TCPAck
	}
}

func commit(r *rng, members int) *Table {
	t := &Table{Version: Version{Term: 1, Phase: PhaseCommit}}
	var nobody [Slots]uint8
	for i := range nobody {
		nobody[i] = Nobody
	}
	var weights [Members]uint16
	for i := range members {
		weights[i] = uint16(1 + r.n(100))
	}
	o, _ := Assign(&nobody, weights)
	for i := range o {
		t.Entry[i], t.Share[o[i]] = Taken(o[i]), 1
	}
	return t
}

// TestBothDirections: a million connections with random NAT. Both directions are decided to one member, at first without anybody's knowing
// the connection but who took its first packet; then by those who know it, while slots move and members fail.
func TestBothDirections(t *testing.T) {
	runs := simtest.Number(t, "HOLDFAST_FLOWS", 1_000_000)
	if testing.Short() {
		runs = 50_000
	}
	r := &rng{42}
	corrected := 0
	var rules *Rules
	var table, moving, after *Table
	for i := range runs {
		if i%1000 == 0 {
			members := 2 + int(r.n(7))
			rules = natRules(Kind(r.n(3)), ModeMulticast+Mode(r.n(2)), members)
			rules.Key = [2]uint64{r.next(), r.next()}
			table = commit(r, members)
			moving, after = change(r, table, members)
		}
		f := randomFlow(r)
		first := rules.Decide(table, f.out, nil)
		if first.Taker >= uint8(rules.Members) {
			t.Fatalf("%+v: the first packet goes to %+v", f.out, first)
		}
		f.choose(r, rules, first.Taker)

		// Nobody but its taker knows it yet: its answers must come there by the hash or the range.
		hash := *rules
		hash.Blind = true
		if back := hash.Decide(table, f.back, nil); back.Taker != first.Taker {
			t.Fatalf("%+v goes to %d, its answer %+v to %d: %s", f.out, first.Taker, f.back, back.Taker, back.Why)
		}
		// The same for what a router says of it, on its way out and back.
		for _, p := range []Packet{f.back.Reversed(), f.out.Reversed()} {
			if p.Proto == ProtoICMP || p.Proto == ProtoICMPv6 {
				continue
			}
			// As it left the cluster: the translated packet, with the router's own address outside.
			e := Packet{Src: random(r, !p.Src.Is4(), map[bool]string{true: "203.0.113.0/24", false: "2001:db8:f::/48"}[p.Src.Is4()]), Dst: p.Src, Proto: ProtoICMP, ICMPType: 3, Inner: &p}
			if !p.Src.Is4() {
				e.Proto, e.ICMPType = ProtoICMPv6, 1
			}
			if d := hash.Decide(table, e, nil); d.Taker != first.Taker {
				t.Fatalf("%+v goes to %d, an error about it to %d: %s", f.out, first.Taker, d.Taker, d.Why)
			}
		}
		// Everybody knows it: its owner takes both directions, through a move and a failure.
		// Of other protocols the gate cannot look connections up: they go by hash and range, also to who has but a copy.
		for _, tb := range []*Table{table, moving, after} {
			if f.orig.Proto != ProtoTCP && f.orig.Proto != ProtoUDP {
				break
			}
			out, back := rules.Decide(tb, f.out, &f.orig), rules.Decide(tb, f.back, &f.orig)
			owner := tb.Entry[rules.slot(&f.orig)].Taker()
			if out.Taker != owner || back.Taker != owner {
				t.Fatalf("%+v is %d's, but goes to %d, and %+v to %d", f.out, owner, out.Taker, f.back, back.Taker)
			}
			if out.Corrected {
				t.Fatalf("%+v is corrected, though it is of the original direction", f.out)
			}
			if back.Corrected {
				corrected++
				if tb == table {
					t.Fatalf("%+v is corrected, though nothing has moved", f.back)
				}
			}
		}
	}
	t.Logf("%d connections; %d of as many answers after a change were corrected", runs, corrected)
}

// change moves slots: a prepare, and then a failure of some member.
func change(r *rng, t *Table, members int) (prepare, after *Table) {
	p, a := *t, *t
	var w [Members]uint16
	for i := range members {
		w[i] = uint16(1 + r.n(100))
	}
	old := t.Owners()
	next, _ := Assign(&old, w)
	p.Phase = PhasePrepare
	for i := range next {
		p.Entry[i] = Moves(old[i], next[i])
	}
	dead := uint8(r.n(int64(members)))
	orphans := next
	for i, o := range orphans {
		if o == dead {
			orphans[i] = Nobody
		}
	}
	w[dead] = 0
	for i, o := range Fill(&orphans, w) {
		a.Entry[i] = Taken(o)
	}
	return &p, &a
}

// TestShares: a hundred thousand random connections are spread as the weights say, to one in twenty.
func TestShares(t *testing.T) {
	r := &rng{7}
	for _, weights := range [][Members]uint16{{1, 1}, {30, 70}, {20, 40, 40}, {1, 1, 1, 1, 1}, {10, 90}} {
		for _, kind := range []Kind{ByIPs, ByPorts} {
			rules := natRules(kind, ModeMulticast, 5)
			rules.Key = [2]uint64{r.next(), r.next()}
			var nobody [Slots]uint8
			for i := range nobody {
				nobody[i] = Nobody
			}
			owners, _ := Assign(&nobody, weights)
			var got [Members]int
			const flows = 100_000
			for range flows {
				f := randomFlow(r)
				slot, _ := rules.Slot(f.out)
				got[owners[slot]]++
			}
			sum := 0
			for _, w := range weights {
				sum += int(w)
			}
			for i, w := range weights {
				want := float64(w) * flows / float64(sum)
				if d := float64(got[i]) - want; d > want/20 || d < -want/20 {
					t.Errorf("weights %v, %v: member %d has %d of %d connections, want %.0f", weights, kind, i, got[i], flows, want)
				}
			}
		}
	}
}

// TestSlotsEven: no slot is more than chance would make it, also for addresses and ports in sequence.
func TestSlotsEven(t *testing.T) {
	rules := natRules(ByPorts, ModeMulticast, 2)
	var n [Slots]int
	const flows = 200_000
	p := Packet{Src: addr("172.16.0.1"), Dst: addr("198.51.100.1"), Proto: ProtoUDP, SrcPort: 1, DstPort: 53}
	for range flows {
		slot, _ := rules.Slot(p)
		n[slot]++
		p.SrcPort++
		if p.SrcPort == 0 {
			p.Src = p.Src.Next()
		}
	}
	chi := 0.0
	for _, x := range n {
		d := float64(x) - float64(flows)/Slots
		chi += d * d / (float64(flows) / Slots)
	}
	if chi < 850 || chi > 1200 { // 1023 with a standard deviation of 45
		t.Errorf("chi square %.0f", chi)
	}
}

func BenchmarkSlot(b *testing.B) {
	for name, p := range map[string]Packet{
		"IPv4": {Src: addr("172.16.0.1"), Dst: addr("198.51.100.1"), Proto: ProtoUDP, SrcPort: 1, DstPort: 53},
		"IPv6": {Src: addr("fd00:2::1"), Dst: addr("2001:db8:9::1"), Proto: ProtoUDP, SrcPort: 1, DstPort: 53},
	} {
		rules := natRules(ByPorts, ModeMulticast, 2)
		rules.Published = nil
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				rules.Slot(p)
			}
		})
	}
}

func BenchmarkDecide(b *testing.B) {
	rules, table := natRules(ByPorts, ModeMulticast, 3), commit(&rng{1}, 3)
	p := Packet{Src: addr("172.16.0.1"), Dst: addr("198.51.100.1"), Proto: ProtoUDP, SrcPort: 1, DstPort: 53}
	for b.Loop() {
		rules.Decide(table, p, &p)
	}
}

func BenchmarkParse(b *testing.B) {
	rules := natRules(ByPorts, ModeMulticast, 3)
	frame := frameOf(Packet{Src: addr("172.16.0.1"), Dst: addr("198.51.100.1"), Proto: ProtoUDP, SrcPort: 1, DstPort: 53}, 1)
	for b.Loop() {
		if _, err := rules.Parse(frame); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAssign(b *testing.B) {
	t := commit(&rng{1}, 5)
	old := t.Owners()
	for b.Loop() {
		Assign(&old, [Members]uint16{3, 1, 4, 1, 5})
	}
}
