// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

var capture = flag.Bool("capture", false, "capture testdata/*.msgs from this machine's kernel (needs root, nft, conntrack)")

// ftp opens a control connection, and a data connection from the server to the port that the client names: the helper translates the
// command, which makes it longer.
func (g *gateway) ftp() {
	l := g.listen(g.server, join(g.serverAddr, 21))
	client := g.dial(g.client, "tcp", join(g.clientAddr, 40021), join(g.serverAddr, 21))
	server := g.accept(l)
	g.say(server, client, "220 ready\r\n")
	g.say(client, server, "USER nobody\r\n") // the helper looks at what follows a line's end
	g.say(server, client, "230 fine\r\n")
	data := g.listen(g.client, join(g.clientAddr, 40100)) // 156*256 + 164
	if _, err := client.Write([]byte("PORT 10,1,0,2,156,164\r\n")); err != nil {
		g.t.Fatal(err)
	}
	line, err := bufio.NewReader(server).ReadString('\n')
	if err != nil {
		g.t.Fatal(err)
	}
	var a, b, c, d, hi, lo int
	if _, err := fmt.Sscanf(line, "PORT %d,%d,%d,%d,%d,%d", &a, &b, &c, &d, &hi, &lo); err != nil {
		g.t.Fatalf("the server heard %q: %v", line, err)
	}
	if got := fmt.Sprintf("%d.%d.%d.%d", a, b, c, d); got != g.virtualOut {
		g.t.Fatalf("the helper did not translate: %q", line)
	}
	g.say(server, client, "200 fine\r\n")
	from := g.dial(g.server, "tcp", join(g.serverAddr, 20), join(g.virtualOut, hi<<8|lo))
	to := g.accept(data)
	g.say(from, to, "data")
	// The last expectation stays, for the dump and for the end.
	if _, err := client.Write([]byte("PORT 10,1,0,2,156,165\r\n")); err != nil {
		g.t.Fatal(err)
	}
	g.say(server, client, "200 fine\r\n")
}

// TestCapture makes testdata/*.msgs anew.
func TestCapture(t *testing.T) {
	if !*capture {
		t.Skip("only with -capture")
	}
	g := newGateway(t)
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	g.capture("tcp-plain", func() {
		c, s := g.tcp(join(g.clientAddr, 40000), join(g.serverAddr, 7000), join(g.serverAddr, 7000))
		_ = c.Close()
		_ = s.Close()
	})
	g.capture("tcp-snat", func() { g.tcp(join(g.clientAddr, 40001), join(g.serverAddr, 7001), join(g.serverAddr, 7001)) })
	g.capture("tcp-dnat", func() { g.tcp(join(g.clientAddr, 40002), join(g.virtualIn, 8002), join(g.serverAddr, 7002)) })
	g.capture("tcp-both", func() { g.tcp(join(g.clientAddr, 40003), join(g.virtualIn, 8003), join(g.serverAddr, 7003)) })
	g.capture("tcp-mark", func() { g.tcp(join(g.clientAddr, 40004), join(g.serverAddr, 7004), join(g.serverAddr, 7004)) })
	g.capture("tcp6-both", func() { g.tcp(join(g.clientAddr6, 40005), join(g.virtualIn6, 8005), join(g.serverAddr6, 7005)) })
	g.capture("tcp-synproxy", func() { g.tcp(join(g.clientAddr, 40010), join(g.serverAddr, 7110), join(g.serverAddr, 7110)) })
	g.capture("udp-zone", func() { g.udp(join(g.clientAddr, 40201), join(g.serverAddr, 7201), join(g.serverAddr, 7201), true) })
	g.capture("udp-zone-original", func() { g.udp(join(g.clientAddr, 40202), join(g.serverAddr, 7202), join(g.serverAddr, 7202), true) })
	g.capture("udp-snat", func() { g.udp(join(g.clientAddr, 40203), join(g.serverAddr, 7203), join(g.serverAddr, 7203), true) })
	g.capture("udp-both-one-way", func() { g.udp(join(g.clientAddr, 40204), join(g.virtualIn, 8204), join(g.serverAddr, 7204), false) })
	g.capture("udp-label", func() { g.udp(join(g.clientAddr, 40205), join(g.serverAddr, 7205), join(g.serverAddr, 7205), true) })
	g.capture("udp-snat-port", func() { g.udp(join(g.clientAddr, 40206), join(g.serverAddr, 7206), join(g.serverAddr, 7206), true) })
	g.capture("udp6-snat", func() { g.udp(join(g.clientAddr6, 40207), join(g.serverAddr6, 7207), join(g.serverAddr6, 7207), true) })
	g.capture("icmp-snat-id", func() {
		g.ping(g.clientAddr, g.serverAddr, 1000)
		g.ping(g.clientAddrB, g.serverAddr, 1000) // the identifier is taken: NAT changes it
	})
	g.capture("icmp-both", func() { g.ping(g.clientAddr, g.virtualIn, 1001) })
	g.capture("icmp6-both", func() { g.ping(g.clientAddr6, g.virtualIn6, 1002) })
	g.capture("icmp6-plain", func() { g.ping(g.clientAddr6, "2001:db8:1::1", 1003) })
	g.capture("sctp-snat", func() {
		g.raw(g.serverAddr, unix.IPPROTO_SCTP, []byte{
			0x9c, 0x40, 0x1b, 0x58, 0, 0, 0, 0, 0, 0, 0, 0, // 40000 to 7000, tag 0
			1, 0, 0, 20, 1, 2, 3, 4, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, // INIT
		})
	})
	g.capture("gre-snat", func() { g.raw(g.serverAddr, unix.IPPROTO_GRE, append([]byte{0, 0, 8, 0}, make([]byte, 20)...)) })
	g.capture("esp-snat", func() { g.raw(g.serverAddr, unix.IPPROTO_ESP, []byte{0, 0, 1, 0, 0, 0, 0, 1}) })
	g.capture("ftp-snat", g.ftp)
	g.capture("own", func() {
		s := g.listen(g.server, join(g.serverAddr, 7300))
		g.dial(g.gateway, "tcp", join(g.gatewayAddr, 40300), join(g.serverAddr, 7300))
		g.accept(s)
	})
	g.capture("loopback", func() {
		s := g.listen(g.gateway, "127.0.0.1:7301")
		g.dial(g.gateway, "tcp", "127.0.0.1:40301", "127.0.0.1:7301")
		g.accept(s)
	})
	g.capture("multicast", func() {
		g.gateway.Run("ip", "route", "add", "224.0.0.0/4", "dev", "out")
		if _, err := g.dial(g.gateway, "udp", join(g.gatewayAddr, 40302), "224.0.0.18:7302").Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
	})
}
