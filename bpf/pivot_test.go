// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"testing"

	"github.com/google/gopacket/layers"
)

// TestSteerUnicast: the pivot, which answers for the cluster, decides; to all others its frames are strange.
func TestSteerUnicast(t *testing.T) {
	s := testSteering
	s.Mode = SteerUnicast
	g := newSharingGate(t, s)
	plain := packet{from: client4, to: far4, proto: protoUDP, sport: 1000, dport: 2000}
	toVIP := packet{from: far4, to: vip4, proto: protoTCP, sport: 1000, dport: 80, tcp: tcpSyn}
	ack := packet{from: far4, to: vip4, proto: protoTCP, sport: 1000, dport: 80, tcp: tcpAck}
	frame, passedOn := plain.frame(vmac, client), plain.frame(ownMAC, macOf[0])
	pivot := func(w *Words) { w.Renew(0, 7, Boottime()) }
	with := func(more func(w *Words)) func(w *Words) {
		return func(w *Words) { pivot(w); more(w) }
	}
	taken := []Counter{SteerTaken, VmacAdmitted}
	cases := []steerCase{
		{name: "the pivot's own", frame: frame, table: all(1), words: pivot, want: pass, count: taken},
		{name: "another's", frame: frame, table: all(0), words: pivot, want: answer, out: given(frame, 0), count: []Counter{SteerPassed}},
		{name: "another's, in a VLAN", frame: plain.frame(vmac, client, 10), table: all(0), words: pivot, want: answer, out: given(plain.frame(vmac, client, 10), 0), count: []Counter{SteerPassed}},
		{name: "nobody's", frame: frame, table: all(EntryNobody), words: pivot, want: drop, count: []Counter{SteerNobody}},
		{name: "moving", frame: frame, table: all(moving(0, 2)), words: pivot, want: answer, out: given(frame, 2), count: []Counter{SteerPassed}},
		{name: "of a pivot without a share, another's", frame: frame, table: all(2), words: with(func(w *Words) { w.RevokeShare() }), want: answer, out: given(frame, 2), count: []Counter{SteerPassed}},
		{name: "of a pivot without a share, its own", frame: frame, table: all(1), words: with(func(w *Words) { w.RevokeShare() }), want: drop, count: []Counter{ClosedVmac}},
		{name: "unknown, another's", frame: ack.frame(vmac, client), table: all(2), words: pivot, want: answer, out: given(ack.frame(vmac, client), 2), count: []Counter{SteerPassed}},
		{name: "unknown, the pivot's own", frame: ack.frame(vmac, client), table: all(1), words: pivot, want: drop, count: []Counter{SteerUnknown}},
		{name: "of a pivot that handed over in order", frame: frame, table: all(2), words: func(w *Words) { w.word(0, offLingering).Store(uint64(Boottime() + 1e12)) }, want: answer, out: given(frame, 2), count: []Counter{SteerPassed}},
		{name: "flooded to another", frame: frame, table: all(1), want: drop, count: []Counter{ClosedVmac}},
		{name: "flooded to another, for a VIP", frame: toVIP.frame(vmac, client), table: all(1), want: drop, count: []Counter{ClosedVip}},
		{name: "passed on to us", frame: passedOn, table: all(1), want: pass, count: []Counter{SteerPassedIn}},
		{name: "passed on to us by a pivot with another table", frame: passedOn, table: all(0), want: pass, count: []Counter{SteerPassedIn}},
		{name: "passed on to us, for a VIP", frame: toVIP.frame(ownMAC, macOf[2]), table: all(1), want: pass, count: []Counter{SteerPassedIn}},
		{name: "passed on to us, unknown", frame: ack.frame(ownMAC, macOf[2]), table: all(1), want: drop, count: []Counter{SteerUnknown}},
		{name: "passed on to us, for a VIP, without a share", frame: toVIP.frame(ownMAC, macOf[2]), table: all(1), words: func(w *Words) { w.RevokeShare() }, want: drop, count: []Counter{ClosedVip}},
		{name: "passed on to the pivot is never passed on again", frame: passedOn, table: all(2), words: pivot, want: pass, count: []Counter{SteerPassedIn}},
		{name: "from a stranger to our own MAC", frame: plain.frame(ownMAC, stranger), table: all(2), words: pivot, want: pass},
	}
	for _, e := range entries {
		for _, c := range cases {
			t.Run(e.name+"/"+c.name, func(t *testing.T) {
				g.clear()
				g.share(t, s)
				g.check(t, e, c)
			})
		}
	}
}

// TestSteerBlocked: what would begin a connection is dropped, as far as that can be told.
func TestSteerBlocked(t *testing.T) {
	s := testSteering
	s.BlockNew = true
	g := newSharingGate(t, s)
	known := packet{from: client4, to: far4, proto: protoTCP, sport: 7, dport: 8, tcp: tcpAck}
	begins := packet{from: client4, to: far4, proto: protoTCP, sport: 9, dport: 8, tcp: tcpSyn}
	connect(t, known, noNAT, noNAT)
	for _, e := range entries {
		for _, c := range []steerCase{
			{name: "known", frame: known.frame(manyMAC, client), want: pass, count: []Counter{SteerTaken, VmacAdmitted}},
			{name: "begins", frame: begins.frame(manyMAC, client), want: drop, count: []Counter{SteerBlocked}},
			{name: "cannot be told", frame: packet{from: client4, to: far4, proto: protoGRE}.frame(manyMAC, client), want: pass, count: []Counter{SteerTaken, VmacAdmitted}},
		} {
			c.table = all(1)
			t.Run(e.name+"/"+c.name, func(t *testing.T) { g.check(t, e, c) })
		}
	}
	g.SetBlockNew(false)
	g.check(t, entries[0], steerCase{frame: begins.frame(manyMAC, client), table: all(1), want: pass, count: []Counter{SteerTaken, VmacAdmitted}})
}

// TestSharingNeighbours: only the leader answers; with a MAC of many its answers come from its own.
func TestSharingNeighbours(t *testing.T) {
	g := newSharingGate(t, testSteering)
	from := func(b []byte) []byte { return changed(b, func(b []byte) { copy(b[6:], ownMAC[:]) }) }
	unicast := whoHas(vip4)
	unicast.dst = manyMAC
	unicastNS := whoIs(vip6)
	unicastNS.dst, unicastNS.to = manyMAC, vip6
	leads := func(w *Words) { w.Renew(0, 7, Boottime()) }
	for _, e := range entries {
		for _, c := range []steerCase{
			{name: "arp", frame: padded(whoHas(vip4).bytes()), words: leads, want: answer, out: from(padded(whoHas(vip4).answered(manyMAC))), count: []Counter{ArpAnswered}},
			{name: "arp to the MAC of many", frame: padded(unicast.bytes()), words: leads, want: answer, out: from(padded(unicast.answered(manyMAC))), count: []Counter{ArpAnswered}},
			{name: "ns", frame: whoIs(vip6).bytes(), words: leads, want: answer, out: from(whoIs(vip6).answered(manyMAC, false)), count: []Counter{NdAnswered}},
			{name: "ns to the MAC of many", frame: unicastNS.bytes(), words: leads, want: answer, out: from(unicastNS.answered(manyMAC, false)), count: []Counter{NdAnswered}},
			{name: "arp, not the leader", frame: padded(whoHas(vip4).bytes()), want: drop, count: []Counter{ClosedArp}},
			{name: "arp to the MAC of many, not the leader", frame: padded(unicast.bytes()), want: drop, count: []Counter{ClosedArp}},
			{name: "ns to the MAC of many, not the leader", frame: unicastNS.bytes(), want: drop, count: []Counter{ClosedNd}},
		} {
			c.table = all(0)
			t.Run(e.name+"/"+c.name, func(t *testing.T) {
				g.clear()
				g.share(t, testSteering)
				g.check(t, e, c)
				if n := g.closedRx(); n != 0 {
					t.Errorf("%d frames to the MAC of many are reported as meeting a closed gate: the leader would announce again and again", n)
				}
			})
		}
	}
}

// TestSharingEgress: whoever carries a share may send for the gateway; only the leader may announce it.
func TestSharingEgress(t *testing.T) {
	s := testSteering
	s.Mode = SteerUnicast
	g := newSharingGate(t, s)
	transit := udpFrame{dst: client, src: ownMAC, from: far4, to: client4}.bytes()
	translated := udpFrame{dst: client, src: ownMAC, from: vip4, to: client4}.bytes()
	announcement := arpFrame{dst: broadcast, src: ownMAC, op: layers.ARPRequest, sha: vmac, spa: vip4, tpa: vip4}.bytes()
	passedOn := udpFrame{dst: macOf[2], src: ownMAC, from: far4, to: client4}.bytes()
	others := udpFrame{dst: client, src: ownMAC, from: vip4Group3, to: client4}.bytes()
	closes := func(w *Words) { w.RevokeShare() }
	cases := []struct {
		name   string
		words  func(*Words)
		groups bool // another group has VIPs
		packet []byte
		from   uint32 // interface that it came in by
		want   verdict
		count  []Counter
	}{
		{name: "transit", packet: transit, from: otherIf, want: pass},
		{name: "translated transit", packet: translated, from: otherIf, want: pass},
		{name: "of a VIP's own", packet: translated, want: pass},
		{name: "announcement", packet: announcement, want: drop, count: []Counter{EgressArp}},
		{name: "transit beside another group", groups: true, packet: transit, from: otherIf, want: pass},
		{name: "translated transit beside another group", groups: true, packet: translated, from: otherIf, want: pass},
		{name: "for another group", groups: true, packet: others, from: otherIf, want: drop, count: []Counter{EgressVip}},
		{name: "transit, closed", words: closes, packet: transit, from: otherIf, want: drop, count: []Counter{EgressTransit}},
		{name: "of a VIP's own, closed", words: closes, packet: translated, want: drop, count: []Counter{EgressVip}},
		{name: "passed on by a pivot without a share", words: closes, packet: passedOn, from: testIface, want: pass},
		{name: "transit of a pivot without a share", words: func(w *Words) { closes(w); w.Renew(0, 7, Boottime()) }, packet: transit, from: otherIf, want: drop, count: []Counter{EgressTransit}},
		{name: "back to a client, closed", words: closes, packet: transit, from: testIface, want: drop, count: []Counter{EgressTransit}},
		{name: "quiet", words: func(w *Words) { w.SetQuiet(testSlot, QuietForGood) }, packet: transit, from: otherIf, want: drop, count: []Counter{QuietTx}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g.clear()
			g.share(t, s)
			vips := []VIP{{Addr: vip4, Index: testIface}}
			if c.groups {
				vips = testVIPs()
			}
			if err := g.SetVIPs(vips); err != nil {
				t.Fatal(err)
			}
			if c.words != nil {
				c.words(g.Words())
			}
			var context skbContext
			context[skbIngressIfindex] = c.from
			moved := counted(t, g, func() {
				if got, _ := egress.run(t, g, c.packet, context); got != c.want {
					t.Errorf("verdict %v, want %v", got, c.want)
				}
			})
			checkCounted(t, moved, c.count...)
		})
	}
}
