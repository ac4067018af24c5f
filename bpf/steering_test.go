// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/members/gate"
)

// The cast of load sharing: this is member 1 of 3.
var (
	manyMAC   = [6]byte{0x01, 0, 0x5e, 0x12, 0x34, 0} // the VMAC in multicast
	macOf     = [3][6]byte{peerMAC, ownMAC, {0x52, 0x54, 0, 0, 0, 3}}
	published = netip.MustParsePrefix("10.1.0.0/24")
	server4   = netip.MustParseAddr("10.1.0.80")
	server6   = netip.MustParseAddr("2001:db8:2::80")
)

var testSteering = Steering{
	Mode: SteerMulticast, Key: SteerByPorts, HashKey: [2]uint64{0x0706050403020100, 0x0f0e0d0c0b0a0908},
	SNATFirst: 30000, SNATLast: 59999, // 30000 39999 member 0, 40000 49999 member 1, 50000 59999 member 2
	Published: []netip.Prefix{published, netip.MustParsePrefix("2001:db8:2::/64")},
}

// all is a table in which one member takes everything.
func all(entry uint8) SlotTable {
	t := SlotTable{Term: 7, Number: 3, Phase: 2, Share: [gate.Members]uint32{7, 7, 7}}
	for i := range t.Entry {
		t.Entry[i] = entry
	}
	return t
}

// moving is the entry of a slot that moves.
func moving(from, to uint8) uint8 { return from | to<<3 | EntryMoving }

// with changes entries of a table.
func (t SlotTable) with(entry uint8, slots ...uint16) SlotTable {
	for _, s := range slots {
		t.Entry[s] = entry
	}
	return t
}

// newSharingGate is a gate that shares load, with its share open.
func newSharingGate(tb testing.TB, s Steering) *Gate {
	tb.Helper()
	g := newTestGate(tb, true)
	g.share(tb, s)
	return g
}

func (g *Gate) share(tb testing.TB, s Steering) {
	tb.Helper()
	v := vmac
	if s.Mode == SteerMulticast {
		v = manyMAC
	}
	for _, err := range []error{
		g.putIface(Iface{Index: testIface, Slot: testSlot, MAC: ownMAC, VMAC: v, Gated: true, UseVMAC: true}),
		g.SetTimers(time.Hour, time.Hour, 25*time.Millisecond, 200*time.Millisecond),
		g.SetSteering(s),
		g.SetMemberMACs(testSlot, [gate.Members]net.HardwareAddr{hw(macOf[0]), nil, hw(macOf[2])}),
	} {
		if err != nil {
			tb.Fatal(err)
		}
	}
	g.Words().RenewShare(7, Boottime())
}

// slot asks the gate's own program for the slot of a packet, and for whose part of the SNAT range it is.
func (g *Gate) slot(tb testing.TB, p packet) (slot uint16, part uint8) {
	tb.Helper()
	where := placeOf(tb, g, "xdp", p.frame(manyMAC, client))
	return uint16(where & 1023), uint8(where >> 16)
}

func (g *Gate) set(tb testing.TB, t SlotTable) {
	tb.Helper()
	if err := g.SetSlots(t); err != nil {
		tb.Fatal(err)
	}
}

// settled has the table be in force for long.
func (g *Gate) settled() {
	word := g.words.u64(offTable)
	word.Store(word.Load() & 1)
}

// given is a frame that was passed on to a member.
func given(frame []byte, member int) []byte {
	return changed(frame, func(b []byte) {
		copy(b, macOf[member][:])
		copy(b[6:], ownMAC[:])
	})
}

// steerCase is one packet that meets a table.
type steerCase struct {
	name  string
	frame []byte
	table SlotTable
	words func(w *Words)
	want  verdict
	out   []byte // nil: unchanged, but for what XDP does to a frame that is taken in
	count []Counter
}

func (g *Gate) check(t *testing.T, e entry, c steerCase) {
	t.Helper()
	if len(c.frame) < 14+20 && e.name == "tcx" {
		return // BPF_PROG_TEST_RUN for tc does not take it
	}
	g.set(t, c.table)
	g.settled()
	if c.words != nil {
		c.words(g.Words())
	}
	want := c.out
	if want == nil {
		want = c.frame
		if dst := [6]byte(c.frame); e.name == "xdp" && c.want == pass && (dst == manyMAC || dst == vmac) {
			want = readdressed(c.frame)
		}
	}
	moved := counted(t, g, func() {
		got, out := e.run(t, g, c.frame, nil)
		if got != c.want {
			t.Errorf("verdict %v, want %v", got, c.want)
			return
		}
		checkBytes(t, out, want)
	})
	checkCounted(t, moved, c.count...)
}

// TestSteerMulticast: every member sees every packet, and the taker of its slot decides. No connection is known here.
func TestSteerMulticast(t *testing.T) {
	g := newSharingGate(t, testSteering)
	plain := packet{from: client4, to: far4, proto: protoUDP, sport: 1000, dport: 2000}
	plain6 := packet{from: client6, to: far6, proto: protoUDP, sport: 1000, dport: 2000}
	toVIP := packet{from: far4, to: vip4, proto: protoTCP, sport: 1000, dport: 80, tcp: tcpSyn}
	ackVIP := packet{from: far4, to: vip4, proto: protoTCP, sport: 1000, dport: 80, tcp: tcpAck}
	rstVIP := packet{from: far4, to: vip4, proto: protoTCP, sport: 1000, dport: 80, tcp: tcpRst}
	inRange := func(port uint16) packet {
		return packet{from: far4, to: vip4, proto: protoUDP, sport: 53, dport: port}
	}
	many := func(p packet) []byte { return p.frame(manyMAC, client) }
	gre := packet{from: client4, to: far4, proto: protoGRE}
	discovery := func(typ, hops uint8, to netip.Addr) packet {
		return packet{from: client6, to: to, proto: protoICMPv6, icmp: typ, hops: hops}
	}
	slot, _ := g.slot(t, plain)
	passedOn := plain.frame(ownMAC, macOf[2])
	taken, foreign := []Counter{SteerTaken, VmacAdmitted}, []Counter{SteerForeign}

	cases := []steerCase{
		{name: "ours", frame: many(plain), table: all(1), want: pass, count: taken},
		{name: "another's", frame: many(plain), table: all(0), want: drop, count: foreign},
		{name: "ours by its slot alone", frame: many(plain), table: all(0).with(1, slot), want: pass, count: taken},
		{name: "another's by its slot alone", frame: many(plain), table: all(1).with(2, slot), want: drop, count: foreign},
		{name: "nobody's", frame: many(plain), table: all(EntryNobody), want: drop, count: []Counter{SteerNobody}},
		{name: "no table", frame: many(plain), want: drop, count: []Counter{SteerNobody}},
		{name: "IPv6", frame: many(plain6), table: all(1), want: pass, count: taken},
		{name: "IPv6, another's", frame: many(plain6), table: all(2), want: drop, count: foreign},
		{name: "in a VLAN", frame: plain.frame(manyMAC, client, 10), table: all(1), want: pass, count: taken},
		{name: "in a VLAN, another's", frame: plain.frame(manyMAC, client, 10), table: all(0), want: drop, count: foreign},
		{name: "share closed", frame: many(plain), table: all(1), words: func(w *Words) { w.RevokeShare() }, want: drop, count: []Counter{ClosedVmac}},
		{name: "share fenced off", frame: many(plain), table: all(1), words: func(w *Words) { w.u64(offShareLinger).Store(0); w.word(0, offFence).Store(8<<8 | 2) }, want: drop, count: []Counter{ClosedVmac}},
		{name: "share lingers", frame: many(plain), table: all(1), words: func(w *Words) { w.Grant(0, 8, 2) }, want: pass, count: taken},
		{name: "under the leader's term", frame: many(plain), table: all(1), words: func(w *Words) { w.word(0, offFence).Store(7<<8 | 2) }, want: pass, count: taken},
		{name: "a quiet interface", frame: many(plain), table: all(1), words: func(w *Words) { w.SetQuiet(testSlot, QuietForGood) }, want: drop, count: []Counter{QuietRx}},

		{name: "for many", frame: many(packet{from: client4, to: netip.MustParseAddr("224.0.0.5"), proto: 89}), table: all(0), want: pass, count: []Counter{VmacAdmitted}},
		{name: "neighbour discovery", frame: many(discovery(135, 255, far6)), table: all(0), want: pass, count: []Counter{VmacAdmitted}},
		{name: "neighbour discovery from afar", frame: many(discovery(135, 64, far6)), table: all(0), want: drop, count: foreign},
		{name: "neighbour discovery from afar, ours", frame: many(discovery(136, 64, far6)), table: all(1), want: pass, count: taken},
		{name: "listener discovery", frame: many(discovery(143, 1, far6)), table: all(0), want: pass, count: []Counter{VmacAdmitted}},
		{name: "listener discovery from afar", frame: many(discovery(143, 255, far6)), table: all(0), want: drop, count: foreign},
		{name: "discovery to a link-local address", frame: many(discovery(136, 64, netip.MustParseAddr("fe80::99"))), table: all(0), want: pass, count: []Counter{VmacAdmitted}},
		{name: "to this member's own MAC", frame: plain.frame(ownMAC, client), table: all(0), want: pass},
		{name: "to this member's own MAC and a VIP", frame: toVIP.frame(ownMAC, client), table: all(0), want: pass},
		{name: "to a stranger's MAC", frame: plain.frame(stranger, client), table: all(1), want: pass},
		{name: "to a stranger's MAC and a VIP", frame: toVIP.frame(stranger, client), table: all(1), want: drop, count: []Counter{ClosedVip}},
		{name: "to another group's VIP", frame: many(packet{from: client4, to: vip4Group3, proto: protoUDP, sport: 1, dport: 2}), table: all(1), want: drop, count: []Counter{ClosedVip}},
		{name: "no whole header", frame: many(plain)[:14+19], table: all(1), want: pass, count: []Counter{VmacAdmitted}},

		{name: "a connection begins at a VIP", frame: many(toVIP), table: all(1), want: pass, count: taken},
		{name: "the middle of one, unknown", frame: many(ackVIP), table: all(1), want: drop, count: []Counter{SteerUnknown}},
		{name: "a reset to a VIP, unknown", frame: many(rstVIP), table: all(1), want: drop, count: []Counter{SteerUnknown}},
		{name: "the middle of one, another's", frame: many(ackVIP), table: all(2), want: drop, count: foreign},
		{name: "the middle of one, in transit", frame: many(packet{from: client4, to: far4, proto: protoTCP, sport: 1, dport: 2, tcp: tcpAck}), table: all(1), want: pass, count: taken},
		{name: "in our part of the SNAT range, unknown", frame: many(inRange(45000)), table: all(2).with(1, 0), want: drop, count: []Counter{SteerUnknown}},
		{name: "in another's part", frame: many(inRange(35000)), table: all(1).with(0, 0), want: drop, count: foreign},
		{name: "in the part of one that takes nothing", frame: many(inRange(35000)), table: all(1), want: pass, count: taken},
		{name: "below the range", frame: many(inRange(29999)), table: all(1), want: pass, count: taken},
		{name: "above the range", frame: many(inRange(60000)), table: all(1), want: pass, count: taken},
		{name: "an echo's answer in our part", frame: many(packet{from: far4, to: vip4, proto: protoICMP, icmp: 0, id: 45000}), table: all(2).with(1, 0), want: pass, count: taken},
		{name: "an echo request in our part", frame: many(packet{from: far4, to: vip4, proto: protoICMP, icmp: 8, id: 45000}), table: all(2).with(1, 0), want: drop, count: foreign},

		{name: "moving away, unknown", frame: many(plain), table: all(moving(1, 2)), want: answer, out: given(many(plain), 2), count: []Counter{SteerCorrected}},
		{name: "moving to us", frame: many(plain), table: all(moving(0, 1)), want: drop, count: foreign},
		{name: "moving away, cannot be known", frame: many(gre), table: all(moving(1, 2)), want: pass, count: taken},
		{name: "moving away, cannot be known, drained", frame: many(gre), table: all(moving(1, 2)), words: func(*Words) { g.SetDrained(true) }, want: answer, out: given(many(gre), 2), count: []Counter{SteerCorrected}},
		{name: "moving to a member without a MAC", frame: many(plain), table: all(moving(1, 4)), want: drop, count: []Counter{SteerCorrected, SteerNoMac}},

		{name: "passed on to us", frame: passedOn, table: all(2), want: pass, count: []Counter{SteerPassedIn}},
		{name: "passed on to us while it moves", frame: passedOn, table: all(moving(2, 1)), want: pass, count: []Counter{SteerPassedIn}},
		{name: "passed on to us without a share", frame: passedOn, table: all(2), words: func(w *Words) { w.RevokeShare() }, want: pass},
		{name: "an answer passed on to us, unknown", frame: ackVIP.frame(ownMAC, macOf[0]), table: all(2), want: drop, count: []Counter{SteerUnknown}},
		{name: "in our part, passed on to us, unknown", frame: inRange(45000).frame(ownMAC, macOf[0]), table: all(1).with(2, 0), want: drop, count: []Counter{SteerDuplicate}},
		{name: "to a VIP, passed on twice", frame: toVIP.frame(ownMAC, macOf[0]), table: all(1), want: drop, count: []Counter{SteerDuplicate}},
	}
	for _, e := range entries {
		for _, c := range cases {
			t.Run(e.name+"/"+c.name, func(t *testing.T) {
				g.clear()
				g.share(t, testSteering)
				g.check(t, e, c)
			})
		}
	}
}
