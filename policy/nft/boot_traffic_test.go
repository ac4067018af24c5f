// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/policy/bootfilter"
)

// attempt is something that somebody tries to reach.
type attempt struct {
	name string
	from *place
	at   *place // who answers
	to   string // ADDRESS:PORT
	udp  bool
	// passes while the filter holds.
	passes bool
}

// reaches asks and reports whether an answer came. An attempt that has to succeed may take its time.
func (a attempt) reaches(wait time.Duration) error {
	network := "tcp4"
	if a.udp {
		network = "udp4"
	}
	var c net.Conn
	if err := within(a.from.fd(), func() (err error) { c, err = net.DialTimeout(network, a.to, wait); return err }); err != nil {
		return err
	}
	defer c.Close()
	return exchange(c, wait)
}

// exchange asks, over UDP once a second: what waits for a neighbour that is slow to answer is thrown away.
func exchange(c net.Conn, wait time.Duration) error {
	_, datagrams := c.(*net.UDPConn)
	for end := time.Now().Add(wait); ; {
		turn := end
		if again := time.Now().Add(time.Second); datagrams && again.Before(end) {
			turn = again
		}
		if err := c.SetDeadline(turn); err != nil {
			return err
		}
		_, err := c.Write([]byte("question"))
		if err == nil {
			_, err = io.ReadFull(c, make([]byte, 8))
		}
		if err == nil || turn.Equal(end) {
			return err
		}
		<-time.After(time.Until(turn)) // refused, or unreachable
	}
}

// answer echoes at an address of a place until the test ends.
func (p *place) answer(a attempt) {
	p.t.Helper()
	var l io.Closer
	err := within(p.fd(), func() error {
		if a.udp {
			c, err := net.ListenPacket("udp4", a.to)
			if err != nil {
				return err
			}
			l = c
			go func() {
				b := make([]byte, 64)
				for {
					n, from, err := c.ReadFrom(b)
					if err != nil {
						return
					}
					_, _ = c.WriteTo(b[:n], from)
				}
			}()
			return nil
		}
		c, err := net.Listen("tcp4", a.to)
		if err != nil {
			return err
		}
		l = c
		go func() {
			for {
				s, err := c.Accept()
				if err != nil {
					return
				}
				// Where the filter drops what says that it is over, nothing else ends it.
				p.t.Cleanup(func() { s.Close() })
				go func() {
					defer s.Close()
					_, _ = io.Copy(s, s)
				}()
			}
		}()
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { l.Close() })
}

// frames sends a frame of CCP's EtherType from a place and reports whether it arrives at a device of another.
func frames(t *testing.T, from, to *place, device string) error {
	t.Helper()
	const ethertype = 0x88b5
	open := func(p *place, name string) (fd int, err error) {
		err = within(p.fd(), func() error {
			i, err := net.InterfaceByName(name)
			if err != nil {
				return err
			}
			if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0xb588); err != nil {
				return err
			}
			return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: 0xb588, Ifindex: i.Index})
		})
		return fd, err
	}
	in, err := open(to, device)
	if err != nil {
		return err
	}
	defer unix.Close(in)
	out, err := open(from, "eth0")
	if err != nil {
		return err
	}
	defer unix.Close(out)
	frame := append(append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1}, ethertype>>8, ethertype&0xff), make([]byte, 46)...)
	if _, err := unix.Write(out, frame); err != nil {
		return err
	}
	if err := unix.SetsockoptTimeval(in, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}); err != nil {
		return err
	}
	_, err = unix.Read(in, make([]byte, 128))
	return err
}

// TestBootFilterPackets: what passes while the boot filter holds, by packets: before the daemon is up, beside a policy that lets everything
// pass, and after that was unloaded. Before there is a filter everything passes, which shows that who is asked answers.
func TestBootFilterPackets(t *testing.T) {
	t.Parallel()
	labtest.Require(t, "nft", "ip", "ping")
	p := newPath(t)
	const gateway, server, member = "10.1.0.1", "10.2.0.2", "10.1.0.2"
	p.client.run("ip", "addr", "add", "10.1.0.9/24", "dev", "eth0") // no member's
	filter := &bootfilter.Filter{
		SSH:        []netip.Prefix{netip.MustParsePrefix("10.1.0.0/24")},
		Members:    []netip.Addr{netip.MustParseAddr(member), netip.MustParseAddr(gateway)},
		Management: []netip.AddrPort{netip.MustParseAddrPort(server + ":9443")},
	}
	all := []attempt{
		{name: "SSH from a configured network", from: p.client, at: p.gateway, to: gateway + ":22", passes: true},
		{name: "SSH from elsewhere", from: p.server, at: p.gateway, to: "10.2.0.1:22"},
		{name: "another port", from: p.client, at: p.gateway, to: gateway + ":80"},
		{name: "a datagram", from: p.client, at: p.gateway, to: gateway + ":53", udp: true},
		{name: "management", from: p.gateway, at: p.server, to: server + ":9443", passes: true},
		{name: "what the member itself asks", from: p.gateway, at: p.server, to: server + ":123", udp: true, passes: true},
		{name: "another member's way to management", from: p.client, at: p.server, to: server + ":9443", passes: true},
		{name: "forwarded to another port of management's", from: p.client, at: p.server, to: server + ":22"},
		{name: "forwarded", from: p.client, at: p.server, to: server + ":80"},
		{name: "a datagram forwarded", from: p.client, at: p.server, to: server + ":53", udp: true},
	}
	seen := map[string]bool{}
	for _, a := range all {
		if key := fmt.Sprint(a.to, a.udp); !seen[key] {
			seen[key] = true
			a.at.answer(a)
		}
	}
	passed := func(when string, filtered bool) {
		t.Helper()
		var wait sync.WaitGroup
		for _, a := range all {
			wait.Go(func() {
				must := a.passes || !filtered
				patience := 300 * time.Millisecond
				if must {
					patience = 20 * time.Second
				}
				if err := a.reaches(patience); (err == nil) != must {
					t.Errorf("%s: %s: %v", when, a.name, err)
				}
			})
		}
		wait.Wait()
		if out, err := p.client.try("", "ping", "-c1", "-W5", gateway); err != nil {
			t.Errorf("%s: an echo request has no answer: %s", when, out)
		}
		if _, err := p.client.try("", "ping", "-c1", "-W0.3", server); (err == nil) == filtered {
			t.Errorf("%s: an echo request forwarded: %v", when, err)
		}
		if err := frames(t, p.client, p.gateway, "in"); err != nil {
			t.Errorf("%s: CCP: %v", when, err)
		}
	}
	passed("without a filter", false)
	// Connections of before: one that ends here goes on, one that is forwarded does not.
	var own, through net.Conn
	if err := within(p.client.fd(), func() (err error) {
		if own, err = net.Dial("tcp4", gateway+":80"); err == nil {
			through, err = net.Dial("tcp4", server+":80")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	defer through.Close()
	established := func(when string) {
		t.Helper()
		if err := exchange(own, 10*time.Second); err != nil {
			t.Errorf("%s: a connection of before: %v", when, err)
		}
		if err := exchange(through, 400*time.Millisecond); err == nil {
			t.Errorf("%s: a forwarded connection of before goes on", when)
		}
	}
	// Conntrack follows connections only once somebody's rules ask for it.
	p.gateway.feed("table inet follows {\nchain c {\ntype filter hook prerouting priority 0;\nct state invalid counter\n}\n}", "nft", "-f", "-")
	for _, c := range []net.Conn{own, through} {
		if err := exchange(c, 10*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	k := p.gateway.kernel()
	if err := k.LoadBootFilter(t.Context(), filter); err != nil {
		t.Fatal(err)
	}
	passed("at boot", true)
	established("at boot")
	install(t, k, bundle(t, 1, "table inet filter {\n\tchain input { type filter hook input priority filter; policy accept; accept; }\n"+
		"\tchain forward { type filter hook forward priority filter; policy accept; accept; }\n}\n"))
	passed("beside a policy that accepts everything", true)
	if err := k.Unload(t.Context()); err != nil {
		t.Fatal(err)
	}
	passed("after unload", true)
	established("after unload")
	if err := k.RemoveBootFilter(t.Context()); err != nil {
		t.Fatal(err)
	}
	passed("without it again", false)
}

// TestBootFilterHolds: whatever somebody does to the filter is noticed; what is done to other tables is not its concern.
func TestBootFilterHolds(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	k := p.kernel()
	filter := &bootfilter.Filter{SSH: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
	for what, harm := range map[string]string{
		"nothing":                 "",
		"another table":           "add table inet others\nadd chain inet others c { type filter hook input priority 0; }\nadd rule inet others c drop\ndelete table inet others",
		"table deleted":           "delete table inet holdfast_boot",
		"everything flushed":      "flush ruleset",
		"table flushed":           "flush table inet holdfast_boot",
		"chain flushed":           "flush chain inet holdfast_boot input",
		"chain deleted":           "flush chain inet holdfast_boot forward\ndelete chain inet holdfast_boot forward",
		"rule added":              "insert rule inet holdfast_boot input accept",
		"table asleep":            "add table inet holdfast_boot { flags dormant; }",
		"accepts by default":      "add chain inet holdfast_boot forward { policy accept; }",
		"loaded by somebody else": filter.Text(),
	} {
		if err := k.LoadBootFilter(t.Context(), filter); err != nil {
			t.Fatal(err)
		}
		p.feed(harm, "nft", "-f", "-")
		want := what == "nothing" || what == "another table"
		for range 2 { // the second look must not take the first for granted
			if holds, err := k.HoldsBootFilter(); err != nil || holds != want && what != "loaded by somebody else" {
				t.Errorf("%s: holds %v, %v", what, holds, err)
			}
		}
	}
	if holds, err := p.kernel().HoldsBootFilter(); err != nil || holds {
		t.Errorf("one that this process did not load: %v, %v", holds, err)
	}
}

// TestTouchedAsleep: what somebody does to a generation between its preparation and its commit is noticed, and it does not wake.
func TestTouchedAsleep(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	k := p.kernel()
	rules := "table inet filter {\n\tset ports { type inet_service; elements = { 22, 80 } }\n\tset own { type ipv4_addr; flags interval; }\n" +
		"\tset seen { type ipv4_addr; flags dynamic,timeout; timeout 1m; }\n\tset rates { type ipv4_addr; limit rate 5/second; elements = { 10.0.0.1 limit rate 5/second } }\n\tcounter hits { }\n" +
		"\tchain forward { type filter hook forward priority filter; policy drop; tcp dport @ports counter name hits accept; add @seen { ip saddr }; }\n}\n"
	install(t, k, bundle(t, 1, rules, kept("own")...))
	for _, tt := range []struct {
		what, harm string
		same       bool
	}{
		{what: "nothing", same: true},
		{what: "others", harm: "add table inet others\nadd chain inet others c { type filter hook input priority 0; }", same: true},
		{what: "the generation in force", harm: "add rule inet filter.g1 forward udp dport 1 accept", same: true},
		{what: "an element of a set that is kept", harm: "add element inet filter.g2 own { 10.0.0.0/8 }", same: true},
		{what: "an element that packets add", harm: "add element inet filter.g2 seen { 10.0.0.1 }", same: true},
		{what: "table gone", harm: "delete table inet filter.g2"},
		{what: "everything gone", harm: "flush ruleset"},
		{what: "chain flushed", harm: "flush chain inet filter.g2 forward"},
		{what: "rule added", harm: "add rule inet filter.g2 forward accept"},
		{what: "policy changed", harm: "add chain inet filter.g2 forward { policy accept; }"},
		{what: "element added", harm: "add element inet filter.g2 ports { 23 }"},
		{what: "element gone", harm: "delete element inet filter.g2 ports { 80 }"},
		{what: "element's limit", harm: "delete element inet filter.g2 rates { 10.0.0.1 }\nadd element inet filter.g2 rates { 10.0.0.1 limit rate 9/second }"},
		{what: "chain added", harm: "add chain inet filter.g2 more { type filter hook forward priority -5; }"},
		{what: "object added", harm: "add counter inet filter.g2 more"},
		{what: "woken", harm: "add table inet filter.g2"},
	} {
		g := bundle(t, 2, rules, kept("own")...)
		if _, err := k.Prepare(t.Context(), g); err != nil {
			t.Fatal(err)
		}
		p.feed(tt.harm, "nft", "-f", "-")
		r, err := k.Commit(t.Context(), g)
		switch {
		case tt.what == "woken":
			// It filters already: the commit puts the old one to sleep.
			if err != nil || r.Sure {
				t.Errorf("%s: %v, sure %v", tt.what, err, r.Sure)
			}
		case tt.same && (err != nil || !r.Sure):
			t.Errorf("%s: %v, sure %v", tt.what, err, r.Sure)
		case !tt.same && (err == nil || !strings.Contains(err.Error(), ErrNotPrepared.Error())):
			t.Errorf("%s: it woke: %v", tt.what, err)
		}
		if err := k.Unload(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, _ = p.try("", "nft", "delete", "table", "inet", "others")
		install(t, k, bundle(t, 1, rules, kept("own")...))
	}
	// Of a set with thousands of elements nobody is sure once anybody changed anything, and the rules count all the same.
	for _, harm := range []string{"add element inet filter.g2 big { 172.16.0.1 }", "flush chain inet filter.g2 forward"} {
		g := bundle(t, 2, heavyRules(1, maxImprint+1))
		if _, err := k.Prepare(t.Context(), g); err != nil {
			t.Fatal(err)
		}
		p.feed(harm, "nft", "-f", "-")
		if r, err := k.Commit(t.Context(), g); (err != nil) != strings.HasPrefix(harm, "flush") || r.Sure {
			t.Errorf("%s: %v, sure %v", harm, err, r.Sure)
		}
		if err := k.Unload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// Another process does not know what was loaded.
	if _, err := k.Prepare(t.Context(), bundle(t, 2, rules, kept("own")...)); err != nil {
		t.Fatal(err)
	}
	if r, err := p.kernel().Commit(t.Context(), bundle(t, 2, rules, kept("own")...)); err != nil || r.Sure {
		t.Errorf("by another process: %v, sure %v", err, r.Sure)
	}
}
