// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
)

// packetKind is a row of docs/benchmarks/gate.md.
type packetKind struct {
	name    string
	state   int
	packet  func() []byte
	unknown bool                    // at an interface that the gate does not watch: what measuring itself costs
	changes bool                    // the program rewrites the packet, so that the next run would see another
	admits  bool                    // the same, but for tc, where only the type of the packet changes
	shares  func(testing.TB, *Gate) // load sharing; nil: not
}

func constant(b []byte) func() []byte { return func() []byte { return b } }

func ingressKinds() []packetKind {
	otherKey := [16]byte{9}
	return []packetKind{
		{name: "unwatched", unknown: true, packet: constant(udpFrame{dst: ownMAC, src: client, from: client4, to: far4}.bytes())},
		{name: "pass", state: serves, packet: constant(udpFrame{dst: ownMAC, src: client, from: client4, to: far4}.bytes())},
		{name: "pass-v6", state: serves, packet: constant(udpFrame{dst: ownMAC, src: client, from: client6, to: far6}.bytes())},
		{name: "vmac", state: serves, packet: constant(udpFrame{dst: vmac, src: client, from: client4, to: far4}.bytes()), changes: true},
		{name: "to-vip", state: serves, packet: constant(udpFrame{dst: ownMAC, src: client, from: client4, to: vip4}.bytes())},
		{name: "vmac-closed", packet: constant(udpFrame{dst: vmac, src: client, from: client4, to: far4}.bytes())},
		{name: "to-vip-closed", packet: constant(udpFrame{dst: ownMAC, src: client, from: client4, to: vip4}.bytes())},
		{name: "arp", state: serves, packet: constant(whoHas(vip4).bytes()), changes: true},
		{name: "ns", state: serves, packet: constant(whoIs(vip6).bytes()), changes: true},
		{name: "probe", state: serves, packet: ccpFrame{}.bytes, changes: true},
		{name: "yield", packet: ccpFrame{yield: &ccp.Yield{Term: 9, Kind: ccp.YieldClaim}}.bytes, changes: true},
		{name: "reply", packet: ccpFrame{reply: &ccp.Reply{}}.bytes, changes: true}, // only the first is fresh
		{name: "sealed", packet: ccpSealed, changes: true},
		{name: "sync", packet: foreignSync, changes: true},
		{name: "foreign", packet: constant(ccpFrame{header: func(h *ccp.Header) { h.Cluster++ }}.bytes())},
		{name: "forged", packet: constant(ccpFrame{key: &otherKey}.bytes())},
		{name: "recorded", packet: constant(ccpFrame{header: func(h *ccp.Header) { h.EchoStamp -= 5e9 }, reply: &ccp.Reply{}}.bytes())},
	}
}

// sharingKinds are rows of load sharing: this is member 1 of 3.
func sharingKinds() []packetKind {
	udp := packet{from: client4, to: far4, proto: protoUDP, sport: 1000, dport: 2000, payload: make([]byte, 6)}
	udp6 := packet{from: client6, to: far6, proto: protoUDP, sport: 1000, dport: 2000, payload: make([]byte, 6)}
	begun := packet{from: netip.MustParseAddr("192.168.7.7"), to: far4, proto: protoUDP, sport: 1000, dport: 53}
	answer := packet{from: far4, to: vip4, proto: protoUDP, sport: 53, dport: 45000}
	in := func(mode SteerMode, entry uint8, published bool, connections ...packet) func(testing.TB, *Gate) {
		return func(tb testing.TB, g *Gate) {
			s := testSteering
			s.Mode = mode
			if !published {
				s.Published = nil
			}
			g.share(tb, s)
			g.set(tb, all(entry))
			if mode == SteerUnicast {
				g.Words().Renew(0, 7, Boottime())
			}
			for _, c := range connections {
				src := netip.AddrPort{}
				if c.dport == 53 {
					src = netip.AddrPortFrom(vip4, 45000)
				}
				connect(tb, c, src, netip.AddrPort{})
			}
		}
	}
	return []packetKind{
		{name: "another's", shares: in(SteerMulticast, 0, false), packet: constant(udp.frame(manyMAC, client))},
		{name: "another's-v6", shares: in(SteerMulticast, 0, false), packet: constant(udp6.frame(manyMAC, client))},
		{name: "another's-published", shares: in(SteerMulticast, 0, true), packet: constant(udp.frame(manyMAC, client))},
		{name: "another's-to-vip", shares: in(SteerMulticast, 0, false), packet: constant(packet{from: far4, to: vip4, proto: protoTCP, sport: 1000, dport: 80}.frame(manyMAC, client))},
		{name: "another's-icmp-error", shares: in(SteerMulticast, 0, false), packet: constant(packet{from: far4, to: client4, proto: protoICMP, icmp: 3, inner: udp.bytes()}.frame(manyMAC, client))},
		{name: "taken", shares: in(SteerMulticast, 1, false), packet: constant(udp.frame(manyMAC, client)), admits: true},
		{name: "taken-known", shares: in(SteerMulticast, 1, false, udp), packet: constant(udp.frame(manyMAC, client)), admits: true},
		{name: "taken-snat-answer", shares: in(SteerMulticast, 1, false, begun), packet: constant(answer.frame(manyMAC, client)), admits: true},
		{name: "pivot-takes", shares: in(SteerUnicast, 1, false, udp), packet: constant(udp.frame(vmac, client)), admits: true},
		{name: "pivot-passes-on", shares: in(SteerUnicast, 0, false, udp), packet: constant(udp.frame(vmac, client)), changes: true},
		{name: "passed-on-to-us", shares: in(SteerUnicast, 1, false, udp), packet: constant(udp.frame(ownMAC, macOf[0]))},
	}
}

func ccpSealed() []byte { return sealedFrame() }

func egressKinds() []packetKind {
	return []packetKind{
		{name: "own", state: serves, packet: constant(udpFrame{dst: client, src: ownMAC, from: own4, to: client4}.bytes())},
		{name: "own-closed", packet: constant(udpFrame{dst: client, src: ownMAC, from: own4, to: client4}.bytes())},
		{name: "from-vip-closed", packet: constant(udpFrame{dst: client, src: ownMAC, from: vip4, to: client4}.bytes())},
		{name: "announcement-closed", packet: constant(whoHas(vip4).answered(vmac))},
	}
}

// BenchmarkGate reports what each kind of packet costs in each program, in ns by BPF_PROG_TEST_RUN. The standard ns/op says nothing
// here: it is the system call.
func BenchmarkGate(b *testing.B) {
	for _, e := range entries {
		for _, k := range ingressKinds() {
			b.Run(e.name+"/"+k.name, func(b *testing.B) { benchmark(b, e, k) })
		}
	}
	for _, e := range entries {
		for _, k := range sharingKinds() {
			b.Run(e.name+"/sharing-"+k.name, func(b *testing.B) { benchmark(b, e, k) })
		}
	}
	for _, k := range egressKinds() {
		b.Run(egress.name+"/"+k.name, func(b *testing.B) { benchmark(b, egress, k) })
	}
}

func benchmark(b *testing.B, e entry, k packetKind) {
	g := newTestGate(b, true)
	if err := g.SetKey(testSealedKeyNumber, testClusterKey.GateKey(testCluster), true); err != nil {
		b.Fatal(err)
	}
	g.onlyTheGateway(b)
	if k.unknown {
		if err := g.deleteIfaceEntry(testIface); err != nil {
			b.Fatal(err)
		}
	}
	g.in(k.state)
	if k.shares != nil {
		k.shares(b, g)
	}
	ns := float64(g.steady(b, e, k.packet()))
	if k.changes || k.admits && e.name == "xdp" {
		// One run at a time has the clock's own cost in it: that is taken off by a packet that can be measured both ways.
		pass := ingressKinds()[1].packet()
		clock := float64(g.single(b, e, constant(pass))) - float64(g.steady(b, e, pass))
		ns = float64(g.single(b, e, k.packet)) - clock
	}
	b.ReportMetric(ns, "ns/packet")
	b.ReportMetric(0, "ns/op")
}

// steady returns what a packet costs among many of its kind: the least of many batches, so that other work of the machine shows
// as little as it can.
func (g *Gate) steady(b *testing.B, e entry, packet []byte) time.Duration {
	b.Helper()
	batches := make([]time.Duration, 100)
	for i := range batches {
		batches[i] = g.time(b, e, packet, 2000)
	}
	return slices.Min(batches)
}

// single returns what a packet costs that comes alone: the first decile of many, for the same reason.
func (g *Gate) single(b *testing.B, e entry, packet func() []byte) time.Duration {
	b.Helper()
	runs := make([]time.Duration, 5000)
	for i := range runs {
		runs[i] = g.time(b, e, packet(), 1)
	}
	slices.Sort(runs)
	return runs[len(runs)/10]
}

func (g *Gate) time(b *testing.B, e entry, packet []byte, repeat int) time.Duration {
	b.Helper()
	_, d, err := e.program(g).Benchmark(packet, repeat, nil)
	if err != nil {
		b.Fatal(err)
	}
	return d
}
