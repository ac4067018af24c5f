// SPDX-License-Identifier: Apache-2.0

package neighbour

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
)

func TestSource(t *testing.T) {
	in := Iface{}
	for _, p := range []string{"192.0.2.2/24", "10.1.0.2/16", "10.1.2.3/24", "fe80::2/64", "2001:db8::2/64"} {
		in.Own = append(in.Own, netip.MustParsePrefix(p))
	}
	for _, k := range []struct{ addr, want string }{
		{"192.0.2.254", "192.0.2.2"}, {"10.1.9.9", "10.1.0.2"}, {"10.1.2.9", "10.1.2.3"}, {"203.0.113.1", "192.0.2.2"},
		{"fe80::1", "fe80::2"}, {"2001:db8::1", "2001:db8::2"}, {"2001:db8:9::1", "fe80::2"},
	} {
		if got := in.source(netip.MustParseAddr(k.addr)); got.String() != k.want {
			t.Errorf("%s is asked from %s, want %s", k.addr, got, k.want)
		}
	}
	if got := (&Iface{}).source(netip.MustParseAddr("10.0.0.1")); got.IsValid() {
		t.Errorf("without own addresses: %s", got)
	}
}

// TestNothingLeavesFromAVIP looks at every frame that leaves a member which holds VIPs on lo while it asks everything there is to ask:
// the sender is the member's own address and MAC, in Ethernet, ARP, IP and the link-layer option.
func TestNothingLeavesFromAVIP(t *testing.T) {
	w := newWire(t, nil)
	w.member.Run("ip", "addr", "add", "10.0.0.100/32", "dev", "lo")
	w.member.Run("ip", "addr", "add", "2001:db8::100/128", "dev", "lo", "nodad")
	var tap *packet.Conn
	w.bridge.Do(func() error {
		ifi, err := net.InterfaceByName("p0")
		if err != nil {
			return err
		}
		tap, err = packet.Listen(ifi, packet.Raw, unix.ETH_P_ALL, nil)
		return err
	})
	defer tap.Close()
	for _, host := range []string{"10.0.0.2", "2001:db8::2"} {
		w.member.Run("ping", "-c1", "-W20", host) // it is ready
	}
	for range 2 { // the second time the MACs are known
		for _, q := range []struct {
			kind Kind
			addr string
		}{{VIP, "10.0.0.100"}, {VIP, "2001:db8::100"}, {Neighbour, "10.0.0.2"}, {Neighbour, "2001:db8::3"}, {Echo, "10.0.0.3"}, {Echo, "2001:db8::2"}} {
			w.ask(q.kind, q.addr, 50*time.Millisecond)
			for w.answer().Kind != q.kind {
				continue
			}
		}
	}
	seen := map[string]int{}
	mac := w.member.MAC("e0")
	buf := make([]byte, 2048)
	if err := tap.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for {
		n, _, err := tap.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if [6]byte(buf[6:12]) != mac {
			continue // towards the member
		}
		kind, senders := sendersOf(buf[:n])
		for _, s := range senders {
			if !slices.Contains([]string{"10.0.0.1", "2001:db8::1", net.HardwareAddr(mac[:]).String()}, s) {
				t.Errorf("%s leaves from %s: %x", kind, s, buf[:n])
			}
		}
		seen[kind]++
	}
	for _, kind := range []string{"ARP", "NS", "echo4", "echo6"} {
		if seen[kind] == 0 {
			t.Errorf("no %s was seen: %v", kind, seen)
		}
	}
}

// sendersOf names a question and everything in it that says who asks; link-local ones are the kernel's own.
func sendersOf(b []byte) (kind string, senders []string) {
	p := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default)
	if a, ok := p.Layer(layers.LayerTypeARP).(*layers.ARP); ok {
		return "ARP", []string{net.IP(a.SourceProtAddress).String(), net.HardwareAddr(a.SourceHwAddress).String()}
	}
	if ip, ok := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4); ok {
		if c, ok := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); ok && c.TypeCode.Type() == layers.ICMPv4TypeEchoRequest {
			return "echo4", []string{ip.SrcIP.String()}
		}
	}
	ip, ok := p.Layer(layers.LayerTypeIPv6).(*layers.IPv6)
	if !ok || ip.SrcIP.IsLinkLocalUnicast() || ip.SrcIP.IsUnspecified() {
		return "other", nil
	}
	if ns, ok := p.Layer(layers.LayerTypeICMPv6NeighborSolicitation).(*layers.ICMPv6NeighborSolicitation); ok {
		senders = []string{ip.SrcIP.String()}
		for _, o := range ns.Options {
			if o.Type == layers.ICMPv6OptSourceAddress {
				senders = append(senders, net.HardwareAddr(o.Data).String())
			}
		}
		return "NS", senders
	}
	if p.Layer(layers.LayerTypeICMPv6Echo) != nil {
		return "echo6", []string{ip.SrcIP.String()}
	}
	return "other", nil
}
