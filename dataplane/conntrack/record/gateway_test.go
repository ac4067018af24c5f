// SPDX-License-Identifier: Apache-2.0

package record

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/dataplane/link/linktest"
	"github.com/holdfast-project/holdfast/internal/labtest"
)

// gateway is where the messages of testdata come from: client - gateway - server, with a ruleset that does one thing to each port.
type gateway struct {
	t                        *testing.T
	client, gateway, server  *linktest.Namespace
	events, table            *kernelSocket
	open                     []func()
	clientAddr, clientAddr6  string
	serverAddr, serverAddr6  string
	virtualOut, virtualOut6  string // the cluster's address on the server's side
	virtualIn, virtualIn6    string // and on the client's
	clientAddrB, gatewayAddr string
}

const ruleset = `
table inet t {
	ct helper ftp { type "ftp" protocol tcp; }
	chain raw {
		type filter hook prerouting priority raw;
		udp dport 7201 ct zone set 7
		udp dport 7202 ct original zone set 8
		udp sport 7201 ct zone set 7
		ip daddr 10.2.0.2 tcp dport 7110 tcp flags syn / fin,syn,rst,ack notrack
	}
	chain mangle {
		type filter hook prerouting priority mangle;
		tcp dport 21 ct helper set "ftp"
		tcp dport 7004 ct mark set 0x2a
		udp dport 7205 ct label set 1
	}
	chain through {
		type filter hook forward priority filter;
		tcp dport 7110 ct state invalid,untracked synproxy mss 1460 wscale 7 timestamp sack-perm
		tcp dport 7110 ct state invalid drop
	}
	chain inbound {
		type nat hook prerouting priority dstnat;
		ip daddr 10.1.0.100 tcp dport 8002 dnat ip to 10.2.0.2:7002
		ip daddr 10.1.0.100 tcp dport 8003 dnat ip to 10.2.0.2:7003
		ip daddr 10.1.0.100 udp dport 8204 dnat ip to 10.2.0.2:7204
		ip daddr 10.1.0.100 icmp type echo-request dnat ip to 10.2.0.2
		ip6 daddr 2001:db8:1::100 tcp dport 8005 dnat ip6 to [2001:db8:2::2]:7005
		ip6 daddr 2001:db8:1::100 icmpv6 type echo-request dnat ip6 to 2001:db8:2::2
	}
	chain outbound {
		type nat hook postrouting priority srcnat;
		tcp dport { 21, 7001 } snat ip to 10.2.0.100
		tcp dport 7003 snat ip to 10.2.0.100:50003
		udp dport { 7203, 7204 } snat ip to 10.2.0.100
		udp dport 7206 snat ip to 10.2.0.100:50006
		ip saddr 10.1.0.0/24 icmp type echo-request snat ip to 10.2.0.100
		ip saddr 10.1.0.0/24 ip protocol { sctp, gre, esp } snat ip to 10.2.0.100
		ip6 saddr 2001:db8:1::/64 tcp dport 7005 snat ip6 to [2001:db8:2::100]:50005
		ip6 saddr 2001:db8:1::/64 udp dport 7207 snat ip6 to 2001:db8:2::100
		ip6 saddr 2001:db8:1::/64 icmpv6 type echo-request snat ip6 to 2001:db8:2::100
	}
}`

func newGateway(t *testing.T) *gateway {
	labtest.Require(t, "nft", "conntrack", "ip", "sysctl")
	g := &gateway{
		t: t, client: linktest.New(t), gateway: linktest.New(t), server: linktest.New(t),
		clientAddr: "10.1.0.2", clientAddrB: "10.1.0.3", clientAddr6: "2001:db8:1::2", serverAddr: "10.2.0.2", serverAddr6: "2001:db8:2::2",
		virtualIn: "10.1.0.100", virtualOut: "10.2.0.100", virtualIn6: "2001:db8:1::100", virtualOut6: "2001:db8:2::100", gatewayAddr: "10.2.0.1",
	}
	linktest.Veth(g.client, "eth0", g.gateway, "in")
	linktest.Veth(g.gateway, "out", g.server, "eth0")
	for _, a := range []struct {
		n            *linktest.Namespace
		device, addr string
	}{
		{g.client, "eth0", "10.1.0.2/24"}, {g.client, "eth0", "10.1.0.3/24"}, {g.client, "eth0", "2001:db8:1::2/64"},
		{g.gateway, "in", "10.1.0.1/24"}, {g.gateway, "in", "10.1.0.100/24"}, {g.gateway, "in", "2001:db8:1::1/64"}, {g.gateway, "in", "2001:db8:1::100/64"},
		{g.gateway, "out", "10.2.0.1/24"}, {g.gateway, "out", "10.2.0.100/24"}, {g.gateway, "out", "2001:db8:2::1/64"}, {g.gateway, "out", "2001:db8:2::100/64"},
		{g.server, "eth0", "10.2.0.2/24"}, {g.server, "eth0", "2001:db8:2::2/64"},
	} {
		a.n.Run("ip", "addr", "add", a.addr, "dev", a.device, "nodad")
	}
	g.client.Run("ip", "route", "add", "default", "via", "10.1.0.1")
	g.client.Run("ip", "route", "add", "default", "via", "2001:db8:1::1")
	g.server.Run("ip", "route", "add", "default", "via", "10.2.0.1")
	g.server.Run("ip", "route", "add", "default", "via", "2001:db8:2::1")
	for _, n := range []*linktest.Namespace{g.client, g.server} {
		n.Run("sysctl", "-qw", "net.ipv4.ping_group_range=0 0")
	}
	g.gateway.Run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.netfilter.nf_conntrack_events=1",
		"net.netfilter.nf_conntrack_acct=1", "net.netfilter.nf_conntrack_timestamp=1", "net.netfilter.nf_conntrack_tcp_loose=0",
		"net.netfilter.nf_conntrack_checksum=0")
	rules := filepath.Join(t.TempDir(), "rules.nft")
	if err := os.WriteFile(rules, []byte(ruleset), 0o600); err != nil {
		t.Fatal(err)
	}
	g.gateway.Run("nft", "-f", rules)
	g.events, g.table = openKernel(t, g.gateway, 0x3f), openKernel(t, g.gateway, 0)
	return g
}

// capture runs traffic and writes what the kernel said of it: events, conntrack's listing, a dump, and the events of the end.
func (g *gateway) capture(name string, traffic func()) {
	g.t.Helper()
	g.gateway.Run("conntrack", "-F")
	g.events.drain()
	traffic()
	var b strings.Builder
	fmt.Fprintf(&b, "# %s, Linux %s\n", name, release(g.t))
	write := func(ms []message) {
		for _, m := range ms {
			fmt.Fprintf(&b, "%04x %04x %s\n", m.typ, m.flags, hex.EncodeToString(m.payload))
		}
	}
	b.WriteString("# events\n")
	write(g.events.drain())
	for _, args := range [][]string{{"-L", "-f", "ipv4"}, {"-L", "-f", "ipv6"}, {"-L", "expect"}} {
		for line := range strings.Lines(g.gateway.Run("conntrack", append(args, "-o", "labels")...)) {
			if strings.Contains(line, "src=") {
				fmt.Fprintf(&b, "> %s\n", strings.TrimSpace(line))
			}
		}
	}
	b.WriteString("# dump\n")
	write(g.table.dump(1))
	write(g.table.dump(2))
	b.WriteString("# end\n")
	g.gateway.Run("conntrack", "-F")
	write(g.events.drain())
	for _, c := range g.open {
		c()
	}
	g.open = nil
	if err := os.WriteFile(filepath.Join("testdata", name+".msgs"), []byte(b.String()), 0o644); err != nil {
		g.t.Fatal(err)
	}
}

func release(t *testing.T) string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	return unix.ByteSliceToString(u.Release[:])
}

func join(host string, port int) string { return net.JoinHostPort(host, fmt.Sprint(port)) }

func (g *gateway) listen(n *linktest.Namespace, addr string) net.Listener {
	g.t.Helper()
	var l net.Listener
	n.Do(func() (err error) {
		l, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
		return err
	})
	g.open = append(g.open, func() { _ = l.Close() })
	return l
}

func (g *gateway) dial(n *linktest.Namespace, network, from, to string) net.Conn {
	g.t.Helper()
	var c net.Conn
	n.Do(func() (err error) {
		d := net.Dialer{}
		if network == "tcp" {
			d.LocalAddr, err = net.ResolveTCPAddr(network, from)
		} else {
			d.LocalAddr, err = net.ResolveUDPAddr(network, from)
		}
		if err != nil {
			return err
		}
		c, err = d.DialContext(context.Background(), network, to)
		return err
	})
	g.open = append(g.open, func() { _ = c.Close() })
	return c
}

func (g *gateway) accept(l net.Listener) net.Conn {
	g.t.Helper()
	c, err := l.Accept()
	if err != nil {
		g.t.Fatal(err)
	}
	g.open = append(g.open, func() { _ = c.Close() })
	return c
}

// tcp opens a connection and sends a word both ways.
func (g *gateway) tcp(from, to, at string) (client, server net.Conn) {
	g.t.Helper()
	l := g.listen(g.server, at)
	client = g.dial(g.client, "tcp", from, to)
	server = g.accept(l)
	g.say(client, server, "hello")
	g.say(server, client, "hello yourself")
	return client, server
}

func (g *gateway) say(from, to net.Conn, words string) {
	g.t.Helper()
	if _, err := from.Write([]byte(words)); err != nil {
		g.t.Fatal(err)
	}
	b := make([]byte, len(words))
	for n := 0; n < len(b); {
		m, err := to.Read(b[n:])
		if err != nil {
			g.t.Fatal(err)
		}
		n += m
	}
}

// udp sends one datagram, and answers it if told to.
func (g *gateway) udp(from, to, at string, answer bool) {
	g.t.Helper()
	var s net.PacketConn
	g.server.Do(func() (err error) {
		s, err = (&net.ListenConfig{}).ListenPacket(context.Background(), "udp", at)
		return err
	})
	g.open = append(g.open, func() { _ = s.Close() })
	c := g.dial(g.client, "udp", from, to)
	if _, err := c.Write([]byte("hello")); err != nil {
		g.t.Fatal(err)
	}
	b := make([]byte, 64)
	_, peer, err := s.ReadFrom(b)
	if err != nil {
		g.t.Fatal(err)
	}
	if !answer {
		return
	}
	if _, err := s.WriteTo([]byte("hello yourself"), peer); err != nil {
		g.t.Fatal(err)
	}
	if _, err := c.Read(b); err != nil {
		g.t.Fatal(err)
	}
}

// ping sends an echo request with the given identifier and waits for the answer.
func (g *gateway) ping(from, to string, id int) {
	g.t.Helper()
	src, dst := net.ParseIP(from), net.ParseIP(to)
	g.client.Do(func() error {
		family, proto, echo := unix.AF_INET, unix.IPPROTO_ICMP, byte(8)
		if src.To4() == nil {
			family, proto, echo = unix.AF_INET6, unix.IPPROTO_ICMPV6, 128
		}
		fd, err := unix.Socket(family, unix.SOCK_DGRAM, proto)
		if err != nil {
			return err
		}
		g.open = append(g.open, func() { _ = unix.Close(fd) })
		if err := unix.Bind(fd, sockaddr(src, id)); err != nil {
			return err
		}
		if err := unix.Sendto(fd, []byte{echo, 0, 0, 0, 0, 0, 0, 1, 'h', 'i'}, 0, sockaddr(dst, 0)); err != nil {
			return err
		}
		tv := unix.NsecToTimeval(2e9)
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
			return err
		}
		_, _, err = unix.Recvfrom(fd, make([]byte, 64), 0)
		return err
	})
}

func sockaddr(ip net.IP, port int) unix.Sockaddr {
	if ip.To4() != nil {
		return &unix.SockaddrInet4{Port: port, Addr: [4]byte(ip.To4())}
	}
	return &unix.SockaddrInet6{Port: port, Addr: [16]byte(ip.To16())}
}

// raw sends one packet of any protocol.
func (g *gateway) raw(to string, proto int, packet []byte) {
	g.t.Helper()
	g.client.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, proto)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, packet, 0, sockaddr(net.ParseIP(to), 0))
	})
}
