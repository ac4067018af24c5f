// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"net"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// The cast. The interface under test is the loopback of the test's namespace: that is where BPF_PROG_TEST_RUN lets packets arrive.
const (
	testIface = 1
	otherIf   = 77
	testSlot  = 5
)

var (
	ownMAC     = [6]byte{0x52, 0x54, 0, 0, 0, 1}
	vmac       = [6]byte{0x02, 0x48, 0x12, 0x34, testSlot, 0}
	vmacGroup3 = [6]byte{0x02, 0x48, 0x12, 0x34, testSlot, 3}
	client     = [6]byte{0x52, 0x54, 0, 0, 0, 0xc1}
	peerMAC    = [6]byte{0x52, 0x54, 0, 0, 0, 2}
	stranger   = [6]byte{0x52, 0x54, 0, 0, 0, 0x99}
	broadcast  = [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

	vip4       = netip.MustParseAddr("192.0.2.1")
	vip4Tagged = netip.MustParseAddr("192.0.2.65") // VLAN 10
	vip4Else   = netip.MustParseAddr("198.51.100.1")
	vip4Group3 = netip.MustParseAddr("192.0.2.33")
	proxy4     = netip.MustParseAddr("192.0.2.200")
	proxy4Else = netip.MustParseAddr("198.51.100.200")
	client4    = netip.MustParseAddr("192.0.2.100")
	far4       = netip.MustParseAddr("203.0.113.9")
	own4       = netip.MustParseAddr("192.0.2.11")

	vip6       = netip.MustParseAddr("2001:db8::1")
	vip6Local  = netip.MustParseAddr("fe80::48:1")
	vip6Else   = netip.MustParseAddr("2001:db8:1::1")
	proxy6     = netip.MustParseAddr("2001:db8::200")
	client6    = netip.MustParseAddr("2001:db8::100")
	far6       = netip.MustParseAddr("2001:db8:9::9")
	own6       = netip.MustParseAddr("2001:db8::11")
	netip4Zero = netip.IPv4Unspecified()
	payload    = gopacket.Payload("numbered packet of the client....")
	none6      = netip.IPv6Unspecified()
	allNodes   = netip.MustParseAddr("ff02::1")
)

func testVIPs() []VIP {
	return []VIP{
		{Addr: vip4, Index: testIface},
		{Addr: vip4Tagged, Index: testIface, VLAN: 10},
		{Addr: vip4Else, Index: otherIf},
		{Addr: vip4Group3, Index: testIface, Group: 3},
		{Addr: proxy4, Index: testIface, Proxy: true},
		{Addr: proxy4Else, Index: otherIf, Proxy: true},
		{Addr: vip6, Index: testIface},
		{Addr: vip6Local, Index: testIface},
		{Addr: vip6Else, Index: otherIf},
		{Addr: proxy6, Index: testIface, Proxy: true},
	}
}

func hw(mac [6]byte) net.HardwareAddr { return mac[:] }

func ip(a netip.Addr) net.IP { return a.AsSlice() }

// build serialises layers with lengths and checksums.
func build(l ...gopacket.SerializableLayer) []byte {
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, l...); err != nil {
		panic(err)
	}
	return append([]byte(nil), b.Bytes()...)
}

// ethernet returns the Ethernet header and the given VLAN tags.
func ethernet(dst, src [6]byte, typ layers.EthernetType, vlans ...uint16) []gopacket.SerializableLayer {
	eth := &layers.Ethernet{DstMAC: hw(dst), SrcMAC: hw(src), EthernetType: typ}
	l := []gopacket.SerializableLayer{eth}
	for i, vlan := range vlans {
		tag := &layers.Dot1Q{VLANIdentifier: vlan, Type: typ}
		if i == 0 {
			eth.EthernetType = layers.EthernetTypeDot1Q
		} else {
			l[i].(*layers.Dot1Q).Type = layers.EthernetTypeDot1Q
		}
		l = append(l, tag)
	}
	return l
}

type arpFrame struct {
	dst, src [6]byte
	op       uint16
	sha      [6]byte
	spa      netip.Addr
	tha      [6]byte
	tpa      netip.Addr
	vlans    []uint16
}

func (a arpFrame) bytes() []byte {
	return build(append(ethernet(a.dst, a.src, layers.EthernetTypeARP, a.vlans...), &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: a.op,
		SourceHwAddress: a.sha[:], SourceProtAddress: ip(a.spa), DstHwAddress: a.tha[:], DstProtAddress: ip(a.tpa),
	})...)
}

// whoHas is the client's request for an address.
func whoHas(tpa netip.Addr, vlans ...uint16) arpFrame {
	return arpFrame{dst: broadcast, src: client, op: layers.ARPRequest, sha: client, spa: client4, tpa: tpa, vlans: vlans}
}

// answered is the gate's answer to a request.
func (a arpFrame) answered(mac [6]byte) []byte {
	return arpFrame{dst: a.src, src: mac, op: layers.ARPReply, sha: mac, spa: a.tpa, tha: a.sha, tpa: a.spa, vlans: a.vlans}.bytes()
}

type ndFrame struct {
	dst, src   [6]byte
	from, to   netip.Addr
	typ        uint8
	code       uint8
	flags      uint8
	target     netip.Addr
	options    layers.ICMPv6Options
	hop        uint8
	vlans      []uint16
	extensions []byte // whole headers between IPv6 and ICMPv6, first next-header value first
}

func (n ndFrame) bytes() []byte {
	ip6 := &layers.IPv6{Version: 6, HopLimit: n.hop, NextHeader: layers.IPProtocolICMPv6, SrcIP: ip(n.from), DstIP: ip(n.to)}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(n.typ, n.code)}
	if err := icmp.SetNetworkLayerForChecksum(ip6); err != nil {
		panic(err)
	}
	l := append(ethernet(n.dst, n.src, layers.EthernetTypeIPv6, n.vlans...), ip6)
	if n.extensions != nil {
		ip6.NextHeader = layers.IPProtocol(n.extensions[0])
		l = append(l, gopacket.Payload(n.extensions[1:]))
	}
	l = append(l, icmp)
	switch n.typ {
	case layers.ICMPv6TypeNeighborSolicitation:
		l = append(l, &layers.ICMPv6NeighborSolicitation{TargetAddress: ip(n.target), Options: n.options})
	case layers.ICMPv6TypeNeighborAdvertisement:
		l = append(l, &layers.ICMPv6NeighborAdvertisement{Flags: n.flags, TargetAddress: ip(n.target), Options: n.options})
	case layers.ICMPv6TypeRouterAdvertisement:
		l = append(l, &layers.ICMPv6RouterAdvertisement{HopLimit: 64, RouterLifetime: 30})
	}
	return build(l...)
}

func linkAddr(typ layers.ICMPv6Opt, mac [6]byte) layers.ICMPv6Option {
	return layers.ICMPv6Option{Type: typ, Data: mac[:]}
}

// solicited returns the solicited-node group of an address, and its MAC.
func solicited(a netip.Addr) (netip.Addr, [6]byte) {
	b := a.As16()
	group := netip.MustParseAddr("ff02::1:ff00:0").As16()
	copy(group[13:], b[13:])
	return netip.AddrFrom16(group), [6]byte{0x33, 0x33, 0xff, b[13], b[14], b[15]}
}

// whoIs is the client's solicitation for an address.
func whoIs(target netip.Addr, vlans ...uint16) ndFrame {
	to, mac := solicited(target)
	return ndFrame{
		dst: mac, src: client, from: client6, to: to, typ: layers.ICMPv6TypeNeighborSolicitation, target: target, hop: 255, vlans: vlans,
		options: layers.ICMPv6Options{linkAddr(layers.ICMPv6OptSourceAddress, client)},
	}
}

// answered is the gate's answer to a solicitation.
func (n ndFrame) answered(mac [6]byte, proxy bool) []byte {
	a := ndFrame{
		dst: n.src, src: mac, from: n.target, to: n.from, typ: layers.ICMPv6TypeNeighborAdvertisement, target: n.target, hop: 255,
		flags: 0xe0, options: layers.ICMPv6Options{linkAddr(layers.ICMPv6OptTargetAddress, mac)}, vlans: n.vlans,
	}
	if n.from == none6 {
		a.dst, a.to, a.flags = [6]byte{0x33, 0x33, 0, 0, 0, 1}, allNodes, 0xa0
	}
	if proxy {
		a.flags &^= 0x80
	}
	return a.bytes()
}

type udpFrame struct {
	dst, src [6]byte
	from, to netip.Addr
	vlans    []uint16
	fragment bool // a later fragment: no UDP header
}

func (u udpFrame) bytes() []byte {
	udp := &layers.UDP{SrcPort: 1000, DstPort: 2000}
	if u.to.Is4() {
		ip4 := &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: ip(u.from), DstIP: ip(u.to)}
		l := append(ethernet(u.dst, u.src, layers.EthernetTypeIPv4, u.vlans...), ip4)
		if u.fragment {
			ip4.FragOffset = 100
			return build(append(l, payload)...)
		}
		_ = udp.SetNetworkLayerForChecksum(ip4)
		return build(append(l, udp, payload)...)
	}
	ip6 := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolUDP, SrcIP: ip(u.from), DstIP: ip(u.to)}
	l := append(ethernet(u.dst, u.src, layers.EthernetTypeIPv6, u.vlans...), ip6)
	if u.fragment {
		ip6.NextHeader = layers.IPProtocolIPv6Fragment
		return build(append(l, gopacket.Payload{byte(layers.IPProtocolUDP), 0, 0x03, 0x20, 0, 0, 0, 1}, payload)...)
	}
	_ = udp.SetNetworkLayerForChecksum(ip6)
	return build(append(l, udp, payload)...)
}

// padded returns a frame with zeros up to Ethernet's minimum, as it arrives from a wire.
func padded(b []byte) []byte {
	for len(b) < 60 {
		b = append(b, 0)
	}
	return b
}

// newTestGate loads a gate with the interface and the VIPs of the cast, closed, with key slot 1 set.
func newTestGate(tb testing.TB, useVMAC bool) *Gate {
	tb.Helper()
	g := openGate(tb, testOptions(newPinDir(tb)))
	for _, err := range []error{
		g.putIface(Iface{Index: testIface, Slot: testSlot, MAC: ownMAC, VMAC: vmac, Gated: true, UseVMAC: useVMAC}),
		g.SetVIPs(testVIPs()),
		g.SetKey(testKeyNumber, testKey, true),
	} {
		if err != nil {
			tb.Fatal(err)
		}
	}
	return g
}

const testKeyNumber = 1

var testKey = [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
