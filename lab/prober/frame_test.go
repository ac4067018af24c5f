// SPDX-License-Identifier: Apache-2.0

package prober

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/net/bpf"
)

var (
	me    = [6]byte{6, 1, 2, 3, 4, 5}
	you   = [6]byte{2, 1, 2, 3, 4, 5}
	vip4  = netip.MustParseAddr("10.1.0.1")
	from4 = netip.MustParseAddr("10.1.2.1")
	vip6  = netip.MustParseAddr("fd00::1:203")
	from6 = netip.MustParseAddr("fd00::2:1")
)

// decode lets gopacket read a frame.
func decode(t *testing.T, frame []byte) gopacket.Packet {
	t.Helper()
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	if e := p.ErrorLayer(); e != nil {
		t.Fatalf("not decodable: %v", e.Error())
	}
	return p
}

func TestAskARP(t *testing.T) {
	p := decode(t, askARP(me, from4, vip4, broadcast))
	arp := p.Layer(layers.LayerTypeARP).(*layers.ARP)
	if arp.Operation != layers.ARPRequest || [4]byte(arp.DstProtAddress) != vip4.As4() || [4]byte(arp.SourceProtAddress) != from4.As4() ||
		[6]byte(arp.SourceHwAddress) != me {
		t.Errorf("%+v", arp)
	}
}

func TestAskND(t *testing.T) {
	for _, to := range [][6]byte{{}, you} {
		frame := askND(me, from6, vip6, to)
		p := decode(t, frame)
		ip := p.NetworkLayer().(*layers.IPv6)
		ns := p.Layer(layers.LayerTypeICMPv6NeighborSolicitation).(*layers.ICMPv6NeighborSolicitation)
		if ip.HopLimit != 255 || ns.TargetAddress.String() != vip6.String() || len(ns.Options) != 1 || [6]byte(ns.Options[0].Data) != me {
			t.Errorf("%+v %+v", ip, ns)
		}
		want := "ff02::1:ff01:203"
		if to == you {
			want = vip6.String()
		}
		if ip.DstIP.String() != want {
			t.Errorf("to %s, want %s", ip.DstIP, want)
		}
		sent := binary.BigEndian.Uint16(frame[ethLen+ipv6Len+2:])
		frame[ethLen+ipv6Len+2], frame[ethLen+ipv6Len+3] = 0, 0
		icmp := p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
		if err := icmp.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		buf := gopacket.NewSerializeBuffer()
		if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{ComputeChecksums: true}, icmp, ns); err != nil {
			t.Fatal(err)
		}
		if want := binary.BigEndian.Uint16(buf.Bytes()[2:]); sent != want {
			t.Errorf("checksum %04x, want %04x", sent, want)
		}
	}
}

// answerARP and answerNA are what a member sends.
func answerARP(op uint16, target [4]byte) []byte {
	b := askARP(you, vip4, netip.AddrFrom4(target), me)
	binary.BigEndian.PutUint16(b[ethLen+6:], op)
	copy(b[ethLen+18:], me[:])
	return b
}

func answerNA(flags byte) []byte {
	b := askND(you, vip6, vip6, me)
	b[ethLen+ipv6Len] = icmpNA
	b[ethLen+ipv6Len+4] = flags
	b[ethLen+ipv6Len+ndLen] = optTargetMAC
	return b
}

func TestParse(t *testing.T) {
	tests := []struct {
		name           string
		frame          []byte
		ok, gratuitous bool
		vip            netip.Addr
	}{
		{"ARP reply", answerARP(arpReply, from4.As4()), true, false, vip4},
		{"gratuitous request", answerARP(arpRequest, vip4.As4()), true, true, vip4},
		{"gratuitous reply", answerARP(arpReply, vip4.As4()), true, true, vip4},
		{"ARP request", answerARP(arpRequest, from4.As4()), false, false, vip4},
		{"solicited NA", answerNA(0x60), true, false, vip6},
		{"unsolicited NA", answerNA(0x20), true, true, vip6},
		{"NS", askND(you, from6, vip6, me), false, false, vip6},
	}
	filter, err := answersFilter()
	if err != nil {
		t.Fatal(err)
	}
	prog, _ := bpf.Disassemble(filter)
	vm, err := bpf.NewVM(prog)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, ok := parse(tt.frame)
			if ok != tt.ok {
				t.Fatalf("ok %v, want %v", ok, tt.ok)
			}
			if ok && (s.vip != tt.vip || s.gratuitous != tt.gratuitous || s.mac != you || s.claimed != you || s.to != me) {
				t.Errorf("%+v", s)
			}
			if n, err := vm.Run(tt.frame); err != nil || (tt.ok && n == 0) {
				t.Errorf("the filter drops it (%d, %v)", n, err)
			}
			for n := range tt.frame {
				parse(tt.frame[:n]) // must not panic
				payload(tt.frame[:n])
			}
		})
	}
}

func TestTrafficFilter(t *testing.T) {
	udp := func(ip gopacket.SerializableLayer, etherType layers.EthernetType, port layers.UDPPort) []byte {
		u := &layers.UDP{SrcPort: 1, DstPort: port}
		buf := gopacket.NewSerializeBuffer()
		eth := &layers.Ethernet{SrcMAC: me[:], DstMAC: you[:], EthernetType: etherType}
		opts := gopacket.SerializeOptions{FixLengths: true}
		if err := gopacket.SerializeLayers(buf, opts, eth, ip, u, gopacket.Payload("numbered")); err != nil {
			t.Fatal(err)
		}
		return buf.Bytes()
	}
	v4 := &layers.IPv4{Version: 4, IHL: 5, TTL: 1, Protocol: layers.IPProtocolUDP, SrcIP: from4.AsSlice(), DstIP: vip4.AsSlice()}
	v6 := &layers.IPv6{Version: 6, HopLimit: 1, NextHeader: layers.IPProtocolUDP, SrcIP: from6.AsSlice(), DstIP: vip6.AsSlice()}
	filter, err := trafficFilter(9100)
	if err != nil {
		t.Fatal(err)
	}
	prog, _ := bpf.Disassemble(filter)
	vm, err := bpf.NewVM(prog)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		frame []byte
		want  bool
	}{
		{"v4", udp(v4, layers.EthernetTypeIPv4, 9100), true},
		{"v6", udp(v6, layers.EthernetTypeIPv6, 9100), true},
		{"v4 another port", udp(v4, layers.EthernetTypeIPv4, 9101), false},
		{"v6 another port", udp(v6, layers.EthernetTypeIPv6, 9101), false},
		{"ARP", askARP(me, from4, vip4, you), false},
		{"NS", askND(me, from6, vip6, you), false},
	} {
		n, err := vm.Run(tt.frame)
		if err != nil || (n > 0) != tt.want {
			t.Errorf("%s: filter says %d, %v", tt.name, n, err)
		}
		if got, ok := payload(tt.frame); tt.want && (!ok || string(got) != "numbered") {
			t.Errorf("%s: payload %q %v", tt.name, got, ok)
		}
	}
}
