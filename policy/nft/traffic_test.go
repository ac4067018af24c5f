// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/holdfast-project/holdfast/policy/ruleset"
)

// path is a client, a gateway that forwards, and a server, each in a namespace.
type path struct {
	client, gateway, server *place
}

func newPath(t testing.TB) path {
	p := path{newPlace(t), newPlace(t), newPlace(t)}
	h, err := netlink.NewHandleAt(netns.NsHandle(p.gateway.fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for _, e := range []struct {
		device, net string
		end         *place
	}{{"in", "10.1.0.", p.client}, {"out", "10.2.0.", p.server}} {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.Namespace = e.device, netlink.NsFd(p.gateway.fd())
		if err := h.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(e.end.fd())}); err != nil {
			t.Fatal(err)
		}
		p.gateway.run("ip", "addr", "add", e.net+"1/24", "dev", e.device)
		p.gateway.run("ip", "link", "set", e.device, "up")
		e.end.run("ip", "addr", "add", e.net+"2/24", "dev", "eth0")
		e.end.run("ip", "link", "set", "eth0", "up")
		e.end.run("ip", "route", "add", "default", "via", e.net+"1")
	}
	if err := within(p.gateway.fd(), func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644) }); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *place) listenUDP(port uint16) *net.UDPConn {
	p.t.Helper()
	var c *net.UDPConn
	if err := within(p.fd(), func() (err error) {
		c, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.IPv4Unspecified(), port)))
		return err
	}); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { c.Close() })
	_ = c.SetReadBuffer(8 << 20)
	return c
}

// gatewayRules let port 5000 pass and, by generation, one other port; source NAT in both; n rules that match nothing.
func gatewayRules(other, n int) string {
	var b strings.Builder
	b.WriteString("table inet filter {\n\tchain forward { type filter hook forward priority filter; policy drop;\n\t\tct state established,related accept\n")
	for i := range n {
		fmt.Fprintf(&b, "\t\tip saddr 172.16.%d.%d tcp dport %d accept\n", i>>8&255, i&255, i&0xffff+1)
	}
	fmt.Fprintf(&b, "\t\tudp dport { 5000, 5001, %d } accept\n\t\ttcp dport 5000 accept\n\t}\n}\ntable ip nat {\n\tchain source { type nat hook postrouting priority srcnat; oifname \"out\" snat to 10.2.0.1; }\n}\n", other)
	return b.String()
}

// flow sends numbered packets from many ports, so that most begin a connection, and counts what arrives.
type flow struct {
	sent, arrived atomic.Int64
	conns         []*net.UDPConn
	sink          *net.UDPConn
}

func newFlow(t testing.TB, p path, port uint16, sources int) *flow {
	f := &flow{sink: p.server.listenUDP(port)}
	for range sources {
		f.conns = append(f.conns, p.client.listenUDP(0))
	}
	go func() {
		b := make([]byte, 64)
		for {
			if _, err := f.sink.Read(b); err != nil {
				return
			}
			f.arrived.Add(1)
		}
	}()
	return f
}

func (f *flow) send(t testing.TB) {
	n := f.sent.Load()
	b := binary.BigEndian.AppendUint64(nil, uint64(n))
	to := netip.AddrPortFrom(netip.MustParseAddr("10.2.0.2"), uint16(f.sink.LocalAddr().(*net.UDPAddr).Port))
	if _, err := f.conns[int(n)%len(f.conns)].WriteToUDPAddrPort(b, to); err != nil {
		t.Error(err)
	}
	f.sent.Add(1)
}

// flood sends in all flows in turns, some thousand packets a second, until ctx ends; then it waits for what is on its way.
func flood(ctx context.Context, t testing.TB, flows ...*flow) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		<-tick.C
		for _, f := range flows {
			for range 4 {
				f.send(t)
			}
		}
	}
}

// settled waits until as many packets have arrived as will.
func settled(f *flow) (sent, arrived int64) {
	deadline := time.Now().Add(2 * time.Second)
	for time.Now().Before(deadline) && f.arrived.Load() < f.sent.Load() {
		<-time.After(5 * time.Millisecond)
	}
	return f.sent.Load(), f.arrived.Load()
}

// echo runs a TCP connection through the gateway until it is told to stop, and returns how many exchanges there were.
func echo(t testing.TB, p path, stop <-chan struct{}) <-chan int {
	var l net.Listener
	if err := within(p.server.fd(), func() (err error) { l, err = net.Listen("tcp4", ":5000"); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b := make([]byte, 8)
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			if _, err := c.Write(b[:n]); err != nil {
				return
			}
		}
	}()
	var c net.Conn
	if err := within(p.client.fd(), func() (err error) { c, err = net.DialTimeout("tcp4", "10.2.0.2:5000", 5*time.Second); return err }); err != nil {
		t.Fatal(err)
	}
	done := make(chan int, 1)
	go func() {
		defer c.Close()
		n := 0
		b := make([]byte, 8)
		for {
			select {
			case <-stop:
				done <- n
				return
			default:
			}
			_ = c.SetDeadline(time.Now().Add(5 * time.Second))
			if _, err := c.Write([]byte("question")[:8]); err != nil {
				t.Error(err)
				done <- n
				return
			}
			if _, err := c.Read(b); err != nil {
				t.Error(err)
				done <- n
				return
			}
			n++
		}
	}()
	return done
}

// TestSwitchUnderTraffic: packets that both generations allow are not lost, new connections and established ones alike, and none passes that
// neither allows, through ten changes of 2,000 rules.
func TestSwitchUnderTraffic(t *testing.T) {
	p := newPath(t)
	k := p.gateway.kernel()
	install(t, k, bundle(t, 1, gatewayRules(6001, 2000)))
	allowed, few, denied := newFlow(t, p, 5000, 400), newFlow(t, p, 5001, 4), newFlow(t, p, 7000, 400)
	for range 4 { // addresses are resolved
		few.send(t)
	}
	settled(few)
	stop := make(chan struct{})
	exchanges := echo(t, p, stop)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { flood(ctx, t, allowed, few, denied); close(done) }()
	for g := uint64(2); g <= 9; g++ {
		install(t, k, bundle(t, g, gatewayRules(6000+int(g), 2000)))
		if g%4 == 0 {
			if _, _, err := k.Rollback(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	cancel()
	<-done
	close(stop)
	if n := <-exchanges; n < 100 {
		t.Errorf("%d exchanges over TCP", n)
	}
	for name, f := range map[string]*flow{"new connections": allowed, "established connections": few} {
		if sent, arrived := settled(f); sent != arrived || sent < 1000 {
			t.Errorf("%s: %d sent, %d arrived", name, sent, arrived)
		}
	}
	if n := denied.arrived.Load(); n != 0 {
		t.Errorf("%d of %d packets passed that neither generation allows", n, denied.sent.Load())
	}
	// The same traffic through the change that everybody does, for comparison: it is what decision 015 is about.
	if os.Getenv("HOLDFAST_POLICY_COMPARE") != "" {
		compareReplace(t, p, allowed)
	}
}

// compareReplace replaces the tables in one transaction that deletes the old and adds the new, and tells what is lost.
func compareReplace(t *testing.T, p path, f *flow) {
	before, _ := settled(f)
	arrived := f.arrived.Load()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { flood(ctx, t, f); close(done) }()
	_ = p.gateway.kernel().Unload(t.Context())
	for g := range 10 {
		rules := bundle(t, 1, gatewayRules(6001, 10000)).Ruleset.Render(nil, ruleset.Mark{Cluster: 7, Generation: 1}).Text
		text := "add table inet filter.g1\ndelete table inet filter.g1\nadd table ip nat.g1\ndelete table ip nat.g1\n" + strings.ReplaceAll(rules, "flags dormant;", "")
		start := time.Now()
		p.gateway.feed(text, "nft", "-f", "-")
		t.Logf("replacement %d took %v", g, time.Since(start))
	}
	cancel()
	<-done
	sent, now := settled(f)
	t.Logf("delete and add in one transaction, ten times: %d sent, %d lost", sent-before, sent-before-(now-arrived))
}
