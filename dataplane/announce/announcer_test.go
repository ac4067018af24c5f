// SPDX-License-Identifier: Apache-2.0

package announce

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"go.uber.org/goleak"

	"github.com/holdfast-project/holdfast/dataplane/link/linktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lan is a member at a bridge with a host; the bridge's ports are p0 (the member's) and p1 (the host's).
type lan struct {
	t                    *testing.T
	member, host, bridge *linktest.Namespace
	index                int
	announcer            *Announcer
}

func newLAN(t *testing.T) *lan {
	t.Helper()
	l := &lan{t: t, member: linktest.New(t), host: linktest.New(t), bridge: linktest.New(t), announcer: New(nil)}
	l.index, _ = linktest.Veth(l.member, "e0", l.bridge, "p0")
	linktest.Veth(l.host, "h0", l.bridge, "p1")
	l.bridge.Bridge("br0", "p0", "p1")
	l.member.Addr("e0", "10.0.0.1/24")
	l.host.Addr("h0", "10.0.0.2/24")
	l.host.Addr("h0", "2001:db8::2/64")
	return l
}

// serve runs Serve until the test ends.
func (l *lan) serve() {
	l.t.Helper()
	ctx, cancel := context.WithCancel(l.t.Context())
	ended := l.member.Go(func() error { return l.announcer.Serve(ctx) })
	l.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			l.t.Error(err)
		}
	})
}

func (l *lan) configure(sets ...Set) {
	l.t.Helper()
	l.member.Do(func() error { return l.announcer.Configure(sets) })
}

// capture listens on the host's interface.
func (l *lan) capture() *packet.Conn {
	l.t.Helper()
	var conn *packet.Conn
	l.host.Do(func() error {
		var err error
		conn, err = packet.Listen(&net.Interface{Index: l.host.Index("h0")}, packet.Raw, 3 /* ETH_P_ALL */, nil)
		return err
	})
	l.t.Cleanup(func() { conn.Close() })
	return conn
}

// frames reads n frames from the VMAC.
func frames(t *testing.T, conn *packet.Conn, n int) []gopacket.Packet {
	t.Helper()
	var all []gopacket.Packet
	buf := make([]byte, 2048)
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for len(all) < n {
		k, _, err := conn.ReadFrom(buf)
		if err != nil {
			t.Fatalf("frame %d of %d: %v", len(all)+1, n, err)
		}
		if [6]byte(buf[6:12]) == vmac {
			all = append(all, decode(t, append([]byte(nil), buf[:k]...)))
		}
	}
	return all
}

func (l *lan) set() Set {
	return Set{Index: l.index, Name: "e0", MAC: vmac, Virtual: true, IsRouter: true, VIPs: addrs("10.0.0.100", "2001:db8::100")}
}

func TestNeighboursAndSwitchesLearn(t *testing.T) {
	l := newLAN(t)
	// The host knows the VIPs at another MAC, as after a hand-over without a VMAC.
	l.host.Run("sh", "-c", "ip neigh replace 10.0.0.100 lladdr 02:00:00:00:00:99 dev h0 nud reachable; "+
		"ip neigh replace 2001:db8::100 lladdr 02:00:00:00:00:99 dev h0 nud reachable; echo 0 > /proc/sys/net/ipv4/neigh/h0/locktime")
	l.configure(l.set())
	conn := l.capture()
	l.member.Do(func() error { l.announcer.Announce(0); return nil }) // Serve does not run: the burst is synchronous
	frames(t, conn, 4)
	for _, vip := range []string{"10.0.0.100", "2001:db8::100"} {
		if out := l.host.Run("ip", "neigh", "show", "to", vip); !strings.Contains(out, "02:48:00:01:00:00") {
			t.Errorf("the host has %s", out)
		}
	}
	if out := l.bridge.Run("bridge", "fdb", "show", "br", "br0"); !strings.Contains(out, "02:48:00:01:00:00 dev p0 master br0") {
		t.Errorf("the bridge has not learned the port:\n%s", out)
	}
	want := Counters{Beacons: 1, ARPRequests: 1, ARPReplies: 1, NeighbourAdverts: 1, Rounds: 1}
	if got := l.announcer.Counters(); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
	l.serve() // closes the sockets at the end
}

// TestNeighboursLearnMulticastMAC: Linux hosts take a multicast MAC for the VIPs, IPv6 ones too, and switches learn the member's own MAC only.
func TestNeighboursLearnMulticastMAC(t *testing.T) {
	l := newLAN(t)
	l.host.Run("sh", "-c", "ip neigh replace 10.0.0.100 lladdr 02:00:00:00:00:99 dev h0 nud reachable; "+
		"ip neigh replace 2001:db8::100 lladdr 02:00:00:00:00:99 dev h0 nud reachable; echo 0 > /proc/sys/net/ipv4/neigh/h0/locktime")
	set := l.set()
	set.MAC, set.Source = multicastMAC, l.member.MAC("e0")
	l.configure(set)
	l.member.Do(func() error { l.announcer.Announce(0); return nil })
	for _, vip := range []string{"10.0.0.100", "2001:db8::100"} {
		if out := l.host.Run("ip", "neigh", "show", "to", vip); !strings.Contains(out, "01:00:5e:00:07:00") {
			t.Errorf("the host has %s", out)
		}
	}
	if out := l.bridge.Run("bridge", "fdb", "show", "br", "br0"); strings.Contains(out, "01:00:5e:00:07:00") {
		t.Errorf("the bridge has learned a multicast MAC:\n%s", out)
	}
	if got := l.announcer.Counters(); got.Beacons != 0 || got.ARPRequests != 1 || got.NeighbourAdverts != 1 {
		t.Errorf("counted %+v", got)
	}
	l.serve() // closes the sockets at the end
}

func TestBeaconLeavesFirstOnEveryInterface(t *testing.T) {
	l := newLAN(t)
	l.serve()
	other := linktest.New(t)
	second, _ := linktest.Veth(l.member, "e1", other, "p9")
	a, b := l.set(), l.set()
	b.Index, b.Name = second, "e1"
	for i := range 2000 {
		a.VIPs = append(a.VIPs, netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}))
	}
	l.configure(a, b)
	conn := l.capture()
	start := time.Now()
	l.announcer.Announce(0)
	took := time.Since(start)
	counted := l.announcer.Counters()
	if counted.Beacons != 2 {
		t.Errorf("%d beacons when Announce returned, want 2", counted.Beacons)
	}
	first := frames(t, conn, 1)[0]
	if arp, ok := first.Layer(layers.LayerTypeARP).(*layers.ARP); !ok || arp.Operation != layers.ARPRequest {
		t.Errorf("the first frame is %v", first)
	}
	t.Logf("Announce of 2002 addresses took %v, %d frames sent in it", took, counted.ARPRequests+counted.NeighbourAdverts)
	waitFor(t, "a whole round", func() bool { return l.announcer.Counters().ARPReplies >= 2002 })
	t.Logf("whole first round of both interfaces after %v", time.Since(start))
}

// waitFor polls a counter; the deadline is for a broken program, not for a slow machine.
func waitFor(t *testing.T, what string, reached func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !reached() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s did not come", what)
		}
	}
}

func TestSeriesAndWithdraw(t *testing.T) {
	l := newLAN(t)
	l.configure(l.set())
	l.serve()
	l.announcer.Announce(0)
	waitFor(t, "the second beacon and third round", func() bool {
		c := l.announcer.Counters()
		return c.Beacons >= 2 && c.Rounds >= 3
	})
	l.announcer.Announce(1) // another group: nothing here
	l.announcer.Withdraw(0)
	if l.announcer.Serving(0) {
		t.Error("still serving")
	}
	stopped := l.announcer.Counters()
	l.announcer.step(0) // what Serve would do when it wakes
	if got := l.announcer.Counters(); got != stopped {
		t.Errorf("sent after Withdraw: %+v, then %+v", stopped, got)
	}
	l.announcer.Announce(0)
	if got := l.announcer.Counters(); got.Beacons != stopped.Beacons+1 || got.Rounds != stopped.Rounds+1 {
		t.Errorf("announced again: %+v, then %+v", stopped, got)
	}
}

func TestConfigureWhileServing(t *testing.T) {
	l := newLAN(t)
	set := l.set()
	l.configure(set)
	l.serve()
	l.announcer.Announce(0)
	waitFor(t, "the first round", func() bool { return l.announcer.Counters().Rounds >= 1 })
	set.VIPs = append(set.VIPs, netip.MustParseAddr("10.0.0.101"))
	conn := l.capture()
	l.configure(set)
	seen := false
	for range 8 {
		if arp, ok := frames(t, conn, 1)[0].Layer(layers.LayerTypeARP).(*layers.ARP); ok && arp.SourceProtAddress[3] == 101 {
			seen = true
			break
		}
	}
	if !seen {
		t.Error("the new VIP is not announced")
	}
	l.configure() // all gone
	if l.announcer.Serving(0) {
		t.Error("serves without a configuration")
	}
}

func TestConfigureReportsWhatCannotBeOpened(t *testing.T) {
	l := newLAN(t)
	bad := l.set()
	bad.Index, bad.Name = 9999, "gone"
	l.member.Do(func() error {
		err := l.announcer.Configure([]Set{bad, l.set()})
		if err == nil || !strings.Contains(err.Error(), "announce on gone (index 9999)") {
			t.Errorf("got %v", err)
		}
		return nil
	})
	l.announcer.Announce(0)
	if got := l.announcer.Counters().Beacons; got != 1 {
		t.Errorf("the other interface: %d beacons", got)
	}
	l.serve()
}

// TestRouterAdvertisements: a host makes an address and takes the virtual router as its default route, asked or unasked.
func TestRouterAdvertisements(t *testing.T) {
	l := newLAN(t)
	set := l.set()
	set.LinkLocal = netip.MustParseAddr("fe80::48:1:0")
	set.Router = &Router{Prefixes: []Prefix{{Prefix: netip.MustParsePrefix("2001:db8:7::/64")}}}
	l.configure(set)
	l.serve()
	l.announcer.Announce(0)
	configured := func() bool {
		return strings.Contains(l.host.Run("ip", "-6", "route"), fmt.Sprintf("default via %v dev h0", set.LinkLocal)) &&
			strings.Contains(l.host.Run("ip", "-6", "addr", "show", "dev", "h0"), "2001:db8:7:")
	}
	// The host may not have been ready for the first advertisement: it solicits by itself.
	waitFor(t, "the route", configured)

	conn := l.capture()
	before := l.announcer.Counters()
	mac := l.host.MAC("h0")
	rs := solicitation(t, netip.MustParseAddr("2001:db8::2"), mac, true)
	l.host.Do(func() error {
		_, err := conn.WriteTo(rs, &packet.Addr{HardwareAddr: net.HardwareAddr(rs[:6])})
		return err
	})
	for {
		p := frames(t, conn, 1)[0]
		if p.Layer(layers.LayerTypeICMPv6RouterAdvertisement) == nil {
			continue
		}
		ip := p.Layer(layers.LayerTypeIPv6).(*layers.IPv6)
		if ip.DstIP.String() == "2001:db8::2" {
			break // answered to the one that asked
		}
	}
	if got := l.announcer.Counters(); got.RouterSolicits == before.RouterSolicits {
		t.Error("the solicitation is not counted")
	}

	l.announcer.Withdraw(0)
	if !configured() {
		t.Error("Withdraw took the route away: the virtual router goes on at another member")
	}
	silent := l.announcer.Counters().RouterAdverts
	l.host.Do(func() error {
		_, err := conn.WriteTo(rs, &packet.Addr{HardwareAddr: net.HardwareAddr(rs[:6])})
		return err
	})
	waitFor(t, "the solicitation", func() bool { return l.announcer.Counters().RouterSolicits > before.RouterSolicits+1 })
	if got := l.announcer.Counters().RouterAdverts; got != silent {
		t.Error("a member that does not serve answers solicitations")
	}
}

// solicits sends solicitations until one more is heard.
func (l *lan) solicits(mac [6]byte) {
	l.t.Helper()
	conn := l.capture()
	before := l.announcer.Counters().RouterSolicits
	rs := solicitation(l.t, netip.MustParseAddr("2001:db8::2"), mac, true)
	waitFor(l.t, "a solicitation to be heard", func() bool {
		_, _ = conn.WriteTo(rs, &packet.Addr{HardwareAddr: net.HardwareAddr(rs[:6])})
		return l.announcer.Counters().RouterSolicits > before
	})
}

// TestSolicitationsAfterAnError: reading goes on where the error passes, and on another socket after the next Configure where it does not.
func TestSolicitationsAfterAnError(t *testing.T) {
	l := newLAN(t)
	set := l.set()
	set.LinkLocal = netip.MustParseAddr("fe80::48:1:0")
	set.Router = &Router{}
	l.configure(set)
	l.serve()
	mac := l.host.MAC("h0")
	l.solicits(mac)
	ear := func() *ear {
		l.announcer.mu.Lock()
		defer l.announcer.mu.Unlock()
		return l.announcer.ears[l.index]
	}
	e := ear()
	fail := func() {
		if err := e.conn.SetReadDeadline(time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the error", e.failing.Load)
	}
	fail()
	if err := e.conn.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	l.solicits(mac)
	fail()
	l.configure(set)
	if ear() == e {
		t.Error("the socket that fails is kept")
	}
	l.solicits(mac)
}

// TestConfigureAfterTheDeviceReturned: with the index that it had, so that nothing else differs.
func TestConfigureAfterTheDeviceReturned(t *testing.T) {
	l := newLAN(t)
	set := l.set()
	set.LinkLocal = netip.MustParseAddr("fe80::48:1:0")
	set.Router = &Router{}
	l.configure(set)
	l.serve()
	elsewhere := linktest.New(t)
	move := func(from, to *linktest.Namespace) {
		var there netns.NsHandle
		to.Do(func() (err error) { there, err = netns.Get(); return err })
		defer there.Close()
		from.Do(func() error {
			l, err := netlink.LinkByName("e0")
			if err != nil {
				return err
			}
			return netlink.LinkSetNsFd(l, int(there))
		})
	}
	move(l.member, elsewhere)
	move(elsewhere, l.member)
	l.member.SetUp("e0", true)
	if index := l.member.Index("e0"); index != l.index {
		t.Fatalf("the device came back as %d, was %d", index, l.index)
	}
	l.announcer.Announce(0)
	if l.announcer.Counters().Failed == 0 {
		t.Fatal("announced through a socket that has no device: this test tests nothing")
	}
	l.configure(set)
	before := l.announcer.Counters()
	l.announcer.Announce(0)
	if got := l.announcer.Counters(); got.Failed != before.Failed || got.ARPRequests == before.ARPRequests {
		t.Errorf("announced %+v, before %+v", got, before)
	}
	l.solicits(l.host.MAC("h0"))
}

// BenchmarkAnnounce is the time until the first frames of 1000 VIPs on one interface have left.
func BenchmarkAnnounce(b *testing.B) {
	member, host := linktest.New(b), linktest.New(b)
	index, _ := linktest.Veth(member, "e0", host, "h0")
	a := New(nil)
	set := Set{Index: index, Name: "e0", MAC: vmac, Virtual: true}
	for i := range 1000 {
		set.VIPs = append(set.VIPs, netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}))
	}
	member.Do(func() error { return a.Configure([]Set{set}) })
	defer a.close()
	b.ResetTimer()
	for range b.N {
		a.Announce(0)
	}
}
