// SPDX-License-Identifier: Apache-2.0

package announce

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

var (
	vmac         = [6]byte{0x02, 0x48, 0, 1, 0, 0}
	multicastMAC = [6]byte{0x01, 0x00, 0x5e, 0x00, 0x07, 0x00}
	own          = [6]byte{0x3c, 0xec, 0xef, 0x00, 0x00, 0x03}
)

func addrs(list ...string) []netip.Addr {
	var all []netip.Addr
	for _, s := range list {
		all = append(all, netip.MustParseAddr(s))
	}
	return all
}

// golden joins commented fields of hexadecimal digits.
func golden(t *testing.T, fields ...string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(strings.Join(fields, ""), " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// decode fails the test unless gopacket reads the frame without an error.
func decode(t *testing.T, b []byte) gopacket.Packet {
	t.Helper()
	p := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default)
	if e := p.ErrorLayer(); e != nil {
		t.Fatalf("%x: %v", b, e.Error())
	}
	return p
}

func TestRoundBytes(t *testing.T) {
	padding := strings.Repeat("00", 18)
	for _, tt := range []struct {
		name string
		set  Set
		want [][]byte
	}{
		{name: "IPv4: request form, then reply form", set: Set{MAC: vmac, VIPs: addrs("10.0.0.100")}, want: [][]byte{
			golden(t, "ffffffffffff", "024800010000", "0806", // broadcast, from the VMAC, ARP
				"0001 0800 06 04 0001",  // Ethernet, IPv4, lengths, request
				"024800010000 0a000064", // sender
				"000000000000 0a000064", // target: the same address, hardware unknown
				padding),
			golden(t, "ffffffffffff", "024800010000", "0806",
				"0001 0800 06 04 0002",  // reply
				"024800010000 0a000064", // sender
				"024800010000 0a000064", // target: the sender
				padding),
		}},
		{name: "tagged", set: Set{MAC: vmac, VLAN: 100, VIPs: addrs("10.0.0.100")}, want: [][]byte{
			golden(t, "ffffffffffff", "024800010000", "8100 0064", "0806", "0001 0800 06 04 0001",
				"024800010000 0a000064", "000000000000 0a000064", padding[:2*14]),
			golden(t, "ffffffffffff", "024800010000", "8100 0064", "0806", "0001 0800 06 04 0002",
				"024800010000 0a000064", "024800010000 0a000064", padding[:2*14]),
		}},
		{name: "IPv6: unsolicited advertisement of a router", set: Set{MAC: vmac, IsRouter: true, VIPs: addrs("2001:db8::100")}, want: [][]byte{
			golden(t, "333300000001", "024800010000", "86dd", // all nodes, from the VMAC, IPv6
				"60000000 0020 3a ff",              // 32 bytes, ICMPv6, hop limit 255
				"20010db8000000000000000000000100", // source: the VIP
				"ff020000000000000000000000000001", // all nodes
				"88 00 76e4",                       // neighbour advertisement, checksum
				"a0000000",                         // router, override, not solicited
				"20010db8000000000000000000000100", // target
				"02 01 024800010000"),              // target link-layer address
		}},
		{name: "proxy addresses are announced, each address once", set: Set{MAC: vmac, VIPs: addrs("10.0.0.1", "10.0.0.1"), Proxy: addrs("10.0.0.1")},
			want: [][]byte{
				golden(t, "ffffffffffff", "024800010000", "0806", "0001 0800 06 04 0001",
					"024800010000 0a000001", "000000000000 0a000001", padding),
				golden(t, "ffffffffffff", "024800010000", "0806", "0001 0800 06 04 0002",
					"024800010000 0a000001", "024800010000 0a000001", padding),
			}},
		{name: "a multicast MAC is announced by the interface's own", set: Set{MAC: multicastMAC, Source: own, VIPs: addrs("10.0.0.100", "2001:db8::100")},
			want: [][]byte{
				golden(t, "ffffffffffff", "3cecef000003", "0806", "0001 0800 06 04 0001", "01005e000700 0a000064", "000000000000 0a000064", padding),
				golden(t, "333300000001", "3cecef000003", "86dd", "60000000 0020 3a ff", "20010db8000000000000000000000100", "ff020000000000000000000000000001",
					"88 00 932d", "20000000", "20010db8000000000000000000000100", "02 01 01005e000700"),
				golden(t, "ffffffffffff", "3cecef000003", "0806", "0001 0800 06 04 0002", "01005e000700 0a000064", "01005e000700 0a000064", padding),
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.set.round()
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(tt.want) {
				t.Fatalf("%d frames, want %d", len(got), len(tt.want))
			}
			for i, f := range got {
				if !bytes.Equal(f.bytes, tt.want[i]) {
					t.Errorf("frame %d:\n got %x\nwant %x", i, f.bytes, tt.want[i])
				}
				decode(t, f.bytes)
			}
		})
	}
}

func TestRoundNamesEveryAddressOnceBeforeAnyTwice(t *testing.T) {
	s := Set{MAC: vmac, LinkLocal: netip.MustParseAddr("fe80::48:1:0"), VIPs: addrs("10.0.0.1", "10.0.0.2", "2001:db8::1")}
	frames, err := s.round()
	if err != nil {
		t.Fatal(err)
	}
	var kinds []kind
	for _, f := range frames {
		kinds = append(kinds, f.kind)
	}
	want := []kind{kindNA, kindRequest, kindRequest, kindNA, kindReply, kindReply}
	if len(kinds) != len(want) {
		t.Fatalf("got %v, want %v", kinds, want)
	}
	for i := range want {
		if kinds[i] != want[i] {
			t.Fatalf("got %v, want %v", kinds, want)
		}
	}
}

func TestBeacon(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  Set
		want layers.EthernetType // 0: none
	}{
		{"IPv4 first", Set{Virtual: true, MAC: vmac, VIPs: addrs("2001:db8::1", "10.0.0.1")}, layers.EthernetTypeARP},
		{"IPv6 only", Set{Virtual: true, MAC: vmac, VIPs: addrs("2001:db8::1")}, layers.EthernetTypeIPv6},
		{"proxy only", Set{Virtual: true, MAC: vmac, Proxy: addrs("10.0.0.1")}, layers.EthernetTypeARP},
		{"no address", Set{Virtual: true, MAC: vmac}, 0},
		{"no VMAC", Set{MAC: vmac, VIPs: addrs("10.0.0.1")}, 0},
		{"nothing to learn", Set{Virtual: true, MAC: multicastMAC, Source: own, VIPs: addrs("10.0.0.1")}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, ok, err := tt.set.beacon()
			if err != nil || ok != (tt.want != 0) {
				t.Fatalf("ok %v, error %v", ok, err)
			}
			if !ok {
				return
			}
			e := decode(t, f.bytes).LinkLayer().(*layers.Ethernet)
			if e.EthernetType != tt.want || !bytes.Equal(e.SrcMAC, vmac[:]) || e.DstMAC[0]&1 != 1 {
				t.Errorf("%v from %v to %v", e.EthernetType, e.SrcMAC, e.DstMAC)
			}
		})
	}
}

func TestRouterAdvert(t *testing.T) {
	set := Set{Name: "e0", MAC: vmac, LinkLocal: netip.MustParseAddr("fe80::48:1:2"), Router: &Router{
		MTU: 1400, HopLimit: 64, OtherConfig: true, DNS: addrs("2001:db8::53"), Search: []string{"example.org"},
		Prefixes: []Prefix{{Prefix: netip.MustParsePrefix("2001:db8::/64"), Valid: time.Hour, Preferred: time.Minute}},
	}}
	s, err := newStation(set, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := decode(t, s.advert)
	ip := p.Layer(layers.LayerTypeIPv6).(*layers.IPv6)
	ra := p.Layer(layers.LayerTypeICMPv6RouterAdvertisement).(*layers.ICMPv6RouterAdvertisement)
	if ip.SrcIP.String() != "fe80::48:1:2" || ip.DstIP.String() != "ff02::1" || ip.HopLimit != 255 {
		t.Errorf("header %+v", ip)
	}
	if ra.RouterLifetime != 1800 || ra.HopLimit != 64 || ra.Flags != 0x40 {
		t.Errorf("advertisement %+v", ra)
	}
	options := map[layers.ICMPv6Opt][]byte{}
	for _, o := range ra.Options {
		options[o.Type] = o.Data
	}
	if !bytes.Equal(options[layers.ICMPv6OptSourceAddress], vmac[:]) || !bytes.Equal(options[layers.ICMPv6OptMTU], []byte{0, 0, 0, 0, 5, 0x78}) {
		t.Errorf("options %v", ra.Options)
	}
	if want := golden(t, "40 c0 00000e10 0000003c 00000000", "20010db8000000000000000000000000"); !bytes.Equal(options[layers.ICMPv6OptPrefixInfo], want) {
		t.Errorf("prefix:\n got %x\nwant %x", options[layers.ICMPv6OptPrefixInfo], want)
	}
	if checksum(s.advert[22:54], s.advert[54:]) != 0 {
		t.Error("checksum")
	}
}

func TestRouterIsChecked(t *testing.T) {
	for _, tt := range []struct {
		name   string
		router Router
		want   string
	}{
		{"interval too short", Router{MaxInterval: time.Second}, "choose 4s to 1800s"},
		{"minimum above three quarters", Router{MaxInterval: 10 * time.Second, MinInterval: 9 * time.Second}, "choose 3s to three quarters"},
		{"lifetime shorter than the interval", Router{Lifetime: time.Second}, "lifetime 1s"},
		{"preferred longer than valid", Router{Prefixes: []Prefix{{Prefix: netip.MustParsePrefix("2001:db8::/64"), Valid: time.Second, Preferred: time.Minute}}}, "longer than the valid"},
		{"unknown preference", Router{Preference: "best"}, "choose low, medium or high"},
		{"IPv4 server", Router{DNS: addrs("10.0.0.53")}, "give an IPv6 address"},
		{"IPv4 prefix", Router{Prefixes: []Prefix{{Prefix: netip.MustParsePrefix("10.0.0.0/24")}}}, "give an IPv6 network"},
		{"no route", Router{NoDefaultRoute: true}, ""},
		{"shortest", Router{MaxInterval: 4 * time.Second}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.router.withDefaults()
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	if _, err := newStation(Set{Name: "e0", MAC: vmac, Router: &Router{}}, nil); err == nil || !strings.Contains(err.Error(), "virtual link-local address") {
		t.Errorf("without a link-local address: %v", err)
	}
}

// TestMulticastSource: no frame comes from a multicast MAC, and a router's advertisement carries it as an option only.
func TestMulticastSource(t *testing.T) {
	set := Set{Name: "e0", MAC: multicastMAC, VIPs: addrs("10.0.0.1")}
	if _, err := newStation(set, nil); err == nil || !strings.Contains(err.Error(), "name the interface's own as source") {
		t.Errorf("a multicast MAC as source: %v", err)
	}
	set.Source, set.LinkLocal, set.Router = own, netip.MustParseAddr("fe80::48:1:2"), &Router{}
	s, err := newStation(set, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := decode(t, s.advert)
	if e := p.LinkLayer().(*layers.Ethernet); !bytes.Equal(e.SrcMAC, own[:]) {
		t.Errorf("from %v", e.SrcMAC)
	}
	for _, o := range p.Layer(layers.LayerTypeICMPv6RouterAdvertisement).(*layers.ICMPv6RouterAdvertisement).Options {
		if o.Type == layers.ICMPv6OptSourceAddress && !bytes.Equal(o.Data, multicastMAC[:]) {
			t.Errorf("hosts are told %x", o.Data)
		}
	}
}
