// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"bytes"
	"cmp"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// conversation is something that goes through the gateway and shall go on through the other.
type conversation struct {
	name string
	goOn func(words string) error
}

// TestCopiedConnectionsGoOn opens connections of all kinds through gateway A, copies its table to gateway B, which lets nothing new
// through, compares what conntrack(8) says of both, and lets the traffic run through B.
func TestCopiedConnectionsGoOn(t *testing.T) {
	p := newPair(t)
	talks := p.open()
	original := p.a.records(t)
	p.b.apply(t, Created, original...)

	for _, args := range [][]string{{"-f", "ipv4"}, {"-f", "ipv6"}, {"expect"}} {
		a, b := p.a.listing(t, args...), p.b.listing(t, args...)
		slices.Sort(a)
		slices.Sort(b)
		if len(a) == 0 || !slices.Equal(a, b) {
			t.Errorf("conntrack -L %v\noriginal:\n%s\ncopy:\n%s", args, strings.Join(a, "\n"), strings.Join(b, "\n"))
		}
	}
	copied := p.b.records(t)
	for _, rs := range [][]record.Record{original, copied} {
		slices.SortFunc(rs, func(x, y record.Record) int {
			return cmp.Or(cmp.Compare(x.Table, y.Table), bytes.Compare(x.Attrs, y.Attrs))
		})
	}
	if len(original) != len(copied) {
		t.Fatalf("%d records of the original, %d of the copy", len(original), len(copied))
	}
	for i := range original {
		if original[i].Table == record.TableConnections && !bytes.Equal(original[i].Attrs, copied[i].Attrs) {
			t.Errorf("original %v\n % x\ncopy %v\n % x", record.Text(original[i]), original[i].Attrs, record.Text(copied[i]), copied[i].Attrs)
		}
	}

	p.handOver(p.a, p.b)
	for _, c := range talks {
		if err := c.goOn("through the other gateway"); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if t.Failed() {
		t.Logf("table of b:\n%s", p.b.Run("conntrack", "-L"))
	}
	// What begins anew does not pass: so it was the copies that let the others through.
	p.client.Do(func() error {
		c, err := (&net.Dialer{Timeout: 300 * time.Millisecond}).Dial("tcp", serverAddr+":7000")
		if err == nil {
			c.Close()
			t.Error("a connection that was not copied passed")
		}
		return nil
	})
}

func (p *pair) open() []conversation {
	p.t.Helper()
	var all []conversation
	add := func(name string, goOn func(string) error) {
		p.t.Helper()
		if err := goOn("through the first gateway"); err != nil {
			p.t.Fatalf("%s: %v", name, err)
		}
		all = append(all, conversation{name, goOn})
	}
	for _, c := range []struct{ name, from, to, at string }{
		{"plain TCP", clientAddr, serverAddr + ":7000", serverAddr + ":7000"},
		{"SNAT", clientAddr, serverAddr + ":7001", serverAddr + ":7001"},
		{"DNAT", clientAddr, insideVIP + ":8002", serverAddr + ":8002"},
		{"DNAT and SNAT", clientAddr, insideVIP + ":8003", serverAddr + ":8003"},
		{"marked", clientAddr, serverAddr + ":7004", serverAddr + ":7004"},
		{"IPv6", "[" + clientAddr6 + "]", "[" + serverAddr6 + "]:7006", "[" + serverAddr6 + "]:7006"},
		{"IPv6 DNAT", "[" + clientAddr6 + "]", "[" + insideVIP6 + "]:8005", "[" + serverAddr6 + "]:8005"},
	} {
		client, server := p.tcp(c.from+":0", c.to, c.at)
		add(c.name, func(words string) error {
			if err := say(client, server, words); err != nil {
				return fmt.Errorf("to the server: %w", err)
			}
			if err := say(server, client, words); err != nil {
				return fmt.Errorf("to the client: %w", err)
			}
			return nil
		})
	}
	for _, c := range []struct {
		name, to string
		answered bool
	}{
		{"UDP in a zone", serverAddr + ":7201", true},
		{"UDP", serverAddr + ":7202", true},
		{"one-way UDP through SNAT", serverAddr + ":7203", false},
		{"labelled UDP", serverAddr + ":7205", true},
		{"IPv6 UDP through SNAT", "[" + serverAddr6 + "]:7207", true},
	} {
		add(c.name, p.udp(c.to, c.answered))
	}
	add("ICMP through SNAT", p.ping(clientAddr, serverAddr, 4711))
	add("ICMPv6 through SNAT", p.ping(clientAddr6, serverAddr6, 4712))
	p.ftp(add)
	return all
}

func (p *pair) tcp(from, to, at string) (client, server net.Conn) {
	p.t.Helper()
	l := listenTCP(p.t, p.server, at)
	client = dialFrom(p.t, p.client, "tcp", from, to)
	server, err := l.Accept()
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = server.Close() })
	return client, server
}

func (p *pair) udp(to string, answered bool) func(string) error {
	p.t.Helper()
	var s *net.UDPConn
	p.server.Do(func() error {
		a, err := net.ResolveUDPAddr("udp", to)
		if err == nil {
			s, err = net.ListenUDP("udp", a)
		}
		return err
	})
	p.t.Cleanup(func() { _ = s.Close() })
	c := dialFrom(p.t, p.client, "udp", "", to)
	var first string
	return func(words string) error {
		if _, err := c.Write([]byte(words)); err != nil {
			return err
		}
		b := make([]byte, 64)
		_ = s.SetReadDeadline(time.Now().Add(30 * time.Second))
		_, from, err := s.ReadFromUDPAddrPort(b)
		if err != nil {
			return fmt.Errorf("at the server: %w", err)
		}
		if first == "" {
			first = from.String()
		}
		if from.String() != first {
			return fmt.Errorf("came from %v, before from %v", from, first)
		}
		if !answered {
			return nil
		}
		if _, err := s.WriteToUDPAddrPort([]byte(words), from); err != nil {
			return err
		}
		_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
		_, err = c.Read(b)
		return err
	}
}

// ping sends echo requests with one identifier, and tells whether they are answered.
func (p *pair) ping(from, to string, id int) func(string) error {
	p.t.Helper()
	p.client.Run("sysctl", "-qw", "net.ipv4.ping_group_range=0 0")
	fd := -1
	src, dst := net.ParseIP(from), net.ParseIP(to)
	echo := byte(8)
	p.client.Do(func() (err error) {
		family, proto := unix.AF_INET, unix.IPPROTO_ICMP
		if src.To4() == nil {
			family, proto, echo = unix.AF_INET6, unix.IPPROTO_ICMPV6, 128
		}
		if fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, proto); err != nil {
			return err
		}
		tv := unix.NsecToTimeval(5e9)
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
			return err
		}
		return unix.Bind(fd, sockaddr(src, id))
	})
	p.t.Cleanup(func() { _ = unix.Close(fd) })
	return func(words string) error {
		if err := unix.Sendto(fd, append([]byte{echo, 0, 0, 0, 0, 0, 0, 1}, words...), 0, sockaddr(dst, 0)); err != nil {
			return err
		}
		_, _, err := unix.Recvfrom(fd, make([]byte, 128), 0)
		return err
	}
}

func sockaddr(ip net.IP, port int) unix.Sockaddr {
	if ip4 := ip.To4(); ip4 != nil {
		return &unix.SockaddrInet4{Port: port, Addr: [4]byte(ip4)}
	}
	return &unix.SockaddrInet6{Port: port, Addr: [16]byte(ip.To16())}
}

// ftp opens a control connection with a data connection that the helper expected, and has it expect another, which is opened only
// after the hand-over.
func (p *pair) ftp(add func(string, func(string) error)) {
	p.t.Helper()
	client, server := p.tcp(clientAddr+":0", serverAddr+":21", serverAddr+":21")
	both := func(words string) error {
		if err := say(client, server, words); err != nil {
			return err
		}
		return say(server, client, words)
	}
	passive := func(port int) error {
		if err := say(client, server, "PASV\r\n"); err != nil {
			return err
		}
		return say(server, client, fmt.Sprintf("227 Entering Passive Mode (10,2,0,2,%d,%d)\r\n", port>>8, port&0xff))
	}
	if err := both("220 hello\r\n"); err != nil {
		p.t.Fatalf("FTP: %v", err)
	}
	if err := passive(50001); err != nil {
		p.t.Fatalf("FTP: %v", err)
	}
	data, peer := p.tcp(clientAddr+":0", serverAddr+":50001", serverAddr+":50001")
	add("FTP data", func(words string) error {
		if err := say(data, peer, words); err != nil {
			return err
		}
		return say(peer, data, words)
	})
	if err := passive(50002); err != nil {
		p.t.Fatalf("FTP: %v", err)
	}
	add("FTP control", func(words string) error { return both(words + "\r\n") })
	first := true
	add("FTP data that was expected", func(words string) error {
		if first { // not before the hand-over
			first = false
			return nil
		}
		p.tcp(clientAddr+":0", serverAddr+":50002", serverAddr+":50002")
		// The helper's name would make it one of commands.
		if got := p.b.listing(p.t, "-p", "tcp", "--orig-port-dst", "50002"); len(got) != 1 || strings.Contains(got[0], "helper=") {
			return fmt.Errorf("the data connection is %q", got)
		}
		if err := passive(50003); err != nil {
			return err
		}
		p.tcp(clientAddr+":0", serverAddr+":50003", serverAddr+":50003")
		return nil
	})
}
