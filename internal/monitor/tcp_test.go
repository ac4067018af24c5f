// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"bufio"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/dataplane/link/linktest"
	"github.com/holdfast-project/holdfast/internal/monitor/verdict"
)

// listen serves each connection with f until the test ends.
func listen(t *testing.T, network, address string, f func(net.Conn)) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f(c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l
}

func TestTCP(t *testing.T) {
	quiet := listen(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
		_ = c.SetDeadline(time.Now().Add(time.Second))
		_, _ = io.Copy(io.Discard, c)
	})
	talks := listen(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
		line, _ := bufio.NewReader(c).ReadString('\n')
		_, _ = io.WriteString(c, "you said "+line)
	})
	chatter := listen(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
		for {
			if _, err := io.WriteString(c, strings.Repeat("x", 1000)); err != nil {
				return
			}
		}
	})
	good(t, TCP{Address: quiet.Addr().String()})
	good(t, TCP{Address: talks.Addr().String(), Send: "hello\n", Expect: "said hello"})
	bad(t, TCP{Address: talks.Addr().String(), Send: "hello\n", Expect: "bye"}, `"bye" did not come: closed`)
	bad(t, TCP{Address: quiet.Addr().String(), Expect: "220"}, `"220" did not come: no answer within the timeout`)
	bad(t, TCP{Address: chatter.Addr().String(), Expect: "220"}, "of something else came")
	bad(t, TCP{Address: "127.0.0.1:1"}, "connection refused")
	bad(t, TCP{Address: "no-such-host.invalid:1"}, "no-such-host.invalid:1: ")
}

func TestTCPServerStops(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0", func(net.Conn) {})
	w := serve(t, Spec{Check: TCP{Address: l.Addr().String()}, Interval: 20 * time.Millisecond, Fall: 3})
	w.want(verdict.OK, "")
	_ = l.Close()
	w.want(verdict.Problem, "connection refused")
}

// TestSource: a check asks from the address that it is told, and never from one of the cluster's.
func TestSource(t *testing.T) {
	here := linktest.Here(t)
	there := linktest.New(t)
	linktest.Veth(here, "hfs0", there, "hfs1")
	t.Cleanup(func() { here.Run("ip", "link", "del", "hfs0") })
	here.Addr("hfs0", "10.20.0.1/24")
	here.Addr("hfs0", "10.20.0.9/32") // a VIP that the kernel does not choose by itself
	there.Addr("hfs1", "10.20.0.2/24")
	from := make(chan string, 10)
	var l net.Listener
	there.Do(func() error {
		var err error
		l, err = net.Listen("tcp", "10.20.0.2:80")
		return err
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
			from <- host
			_ = c.Close()
		}
	}()
	defer func() {
		_ = l.Close()
		<-done
	}()
	vip := netip.MustParseAddr("10.20.0.9")
	for _, s := range []struct {
		from Source
		want string
	}{
		{Source{}, "10.20.0.1"},
		{Source{IPv4: netip.MustParseAddr("10.20.0.9")}, "10.20.0.9"},
		{Source{IPv4: netip.MustParseAddr("10.20.0.1"), Device: "hfs0", Never: []netip.Addr{vip}}, "10.20.0.1"},
		{Source{Never: []netip.Addr{vip}}, "10.20.0.1"},
	} {
		good(t, TCP{Address: "10.20.0.2:80", From: s.from})
		if got := <-from; got != s.want {
			t.Errorf("%+v: from %s, want %s", s.from, got, s.want)
		}
	}
	here.Run("ip", "route", "replace", "10.20.0.0/24", "dev", "hfs0", "src", "10.20.0.9")
	guarded := Source{Never: []netip.Addr{vip}}
	reason := "the kernel would ask 10.20.0.2 from 10.20.0.9, an address of the cluster"
	bad(t, TCP{Address: "10.20.0.2:80", From: guarded}, reason)
	bad(t, HTTP{URL: "http://10.20.0.2/", From: guarded}, reason)
	bad(t, Ping{Targets: []netip.Addr{netip.MustParseAddr("10.20.0.2")}, From: guarded}, reason)
	select {
	case got := <-from:
		t.Errorf("asked from %s all the same", got)
	default:
	}
	bad(t, TCP{Address: "10.20.0.2:80", From: Source{IPv4: netip.MustParseAddr("10.20.0.77")}}, "cannot assign requested address")
	bad(t, TCP{Address: "10.20.0.2:80", From: Source{Device: "none0"}}, "no such device")
}
