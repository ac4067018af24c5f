// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
	"github.com/holdfast-project/holdfast/dataplane/link/linktest"
	"github.com/holdfast-project/holdfast/internal/labtest"
)

// pair is client - switch - two gateways - switch - server. The gateways have the same addresses and MACs; the one whose switch ports
// are up has the traffic.
type pair struct {
	t                        *testing.T
	client, server, switches *linktest.Namespace
	a, b                     *gateway
}

// gateway is a member's namespace with its table.
type gateway struct {
	*linktest.Namespace
	name  string
	table *Table
}

const (
	clientAddr, clientAddr6 = "10.1.0.2", "2001:db8:1::2"
	serverAddr, serverAddr6 = "10.2.0.2", "2001:db8:2::2"
	insideVIP, insideVIP6   = "10.1.0.100", "2001:db8:1::100"
	outVIP                  = "10.2.0.100"
)

// rules are those of both gateways but for two words: the first accepts what is new, the second drops it. A flow without an answer is
// new for as long as it lasts, so the second accepts it too, but does not translate it.
const rules = `
table inet gateway {
	ct helper ftp { type "ftp" protocol tcp; }
	chain first {
		type filter hook prerouting priority raw;
		udp dport 7201 ct zone set 7
		udp sport 7201 ct zone set 7
	}
	chain marks {
		type filter hook prerouting priority mangle;
		tcp dport 21 ct helper set "ftp"
		tcp dport 7004 ct mark set 0x2a
		udp dport 7205 ct label set 1
	}
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state established,related accept
		icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
		udp dport 7203 accept
		ct state new NEW
	}
	chain inbound {
		type nat hook prerouting priority dstnat;
		ip daddr 10.1.0.100 tcp dport { 8002, 8003 } dnat ip to 10.2.0.2
		ip6 daddr 2001:db8:1::100 tcp dport 8005 dnat ip6 to 2001:db8:2::2
	}
	chain outbound {
		type nat hook postrouting priority srcnat;
		tcp dport { 21, 7001, 8003 } snat ip to 10.2.0.100
		udp dport { 7201, ONEWAY } snat ip to 10.2.0.100
		ip protocol icmp snat ip to 10.2.0.100
		ip6 nexthdr icmpv6 snat ip6 to 2001:db8:2::100
		ip6 saddr 2001:db8:1::/64 udp dport 7207 snat ip6 to 2001:db8:2::100
	}
}`

func newPair(t *testing.T) *pair {
	labtest.Require(t, "nft", "conntrack", "ip", "sysctl")
	p := &pair{t: t, client: linktest.New(t), server: linktest.New(t), switches: linktest.New(t)}
	linktest.Veth(p.client, "eth0", p.switches, "client")
	linktest.Veth(p.server, "eth0", p.switches, "server")
	p.a, p.b = p.gateway("a", "accept", "7203"), p.gateway("b", "drop", "9")
	p.switches.Bridge("inside", "client", "a-in", "b-in")
	p.switches.Bridge("outside", "server", "a-out", "b-out")
	p.client.Run("ip", "addr", "add", clientAddr+"/24", "dev", "eth0")
	p.client.Run("ip", "addr", "add", clientAddr6+"/64", "dev", "eth0", "nodad")
	p.server.Run("ip", "addr", "add", serverAddr+"/24", "dev", "eth0")
	p.server.Run("ip", "addr", "add", serverAddr6+"/64", "dev", "eth0", "nodad")
	p.client.Run("ip", "route", "add", "default", "via", "10.1.0.1")
	p.client.Run("ip", "route", "add", "default", "via", "2001:db8:1::1")
	p.server.Run("ip", "route", "add", "default", "via", "10.2.0.1")
	p.server.Run("ip", "route", "add", "default", "via", "2001:db8:2::1")
	p.connect(p.a, true)
	p.connect(p.b, false)
	return p
}

func (p *pair) gateway(name, fresh, oneWay string) *gateway {
	p.t.Helper()
	g := newMember(p.t, name, strings.NewReplacer("NEW", fresh, "ONEWAY", oneWay).Replace(rules))
	linktest.Veth(g.Namespace, "in", p.switches, name+"-in")
	linktest.Veth(g.Namespace, "out", p.switches, name+"-out")
	g.Run("ip", "link", "set", "in", "address", "02:00:00:00:01:01")
	g.Run("ip", "link", "set", "out", "address", "02:00:00:00:02:01")
	for _, a := range [][2]string{
		{"in", "10.1.0.1/24"}, {"in", insideVIP + "/24"}, {"in", "2001:db8:1::1/64"}, {"in", insideVIP6 + "/64"},
		{"out", "10.2.0.1/24"}, {"out", outVIP + "/24"}, {"out", "2001:db8:2::1/64"}, {"out", "2001:db8:2::100/64"},
	} {
		g.Run("ip", "addr", "add", a[1], "dev", a[0], "nodad")
	}
	g.Run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
	return g
}

// newMember is a namespace with a ruleset, the sysctls of synchronisation and an open table.
func newMember(t testing.TB, name, ruleset string) *gateway {
	t.Helper()
	labtest.Require(t, "nft", "conntrack", "sysctl")
	g := &gateway{Namespace: linktest.New(t), name: name}
	g.Do(func() (err error) {
		g.table, err = Open()
		return err
	})
	t.Cleanup(func() { _ = g.table.Close() })
	for _, s := range Sysctls(false) {
		g.Run("sysctl", "-qw", "net/"+s.Path+"="+s.Value)
	}
	file := filepath.Join(t.TempDir(), "rules.nft")
	if err := os.WriteFile(file, []byte(ruleset), 0o600); err != nil {
		t.Fatal(err)
	}
	g.Run("nft", "-f", file)
	return g
}

// connect puts a gateway's ports up or down.
func (p *pair) connect(g *gateway, on bool) {
	p.t.Helper()
	p.switches.SetUp(g.name+"-in", on)
	p.switches.SetUp(g.name+"-out", on)
}

// handOver moves the traffic from one gateway to the other.
func (p *pair) handOver(from, to *gateway) {
	p.t.Helper()
	p.connect(from, false)
	p.connect(to, true)
}

// records dumps a member's tables as records.
func (g *gateway) records(t testing.TB) []record.Record {
	t.Helper()
	var rs []record.Record
	each := func(m Message) error {
		r, err := record.FromMessage(nil, m.Type, m.Flags, m.Payload)
		if err == nil {
			rs = append(rs, r)
		}
		return err
	}
	for _, o := range []DumpOptions{{}, {Expectations: true}} {
		if err := g.table.Dump(context.Background(), o, each); err != nil {
			t.Fatal(err)
		}
	}
	return rs
}

// apply applies records that are all expected to be taken whole, with this result.
func (g *gateway) apply(t testing.TB, want Result, rs ...record.Record) {
	t.Helper()
	for i, o := range g.outcomes(t, rs...) {
		if o.Result != want || o.Without != 0 {
			t.Errorf("%s: %v: %v %v without %b, want %v", g.name, record.Text(rs[i]), o.Result, o.Errno, o.Without, want)
		}
	}
}

func (g *gateway) outcomes(t testing.TB, rs ...record.Record) []Outcome {
	t.Helper()
	out := make([]Outcome, len(rs))
	if err := g.table.Apply(rs, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// listing is what conntrack(8) says of a table, without what differs between an original and its copy.
func (g *gateway) listing(t testing.TB, args ...string) []string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(g.Run("conntrack", append(append([]string{"-L"}, args...), "-o", "labels")...)) {
		if !strings.Contains(line, "src=") {
			continue
		}
		var words []string
		for i, w := range strings.Fields(line) {
			_, timeout := strconv.Atoi(w)
			if i == 0 && timeout == nil || i == 2 && !strings.Contains(w, "=") || strings.HasPrefix(w, "use=") {
				continue // the time-out, an expectation's first of all, and the use count
			}
			words = append(words, w)
		}
		lines = append(lines, strings.Join(words, " "))
	}
	return lines
}

func listenTCP(t testing.TB, n *linktest.Namespace, addr string) net.Listener {
	t.Helper()
	var l net.Listener
	n.Do(func() (err error) {
		l, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
		return err
	})
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func dialFrom(t testing.TB, n *linktest.Namespace, network, from, to string) net.Conn {
	t.Helper()
	var c net.Conn
	n.Do(func() (err error) {
		d := net.Dialer{Timeout: 30 * time.Second}
		switch {
		case from == "":
		case strings.HasPrefix(network, "tcp"):
			d.LocalAddr, err = net.ResolveTCPAddr(network, from)
		default:
			d.LocalAddr, err = net.ResolveUDPAddr(network, from)
		}
		if err != nil {
			return err
		}
		c, err = d.DialContext(context.Background(), network, to)
		return err
	})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// say sends words over a connection and waits for them at its other end.
func say(from, to net.Conn, words string) error {
	if _, err := from.Write([]byte(words)); err != nil {
		return err
	}
	b := make([]byte, len(words))
	_ = to.SetReadDeadline(time.Now().Add(30 * time.Second))
	for n := 0; n < len(b); {
		m, err := to.Read(b[n:])
		if err != nil {
			return err
		}
		n += m
	}
	if string(b) != words {
		return errors.New("heard " + string(b) + " instead of " + words)
	}
	return nil
}
