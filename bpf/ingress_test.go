// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"testing"

	"github.com/google/gopacket/layers"
)

// Gate states of the table below.
const (
	closed  = iota
	lingers // forward only
	serves
)

type ingressCase struct {
	name   string
	state  int
	packet []byte
	want   verdict
	out    []byte    // nil: unchanged
	count  []Counter // what it is counted as
	closed uint64    // how many frames for us it counts at the closed gate
	short  bool      // BPF_PROG_TEST_RUN for tc does not take such a packet
}

func changed(b []byte, f func([]byte)) []byte {
	b = append([]byte(nil), b...)
	f(b)
	return b
}

// readdressed is what XDP does to a frame for the VMAC: from there on it is the host's own.
func readdressed(b []byte) []byte { return changed(b, func(b []byte) { copy(b, ownMAC[:]) }) }

func ingressCases() []ingressCase {
	who, is, dad := whoHas(vip4), whoIs(vip6), whoIs(vip6)
	dad.from, dad.options = none6, nil
	dadNonce := dad
	dadNonce.options = layers.ICMPv6Options{{Type: 14, Data: []byte{1, 2, 3, 4, 5, 6}}}
	probe := who
	probe.spa = netip4Zero
	unicast := who
	unicast.dst = vmac
	unicastOwn := who
	unicastOwn.dst = ownMAC
	flooded := who
	flooded.dst = stranger
	gratuitous := who
	gratuitous.src, gratuitous.sha, gratuitous.spa = peerMAC, peerMAC, vip4
	reply := gratuitous
	reply.op = layers.ARPReply
	oddARP := changed(padded(who.bytes()), func(b []byte) { b[14+4] = 8 })
	unicastNS := is
	unicastNS.dst, unicastNS.to = vmac, vip6
	floodedNS := is
	floodedNS.dst = stranger
	farNS := is
	farNS.hop = 254
	codeNS := is
	codeNS.code = 1
	wrongGroup := is
	wrongGroup.to, _ = solicited(far6)
	dadUnicast := dad
	dadUnicast.dst, dadUnicast.to = vmac, vip6
	hopNS := is
	hopNS.extensions = []byte{0 /* hop-by-hop */, 58, 0, 1, 4, 0, 0, 0, 0}
	fragNS := is
	fragNS.extensions = []byte{44, 58, 0, 0, 1, 0, 0, 0, 1}
	longNS := is
	longNS.options = append(longNS.options, layers.ICMPv6Option{Type: 14, Data: make([]byte, 30)})
	na := ndFrame{dst: [6]byte{0x33, 0x33, 0, 0, 0, 1}, src: peerMAC, from: vip6, to: allNodes, typ: 136, target: vip6, hop: 255, flags: 0xa0}

	toVIP := udpFrame{dst: vmac, src: client, from: client4, to: vip4}
	toVIPOwn := udpFrame{dst: ownMAC, src: client, from: client4, to: vip4}
	toVIPFlooded := udpFrame{dst: stranger, src: client, from: client4, to: vip4}
	through := udpFrame{dst: vmac, src: client, from: client4, to: far4}
	throughOwn := udpFrame{dst: ownMAC, src: client, from: client4, to: far4}
	toVIP6 := udpFrame{dst: vmac, src: client, from: client6, to: vip6}
	through6 := udpFrame{dst: vmac, src: client, from: client6, to: far6}
	fragment := toVIP
	fragment.fragment = true
	fragment6 := toVIP6
	fragment6.fragment = true
	local6 := udpFrame{dst: ownMAC, src: client, from: client6, to: vip6Local}
	toProxy := udpFrame{dst: ownMAC, src: client, from: client4, to: proxy4}
	elsewhere := udpFrame{dst: ownMAC, src: client, from: client4, to: vip4Else}
	tagged := udpFrame{dst: vmac, src: client, from: client4, to: far4, vlans: []uint16{10}}
	group3 := udpFrame{dst: vmacGroup3, src: client, from: client4, to: far4}
	nobodys := udpFrame{dst: [6]byte{0x02, 0x48, 0x12, 0x34, testSlot, 16}, src: client, from: client4, to: far4}
	otherSlot := udpFrame{dst: [6]byte{0x02, 0x48, 0x12, 0x34, testSlot + 1, 0}, src: client, from: client4, to: far4}

	return []ingressCase{
		// ARP
		{name: "arp request", state: serves, packet: padded(who.bytes()), want: answer, out: padded(who.answered(vmac)), count: []Counter{ArpAnswered}},
		{name: "arp request, closed", packet: padded(who.bytes()), want: drop, count: []Counter{ClosedArp}},
		{name: "arp request, lingers", state: lingers, packet: padded(who.bytes()), want: drop, count: []Counter{ClosedArp}},
		{name: "arp unpadded", state: serves, packet: who.bytes()[:42], want: answer, out: who.answered(vmac)[:42], count: []Counter{ArpAnswered}},
		{name: "arp unicast to vmac", state: serves, packet: unicast.bytes(), want: answer, out: unicast.answered(vmac), count: []Counter{ArpAnswered}},
		{name: "arp unicast to own mac", state: serves, packet: unicastOwn.bytes(), want: answer, out: unicastOwn.answered(vmac), count: []Counter{ArpAnswered}},
		{name: "arp unicast, closed", packet: unicast.bytes(), want: drop, count: []Counter{ClosedArp}, closed: 1},
		{name: "arp flooded", state: serves, packet: flooded.bytes(), want: pass},
		{name: "arp probe", state: serves, packet: padded(probe.bytes()), want: answer, out: padded(probe.answered(vmac)), count: []Counter{ArpAnswered}},
		{name: "arp probe, closed", packet: padded(probe.bytes()), want: drop, count: []Counter{ClosedArp}},
		{name: "arp announcement", state: serves, packet: gratuitous.bytes(), want: pass},
		{name: "arp announcement, closed", packet: gratuitous.bytes(), want: pass},
		{name: "arp reply", packet: reply.bytes(), want: pass},
		{name: "arp for stranger", state: serves, packet: whoHas(client4).bytes(), want: pass},
		{name: "arp for own address", packet: whoHas(own4).bytes(), want: pass},
		{name: "arp for vip elsewhere", state: serves, packet: whoHas(vip4Else).bytes(), want: drop, count: []Counter{ElsewhereArp}},
		{name: "arp for proxied", state: serves, packet: whoHas(proxy4).bytes(), want: answer, out: whoHas(proxy4).answered(vmac), count: []Counter{ArpAnswered}},
		{name: "arp for proxied, closed", packet: whoHas(proxy4).bytes(), want: drop, count: []Counter{ClosedArp}},
		{name: "arp for proxied elsewhere", state: serves, packet: whoHas(proxy4Else).bytes(), want: pass},
		{name: "arp tagged", state: serves, packet: whoHas(vip4Tagged, 10).bytes(), want: answer, out: whoHas(vip4Tagged, 10).answered(vmac), count: []Counter{ArpAnswered}},
		{name: "arp tagged, closed", packet: whoHas(vip4Tagged, 10).bytes(), want: drop, count: []Counter{ClosedArp}},
		{name: "arp in wrong vlan", state: serves, packet: whoHas(vip4Tagged, 11).bytes(), want: drop, count: []Counter{ElsewhereArp}},
		{name: "arp untagged for vlan", state: serves, packet: whoHas(vip4Tagged).bytes(), want: drop, count: []Counter{ElsewhereArp}},
		{name: "arp tagged for untagged", state: serves, packet: whoHas(vip4, 10).bytes(), want: drop, count: []Counter{ElsewhereArp}},
		{name: "arp priority tag", state: serves, packet: whoHas(vip4, 0).bytes(), want: answer, out: whoHas(vip4, 0).answered(vmac), count: []Counter{ArpAnswered}},
		{name: "arp two tags", state: serves, packet: whoHas(vip4Tagged, 10, 10).bytes(), want: drop, count: []Counter{ElsewhereArp}},
		{name: "arp three tags", state: serves, packet: whoHas(vip4, 10, 10, 10).bytes(), want: pass},
		{name: "arp for other hardware", state: serves, packet: oddARP, want: pass},
		{name: "arp truncated", state: serves, packet: who.bytes()[:14+27], want: pass},
		{name: "arp truncated in tag", state: serves, packet: whoHas(vip4, 10).bytes()[:16], want: pass},
		{name: "arp for group 3", state: serves, packet: whoHas(vip4Group3).bytes(), want: drop, count: []Counter{ClosedArp}},

		// Neighbour discovery
		{name: "ns", state: serves, packet: is.bytes(), want: answer, out: is.answered(vmac, false), count: []Counter{NdAnswered}},
		{name: "ns, closed", packet: is.bytes(), want: drop, count: []Counter{ClosedNd}},
		{name: "ns, lingers", state: lingers, packet: is.bytes(), want: drop, count: []Counter{ClosedNd}},
		{name: "ns unicast", state: serves, packet: unicastNS.bytes(), want: answer, out: unicastNS.answered(vmac, false), count: []Counter{NdAnswered}},
		{name: "ns unicast, closed", packet: unicastNS.bytes(), want: drop, count: []Counter{ClosedNd}, closed: 1},
		{name: "ns flooded", state: serves, packet: floodedNS.bytes(), want: pass},
		{name: "ns dad", state: serves, packet: dad.bytes(), want: answer, out: dad.answered(vmac, false), count: []Counter{NdAnswered}},
		{name: "ns dad with nonce", state: serves, packet: dadNonce.bytes(), want: answer, out: dadNonce.answered(vmac, false), count: []Counter{NdAnswered}},
		{name: "ns dad, closed", packet: dad.bytes(), want: drop, count: []Counter{ClosedNd}},
		{name: "ns dad by unicast", state: serves, packet: dadUnicast.bytes(), want: drop, count: []Counter{NdMalformed}},
		{name: "ns with many options", state: serves, packet: longNS.bytes(), want: answer, out: longNS.answered(vmac, false), count: []Counter{NdAnswered}},
		{name: "ns padded", state: serves, packet: append(dad.bytes(), 0, 0, 0), want: answer, out: dad.answered(vmac, false), count: []Counter{NdAnswered}},
		{name: "ns tagged for untagged", state: serves, packet: whoIs(vip6, 10).bytes(), want: drop, count: []Counter{ElsewhereNd}},
		{name: "ns priority tag", state: serves, packet: whoIs(vip6, 0).bytes(), want: answer, out: whoIs(vip6, 0).answered(vmac, false), count: []Counter{NdAnswered}},
		{name: "ns for link-local", state: serves, packet: whoIs(vip6Local).bytes(), want: answer, out: whoIs(vip6Local).answered(vmac, false), count: []Counter{NdAnswered}},
		{name: "ns for proxied", state: serves, packet: whoIs(proxy6).bytes(), want: answer, out: whoIs(proxy6).answered(vmac, true), count: []Counter{NdAnswered}},
		{name: "ns for stranger", state: serves, packet: whoIs(client6).bytes(), want: pass},
		{name: "ns for own address", packet: whoIs(own6).bytes(), want: pass},
		{name: "ns for vip elsewhere", state: serves, packet: whoIs(vip6Else).bytes(), want: drop, count: []Counter{ElsewhereNd}},
		{name: "ns from behind a router", state: serves, packet: farNS.bytes(), want: drop, count: []Counter{NdMalformed}},
		{name: "ns with code", state: serves, packet: codeNS.bytes(), want: drop, count: []Counter{NdMalformed}},
		{name: "ns to another group", state: serves, packet: wrongGroup.bytes(), want: drop, count: []Counter{NdMalformed}},
		{name: "ns behind hop-by-hop", state: serves, packet: hopNS.bytes(), want: drop, count: []Counter{NdMalformed}},
		{name: "ns behind hop-by-hop, closed", packet: hopNS.bytes(), want: drop, count: []Counter{ClosedNd}},
		{name: "ns in fragment", state: serves, packet: fragNS.bytes(), want: drop, count: []Counter{NdMalformed}},
		{name: "ns truncated", state: serves, packet: is.bytes()[:14+40+23], want: pass},
		{name: "na", packet: na.bytes(), want: pass},

		// To the VIPs
		{name: "to vip", state: serves, packet: toVIP.bytes(), want: pass, out: toVIP.bytes(), count: []Counter{VmacAdmitted}},
		{name: "to vip, closed", packet: toVIP.bytes(), want: drop, count: []Counter{ClosedVip}, closed: 1},
		{name: "to vip, lingers", state: lingers, packet: toVIP.bytes(), want: drop, count: []Counter{ClosedVip}, closed: 1},
		{name: "to vip by own mac", state: serves, packet: toVIPOwn.bytes(), want: pass},
		{name: "to vip by own mac, closed", packet: toVIPOwn.bytes(), want: drop, count: []Counter{ClosedVip}, closed: 1},
		{name: "to vip flooded, closed", packet: toVIPFlooded.bytes(), want: drop, count: []Counter{ClosedVip}},
		{name: "to vip in fragments, closed", packet: fragment.bytes(), want: drop, count: []Counter{ClosedVip}, closed: 1},
		{name: "to vip6, closed", packet: toVIP6.bytes(), want: drop, count: []Counter{ClosedVip}, closed: 1},
		{name: "to vip6 in fragments, closed", packet: fragment6.bytes(), want: drop, count: []Counter{ClosedVip}, closed: 1},
		{name: "to link-local vip, closed", packet: local6.bytes(), want: drop, count: []Counter{ClosedVip}, closed: 1},
		{name: "to vip of another interface, closed", packet: elsewhere.bytes(), want: drop, count: []Counter{ClosedVip}, closed: 1},
		{name: "to vip of another interface", state: serves, packet: elsewhere.bytes(), want: pass},
		{name: "to proxied, closed", packet: toProxy.bytes(), want: pass},
		{name: "to vip truncated", packet: toVIPOwn.bytes()[:14+19], want: pass, short: true},
		{name: "to vip6 truncated", packet: changed(toVIP6.bytes(), func(b []byte) { copy(b, ownMAC[:]) })[:14+39], want: pass, short: true},

		// To the VMAC
		{name: "through vmac", state: serves, packet: through.bytes(), want: pass, count: []Counter{VmacAdmitted}},
		{name: "through vmac, lingers", state: lingers, packet: through.bytes(), want: pass, count: []Counter{VmacAdmitted}},
		{name: "through vmac, closed", packet: through.bytes(), want: drop, count: []Counter{ClosedVmac}, closed: 1},
		{name: "through vmac v6", state: serves, packet: through6.bytes(), want: pass, count: []Counter{VmacAdmitted}},
		{name: "through vmac v6, closed", packet: through6.bytes(), want: drop, count: []Counter{ClosedVmac}, closed: 1},
		{name: "through vmac tagged", state: serves, packet: tagged.bytes(), want: pass, count: []Counter{VmacAdmitted}},
		{name: "through vmac tagged, closed", packet: tagged.bytes(), want: drop, count: []Counter{ClosedVmac}, closed: 1},
		{name: "through vmac truncated, closed", packet: through.bytes()[:20], want: drop, count: []Counter{ClosedVmac}, closed: 1, short: true},
		{name: "through vmac of closed group", state: serves, packet: group3.bytes(), want: drop, count: []Counter{ClosedVmac}, closed: 1},
		{name: "no group's vmac", packet: nobodys.bytes(), want: pass},
		{name: "other interface's vmac", packet: otherSlot.bytes(), want: pass},
		{name: "through own mac, closed", packet: throughOwn.bytes(), want: pass}, // stopped at egress

		// Anything else
		{name: "header only", packet: through.bytes()[:14], want: drop, count: []Counter{ClosedVmac}, closed: 1, short: true},
		{name: "unknown protocol", state: serves, packet: build(append(ethernet(ownMAC, client, 0x1234), payload)...), want: pass},
	}
}

// in brings the gate into one of the states.
func (g *Gate) in(state int) {
	w := g.Words()
	w.Revoke(0)
	w.word(0, offLingering).Store(0)
	switch state {
	case lingers:
		w.word(0, offLingering).Store(uint64(Boottime()) + 3600e9)
	case serves:
		serve(g, 0)
	}
}

func TestIngress(t *testing.T) {
	g := newTestGate(t, true)
	for _, e := range entries {
		for _, c := range ingressCases() {
			t.Run(e.name+"/"+c.name, func(t *testing.T) {
				if c.short && e.name == "tcx" {
					return
				}
				g.in(c.state)
				want := c.out
				if want == nil {
					want = c.packet
				}
				if e.name == "xdp" && len(c.count) == 1 && c.count[0] == VmacAdmitted {
					want = readdressed(want)
				}
				before := g.closedRx()
				moved := counted(t, g, func() {
					got, out := e.run(t, g, c.packet, nil)
					if got != c.want {
						t.Errorf("verdict %v, want %v", got, c.want)
					}
					checkBytes(t, out, want)
				})
				checkCounted(t, moved, c.count...)
				if got := g.closedRx() - before; got != c.closed {
					t.Errorf("%d frames counted at the closed gate, want %d", got, c.closed)
				}
			})
		}
	}
}

func (g *Gate) closedRx() uint64 {
	s := g.Words().Snapshot()
	return uint64(s.Closed())
}

// TestIngressOwnMAC is what differs when the cluster has no VMAC.
func TestIngressOwnMAC(t *testing.T) {
	g := newTestGate(t, false)
	who, is, through := whoHas(vip4), whoIs(vip6), udpFrame{dst: vmac, src: client, from: client4, to: far4}
	cases := []ingressCase{
		{name: "arp request", state: serves, packet: who.bytes(), want: answer, out: who.answered(ownMAC), count: []Counter{ArpAnswered}},
		{name: "ns", state: serves, packet: is.bytes(), want: answer, out: is.answered(ownMAC, false), count: []Counter{NdAnswered}},
		{name: "a vmac is a stranger's", packet: through.bytes(), want: pass},
	}
	for _, e := range entries {
		for _, c := range cases {
			t.Run(e.name+"/"+c.name, func(t *testing.T) {
				g.in(c.state)
				want := c.out
				if want == nil {
					want = c.packet
				}
				moved := counted(t, g, func() {
					got, out := e.run(t, g, c.packet, nil)
					if got != c.want {
						t.Errorf("verdict %v, want %v", got, c.want)
					}
					checkBytes(t, out, want)
				})
				checkCounted(t, moved, c.count...)
			})
		}
	}
}

// TestIngressUnknownInterface: at an interface that it was not told of, the gate does nothing at all.
func TestIngressUnknownInterface(t *testing.T) {
	g := newTestGate(t, true)
	if err := g.deleteIfaceEntry(testIface); err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if got, _ := e.run(t, g, whoHas(vip4).bytes(), nil); got != pass {
			t.Errorf("%s: verdict %v, want pass", e.name, got)
		}
	}
}
