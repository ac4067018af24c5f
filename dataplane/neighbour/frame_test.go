// SPDX-License-Identifier: Apache-2.0

package neighbour

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

var (
	ownMAC  = [6]byte{0x02, 0, 0, 0, 0, 0x0a}
	peerMAC = [6]byte{0x02, 0, 0, 0, 0, 0x0b}
	own     = Iface{Index: 2, Name: "e0", MAC: ownMAC,
		Own: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("2001:db8::1/64")}}
)

// decode fails the test unless gopacket reads the frame without an error, and its checksums are what gopacket computes.
func decode(t *testing.T, b []byte) gopacket.Packet {
	t.Helper()
	p := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default)
	if e := p.ErrorLayer(); e != nil {
		t.Fatalf("%x: %v", b, e.Error())
	}
	return p
}

func TestQuestionsComeFromTheOwnAddress(t *testing.T) {
	vip4, vip6 := netip.MustParseAddr("10.0.0.100"), netip.MustParseAddr("2001:db8::1:2:3")
	b, err := own.resolution(vip4)
	if err != nil {
		t.Fatal(err)
	}
	a, ok := decode(t, b).Layer(layers.LayerTypeARP).(*layers.ARP)
	if !ok || a.Operation != layers.ARPRequest || !bytes.Equal(a.SourceProtAddress, []byte{10, 0, 0, 1}) ||
		!bytes.Equal(a.SourceHwAddress, ownMAC[:]) || !bytes.Equal(a.DstProtAddress, []byte{10, 0, 0, 100}) {
		t.Errorf("ARP request: %+v", a)
	}
	b, err = own.resolution(vip6)
	if err != nil {
		t.Fatal(err)
	}
	p := decode(t, b)
	ip := p.Layer(layers.LayerTypeIPv6).(*layers.IPv6)
	ns, ok := p.Layer(layers.LayerTypeICMPv6NeighborSolicitation).(*layers.ICMPv6NeighborSolicitation)
	if !ok || ip.SrcIP.String() != "2001:db8::1" || ip.DstIP.String() != "ff02::1:ff02:3" || ip.HopLimit != 255 ||
		ns.TargetAddress.String() != vip6.String() || !bytes.Equal(b[:6], []byte{0x33, 0x33, 0xff, 0x02, 0, 3}) {
		t.Errorf("neighbour solicitation: %+v in %+v", ns, ip)
	}
	if !bytes.Equal(b[62:], append([]byte{}, 0, 0, 0, 0)) && !bytes.Contains(b, append([]byte{1, 1}, ownMAC[:]...)) {
		t.Errorf("no source link-layer option: %x", b)
	}
}

func TestQuestionsWithoutOwnAddress(t *testing.T) {
	bare := Iface{Index: 2, MAC: ownMAC}
	b, err := bare.resolution(netip.MustParseAddr("10.0.0.100"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b[28:32], []byte{0, 0, 0, 0}) {
		t.Errorf("an ARP probe has no sender: %x", b)
	}
	if b, err = bare.resolution(netip.MustParseAddr("2001:db8::100")); err != nil {
		t.Fatal(err)
	}
	if ip := decode(t, b).Layer(layers.LayerTypeIPv6).(*layers.IPv6); !ip.SrcIP.IsUnspecified() {
		t.Errorf("source %v", ip.SrcIP)
	}
	if _, err := bare.echoRequest(netip.MustParseAddr("10.0.0.2"), peerMAC, 1, 1); !errors.Is(err, errNoOwner) {
		t.Errorf("echo without own address: %v", err)
	}
}

func TestEchoRequest(t *testing.T) {
	for _, tt := range []struct {
		addr   string
		kind   icmp.Type
		offset int
		pseudo []byte
	}{
		{"10.0.0.2", ipv4.ICMPTypeEcho, 34, nil},
		{"2001:db8::2", ipv6.ICMPTypeEchoRequest, 54, icmp.IPv6PseudoHeader(net.ParseIP("2001:db8::1"), net.ParseIP("2001:db8::2"))},
	} {
		b, err := own.echoRequest(netip.MustParseAddr(tt.addr), peerMAC, 0x1234, 7)
		if err != nil {
			t.Fatal(err)
		}
		m := icmp.Message{Type: tt.kind, Body: &icmp.Echo{ID: 0x1234, Seq: 7, Data: []byte("holdfast")}}
		want, err := m.Marshal(tt.pseudo)
		if err != nil {
			t.Fatal(err)
		}
		if got := b[tt.offset : tt.offset+len(want)]; !bytes.Equal(got, want) {
			t.Errorf("%s:\n got %x\nwant %x", tt.addr, got, want)
		}
		if l := decode(t, b).NetworkLayer(); l.NetworkFlow().Dst().String() != tt.addr {
			t.Errorf("%s: sent to %v", tt.addr, l.NetworkFlow().Dst())
		}
		if tt.pseudo == nil && checksum(0, b[14:34]) != 0 {
			t.Errorf("%s: header checksum", tt.addr)
		}
	}
}

func TestParse(t *testing.T) {
	arpReply := append(append([]byte{},
		0x02, 0, 0, 0, 0, 0x0a, // destination
		0x02, 0, 0, 0, 0, 0x0b, // source
		8, 6, // ARP
		0, 1, 8, 0, 6, 4, 0, 2), // reply
		0x02, 0x48, 0, 1, 0, 0, 10, 0, 0, 100, // sender: the VMAC, not the Ethernet source
		0x02, 0, 0, 0, 0, 0x0a, 10, 0, 0, 1)
	na := append(append([]byte{},
		0x02, 0, 0, 0, 0, 0x0a, 0x02, 0, 0, 0, 0, 0x0b, 0x86, 0xdd,
		0x60, 0, 0, 0, 0, 32, 58, 255), // length, ICMPv6, hop limit
		append(append(own.Own[1].Addr().AsSlice(), own.Own[1].Addr().AsSlice()...),
			append(append([]byte{136, 0, 0, 0, 0x60, 0, 0, 0}, netip.MustParseAddr("2001:db8::100").AsSlice()...),
				2, 1, 0x02, 0x48, 0, 1, 0, 0)...)...) // target link-layer address: the VMAC
	change := func(b []byte, at int, to byte) []byte {
		c := bytes.Clone(b)
		c[at] = to
		return c
	}
	vmac := [6]byte{0x02, 0x48, 0, 1, 0, 0}
	for _, tt := range []struct {
		name string
		b    []byte
		want heard
		ok   bool
	}{
		{"ARP reply", arpReply, heard{addr: netip.MustParseAddr("10.0.0.100"), mac: vmac}, true},
		{"ARP request", change(arpReply, 21, 1), heard{}, false},
		{"truncated ARP", arpReply[:41], heard{}, false},
		{"hardware length 5", change(arpReply, 18, 5), heard{}, false},
		{"neighbour advertisement", na, heard{addr: netip.MustParseAddr("2001:db8::100"), mac: vmac}, true},
		{"advertisement from beyond the link", change(na, 21, 254), heard{}, false},
		{"solicitation", change(na, 54, 135), heard{}, false},
		{"payload length beyond the frame", change(na, 19, 33), heard{}, false},
		{"option of length 0", change(na, 79, 0), heard{}, false},
		{"empty", nil, heard{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := parse(tt.b); ok != tt.ok || ok && got != tt.want {
				t.Errorf("got %+v, %v; want %+v, %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}

// FuzzParse: any station of the segment may send anything; parse must not panic, and must name an address when it is ok.
func FuzzParse(f *testing.F) {
	for _, addr := range []string{"10.0.0.2", "2001:db8::2"} {
		b, err := own.echoRequest(netip.MustParseAddr(addr), peerMAC, 1, 1)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, ok := parse(b); ok && !h.addr.IsValid() {
			t.Errorf("ok without an address: %x", b)
		}
	})
}
