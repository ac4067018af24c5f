// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"net/netip"
	"testing"

	"github.com/google/gopacket/layers"

	"github.com/holdfast-project/holdfast/ccp"
)

type egressCase struct {
	name      string
	state     int
	packet    []byte
	forwarded bool
	want      verdict
	count     []Counter
}

func egressCases() []egressCase {
	udp := func(src [6]byte, from, to netip.Addr, vlans ...uint16) []byte {
		return udpFrame{dst: client, src: src, from: from, to: to, vlans: vlans}.bytes()
	}
	announcement := arpFrame{dst: broadcast, src: ownMAC, op: layers.ARPRequest, sha: vmac, spa: vip4, tpa: vip4}
	announcementReply := announcement
	announcementReply.op = layers.ARPReply
	byVMAC := announcement
	byVMAC.src, byVMAC.spa, byVMAC.tpa = vmac, own4, own4
	taggedArp := announcement
	taggedArp.vlans = []uint16{10}
	ownArp := arpFrame{dst: broadcast, src: ownMAC, op: layers.ARPRequest, sha: ownMAC, spa: own4, tpa: vip4}
	na := ndFrame{dst: [6]byte{0x33, 0x33, 0, 0, 0, 1}, src: ownMAC, from: own6, to: allNodes, typ: 136, target: vip6, hop: 255, flags: 0xa0}
	ownNA := na
	ownNA.target = own6
	proxyNA := na
	proxyNA.target = proxy6
	ra := ndFrame{dst: [6]byte{0x33, 0x33, 0, 0, 0, 1}, src: ownMAC, from: own6, to: allNodes, typ: 134, hop: 255}
	hiddenRA := ra
	hiddenRA.extensions = []byte{60 /* destination options */, 58, 0, 1, 4, 0, 0, 0, 0}
	probe := ccpFrame{}.bytes()

	return []egressCase{
		{name: "own packet", packet: udp(ownMAC, own4, client4), want: pass},
		{name: "own packet v6", packet: udp(ownMAC, own6, client6), want: pass},
		{name: "own packet to vip", packet: udp(ownMAC, own4, vip4), want: pass},
		{name: "vmac as source", packet: udp(vmac, own4, client4), want: drop, count: []Counter{EgressVmac}},
		{name: "vmac as source, lingers", state: lingers, packet: udp(vmac, own4, client4), want: drop, count: []Counter{EgressVmac}},
		{name: "vmac as source, serves", state: serves, packet: udp(vmac, own4, client4), want: pass},
		{name: "vmac of closed group as source", state: serves, packet: udp(vmacGroup3, own4, client4), want: drop, count: []Counter{EgressVmac}},
		{name: "vip as source", packet: udp(ownMAC, vip4, client4), want: drop, count: []Counter{EgressVip}},
		{name: "vip as source, tagged", packet: udp(ownMAC, vip4, client4, 10), want: drop, count: []Counter{EgressVip}},
		{name: "vip as source, lingers", state: lingers, packet: udp(ownMAC, vip4, client4), want: drop, count: []Counter{EgressVip}},
		{name: "vip as source, serves", state: serves, packet: udp(ownMAC, vip4, client4), want: pass},
		{name: "vip of closed group as source", state: serves, packet: udp(ownMAC, vip4Group3, client4), want: drop, count: []Counter{EgressVip}},
		{name: "vip6 as source", packet: udp(ownMAC, vip6, client6), want: drop, count: []Counter{EgressVip}},
		{name: "link-local vip as source", packet: udp(ownMAC, vip6Local, client6), want: drop, count: []Counter{EgressVip}},
		{name: "vip6 as source, serves", state: serves, packet: udp(ownMAC, vip6, client6), want: pass},
		{name: "proxied as source", packet: udp(ownMAC, proxy4, client4), want: pass},
		{name: "transit", packet: udp(ownMAC, far4, client4), forwarded: true, want: drop, count: []Counter{EgressTransit}},
		{name: "transit v6", packet: udp(ownMAC, far6, client6), forwarded: true, want: drop, count: []Counter{EgressTransit}},
		{name: "transit, lingers", state: lingers, packet: udp(ownMAC, far4, client4), forwarded: true, want: pass},
		{name: "transit, serves", state: serves, packet: udp(ownMAC, far4, client4), forwarded: true, want: pass},
		{name: "translated transit", packet: udp(ownMAC, vip4, client4), forwarded: true, want: drop, count: []Counter{EgressTransit}},
		{name: "translated transit, lingers", state: lingers, packet: udp(ownMAC, vip4, client4), forwarded: true, want: pass},
		{name: "announcement", packet: announcement.bytes(), want: drop, count: []Counter{EgressArp}},
		{name: "announcement, lingers", state: lingers, packet: announcement.bytes(), want: drop, count: []Counter{EgressArp}},
		{name: "announcement, serves", state: serves, packet: announcement.bytes(), want: pass},
		{name: "announcement, reply form", packet: announcementReply.bytes(), want: drop, count: []Counter{EgressArp}},
		{name: "announcement, tagged", packet: taggedArp.bytes(), want: drop, count: []Counter{EgressArp}},
		{name: "arp from vmac", packet: byVMAC.bytes(), want: drop, count: []Counter{EgressVmac}},
		{name: "own arp", packet: ownArp.bytes(), want: pass},
		{name: "arp answer of an open group", state: serves, packet: whoHas(vip4).answered(vmac), forwarded: true, want: pass},
		{name: "na for vip", packet: na.bytes(), want: drop, count: []Counter{EgressNa}},
		{name: "na for vip, lingers", state: lingers, packet: na.bytes(), want: drop, count: []Counter{EgressNa}},
		{name: "na for vip, serves", state: serves, packet: na.bytes(), want: pass},
		{name: "na for proxied", packet: proxyNA.bytes(), want: drop, count: []Counter{EgressNa}},
		{name: "na for own address", packet: ownNA.bytes(), want: pass},
		{name: "ra", packet: ra.bytes(), want: drop, count: []Counter{EgressRa}},
		{name: "ra behind options", packet: hiddenRA.bytes(), want: drop, count: []Counter{EgressRa}},
		{name: "ra, serves", state: serves, packet: ra.bytes(), want: pass},
		{name: "ccp", packet: probe, want: pass},
		{name: "ccp reflected", packet: probe, forwarded: true, want: pass},
	}
}

func TestEgress(t *testing.T) {
	g := newTestGate(t, true)
	for _, c := range egressCases() {
		t.Run(c.name, func(t *testing.T) { checkEgress(t, g, c) })
	}
}

func checkEgress(t *testing.T, g *Gate, c egressCase) {
	t.Helper()
	g.in(c.state)
	var context skbContext
	if c.forwarded {
		context[skbIngressIfindex] = otherIf
	}
	moved := counted(t, g, func() {
		got, out := egress.run(t, g, c.packet, context)
		if got != c.want {
			t.Errorf("verdict %v, want %v", got, c.want)
		}
		checkBytes(t, out, c.packet)
	})
	checkCounted(t, moved, c.count...)
}

// TestEgressWithoutVMAC: transit that meets the closed gate tells the server that a neighbour still takes us for it.
func TestEgressWithoutVMAC(t *testing.T) {
	g := newTestGate(t, false)
	if err := g.putIface(Iface{Index: otherIf, Slot: 6, MAC: ownMAC, Gated: true}); err != nil {
		t.Fatal(err)
	}
	transit := egressCase{packet: udpFrame{dst: client, src: ownMAC, from: far4, to: client4}.bytes(), forwarded: true, want: drop, count: []Counter{EgressTransit}}
	checkEgress(t, g, transit)
	if s := g.Words().Snapshot(); s.Group[0].ClosedRx != 1 || s.Group[0].ClosedTx != 1 {
		t.Errorf("closed rx %d, tx %d, want 1 and 1", s.Group[0].ClosedRx, s.Group[0].ClosedTx)
	}
}

// ccpFrame makes an Ethernet frame with a gate frame in it. The zero value is a fresh probe of member 0.
type ccpFrame struct {
	dst      [6]byte
	vlans    []uint16
	header   func(*ccp.Header)
	probe    ccp.Probe
	yield    *ccp.Yield
	reply    *ccp.Reply
	key      *[16]byte
	ethernet layers.EthernetType
}

const senderIncarnation = 0xabcdef

func (c ccpFrame) bytes() []byte {
	now := Boottime()
	h := ccp.Header{
		Version: 1, Key: testKeyNumber, Cluster: testCluster, Source: 0, Target: testSelf, Incarnation: senderIncarnation, Sequence: uint64(now),
		EchoIncarnation: testIncarnation, EchoStamp: uint64(now - 1e6),
	}
	if c.header != nil {
		c.header(&h)
	}
	key := testKey
	if c.key != nil {
		key = *c.key
	}
	if c.dst == ([6]byte{}) {
		c.dst = ownMAC
	}
	if c.ethernet == 0 {
		c.ethernet = ccpEtherType
	}
	b := build(ethernet(c.dst, peerMAC, c.ethernet, c.vlans...)...)[:14+4*len(c.vlans)] // gopacket pads
	switch {
	case c.yield != nil:
		return ccp.AppendYield(b, h, *c.yield, key)
	case c.reply != nil:
		return ccp.AppendReply(b, h, *c.reply, key)
	}
	return ccp.AppendProbe(b, h, c.probe, key)
}
