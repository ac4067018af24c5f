// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// TestSweep gives copies the time-outs that the kernel would: those of short ones go down, that of an established TCP connection goes
// up, and what packets have refreshed stays.
func TestSweep(t *testing.T) {
	g := newMember(t, "m", tracking)
	for name, v := range map[string]int{"udp_timeout": 31, "udp_timeout_stream": 121, "icmp_timeout": 32, "tcp_timeout_time_wait": 61, "generic_timeout": 601} {
		g.Run("sysctl", "-qw", fmt.Sprintf("net.netfilter.nf_conntrack_%s=%d", name, v))
	}
	const long = record.CopyTimeout
	at := func(seconds int) []string { return []string{"-t", strconv.Itoa(seconds)} }
	g.insert(t, "udp", 1, at(long)...)
	g.insert(t, "udp", 2, append(at(long), "-u", "ASSURED")...)
	g.insert(t, "udp", 3, at(20)...) // refreshed by a packet 11 s ago
	g.insert(t, "udp", 4, append(at(100), "-u", "ASSURED")...)
	g.insert(t, "icmp", 5, at(long)...)
	g.insert(t, "tcp", 6, at(long-100)...)
	g.insert(t, "tcp", 7, append(at(long), "--state", "TIME_WAIT")...)
	g.insert(t, "tcp", 8, at(432000-50)...) // refreshed 50 s ago
	g.insert(t, "udp", 9, append(at(long), "-w", "7")...)
	want := map[int]int{1: 31, 2: 121, 3: 20, 4: 100, 6: 432000, 7: 61, 8: 431950, 9: 31}

	var timeouts Timeouts
	g.Do(func() (err error) {
		timeouts, err = ReadTimeouts()
		return err
	})
	e := g.hear(t, ListenOptions{Ignore: []uint32{g.table.PortID()}})
	s, err := g.table.Sweep(context.Background(), SweepOptions{Timeouts: timeouts, Copy: long * time.Second})
	if err != nil || s.Seen != 9 || s.Set != 6 || s.Gone != 0 || s.Refused != 0 {
		t.Errorf("%+v, %v: want 9 seen, 6 set", s, err)
	}
	if got := heard(t, e); len(got) != 0 {
		t.Errorf("heard of the own doing: %q", got)
	}
	fields := regexp.MustCompile(`^(\w+) +\d+ (\d+) .*? dport=(\d+) `)
	for line := range strings.Lines(g.Run("conntrack", "-L")) {
		m := fields.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		left, _ := strconv.Atoi(m[2])
		port, _ := strconv.Atoi(m[3])
		if w := want[port]; left > w || left < w-10 {
			t.Errorf("%d seconds left, want %d: %s", left, w, line)
		}
		delete(want, port)
	}
	if len(want) != 0 {
		t.Errorf("not there: %v", want)
	}
	if icmp := g.listing(t, "-p", "icmp"); len(icmp) != 1 {
		t.Errorf("ICMP: %q", icmp)
	}
	again, err := g.table.Sweep(context.Background(), SweepOptions{Timeouts: timeouts, Copy: long * time.Second})
	if err != nil || again.Set != 0 {
		t.Errorf("the second sweep set %d, %v", again.Set, err)
	}
}

// TestLengthen gives entries that a hand-over left behind the copies' time-out, and lets TCP connections that the kernel has followed so
// far come back with numbers that it did not see.
func TestLengthen(t *testing.T) {
	g := newMember(t, "m", tracking)
	g.insert(t, "udp", 1, "-t", "30")
	g.insert(t, "tcp", 2, "-t", "432000", "--state", "ESTABLISHED")
	g.insert(t, "tcp", 3, "-t", "60", "--state", "FIN_WAIT")
	o := SweepOptions{Copy: record.CopyTimeout * time.Second, All: Lengthen}
	g.Do(func() (err error) {
		o.Timeouts, err = ReadTimeouts()
		return err
	})
	g.makeStrict(t, time.Minute)
	if tcp, minding := g.strictOnes(t); tcp != 2 || minding != 2 {
		t.Fatalf("%d TCP connections, %d of them strict: want 2, all strict", tcp, minding)
	}
	s, err := g.table.Sweep(context.Background(), o)
	if err != nil || s.Seen != 3 || s.Set != 3 || s.Refused != 0 {
		t.Errorf("%+v, %v: want 3 set", s, err)
	}
	if tcp, minding := g.strictOnes(t); tcp != 2 || minding != 0 {
		t.Errorf("%d TCP connections, %d of them strict: want 2 and none", tcp, minding)
	}
	for _, state := range []string{"ESTABLISHED", "FIN_WAIT"} {
		if lines := g.listing(t, "-p", "tcp", "--state", state); len(lines) != 1 {
			t.Errorf("state %s: %q", state, lines)
		}
	}
	if again, err := g.table.Sweep(context.Background(), o); err != nil || again.Set != 0 {
		t.Errorf("the second sweep set %d, %v", again.Set, err)
	}
}

// strictOnes counts the TCP connections, and those of them whose windows the kernel minds.
func (g *gateway) strictOnes(t *testing.T) (tcp, minding int) {
	t.Helper()
	if err := g.table.Dump(context.Background(), DumpOptions{}, func(m Message) error {
		if _, is := tcpFlags(m); is {
			tcp++
		}
		if strict(m) {
			minding++
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return tcp, minding
}

// makeStrict makes TCP connections as the kernel has them that has seen them begin, with a time-out: the conntrack command makes what it inserts
// liberal.
func (g *gateway) makeStrict(t *testing.T, timeout time.Duration) {
	t.Helper()
	var requests []byte
	if err := g.table.Dump(context.Background(), DumpOptions{}, func(m Message) error {
		if _, is := tcpFlags(m); is {
			at := len(requests)
			requests = appendTCPFlags(appendTimeout(requests, m, timeout, false), 0)
			requests[at] = byte(len(requests) - at)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := g.table.setTimeouts(requests, new(SweepStats)); err != nil {
		t.Fatal(err)
	}
}

// TestRegain: what comes back before it was given the copies' time-out is made liberal all the same, and keeps its own.
func TestRegain(t *testing.T) {
	g := newMember(t, "m", tracking)
	g.insert(t, "tcp", 1, "-t", "60", "--state", "TIME_WAIT")
	g.insert(t, "tcp", 2, "-t", "60", "--state", "FIN_WAIT")
	g.insert(t, "udp", 3, "-t", "30")
	o := SweepOptions{Copy: record.CopyTimeout * time.Second}
	g.Do(func() (err error) {
		o.Timeouts, err = ReadTimeouts()
		return err
	})
	g.makeStrict(t, 100*time.Second)
	if s, err := g.table.Sweep(context.Background(), o); err != nil {
		t.Fatal(s, err)
	}
	if _, minding := g.strictOnes(t); minding != 2 {
		t.Errorf("%d are strict after a sweep of what was never away, want 2", minding)
	}
	g.makeStrict(t, 100*time.Second)
	o.All = Regain
	s, err := g.table.Sweep(context.Background(), o)
	if err != nil || s.Seen != 3 || s.Refused != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	if tcp, minding := g.strictOnes(t); tcp != 2 || minding != 0 {
		t.Errorf("%d TCP connections, %d of them strict: want 2 and none", tcp, minding)
	}
	if err := g.table.Dump(context.Background(), DumpOptions{}, func(m Message) error {
		if left := number(find(m.Payload[nfgenLen:], ctaTimeout)); left > 100 {
			t.Errorf("a time-out has become %d s", left)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// TestSweepMany sweeps more than a batch, some of which end meanwhile.
func TestSweepMany(t *testing.T) {
	g := newMember(t, "m", tracking)
	var rs []record.Record
	for i := range 2000 {
		rs = append(rs, flow(i))
	}
	g.apply(t, Created, rs...)
	var timeouts Timeouts
	g.Do(func() (err error) {
		timeouts, err = ReadTimeouts()
		return err
	})
	chunks := 0
	s, err := g.table.Sweep(context.Background(), SweepOptions{Timeouts: timeouts, Copy: record.CopyTimeout * time.Second, Chunk: func(int) error {
		chunks++
		return nil
	}})
	if err != nil || s.Seen != len(rs) || s.Set != len(rs) || chunks < 5 {
		t.Errorf("%+v in %d parts, %v", s, chunks, err)
	}
	var pending []byte
	if err := g.table.Dump(context.Background(), DumpOptions{}, func(m Message) error {
		pending = appendTimeout(pending, m, time.Minute, false)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	g.apply(t, Deleted, as(record.OpDelete, rs[7]), as(record.OpDelete, rs[1999]))
	s = SweepStats{}
	if err := g.table.setTimeouts(pending, &s); err != nil || s.Gone != 2 || s.Set != len(rs)-2 {
		t.Errorf("%+v, %v: want 2 gone", s, err)
	}
}

func TestTimeoutsOfAKernel(t *testing.T) {
	g := newMember(t, "m", tracking)
	g.Do(func() error {
		got, err := ReadTimeouts()
		if err != nil {
			return err
		}
		for name, pair := range map[string][2]time.Duration{
			"tcp_timeout_established": {got.TCP[3], 432000 * time.Second}, "tcp_timeout_syn_sent": {got.TCP[1], 120 * time.Second},
			"udp_timeout": {got.UDP, 30 * time.Second}, "udp_timeout_stream": {got.UDPStream, 120 * time.Second},
			"icmpv6_timeout": {got.ICMPv6, 30 * time.Second}, "generic_timeout": {got.Generic, 600 * time.Second},
			"sctp_timeout_established": {got.SCTP[4], 210 * time.Second}, "gre_timeout_stream": {got.GREStream, 180 * time.Second},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s is %v, a fresh namespace of Linux has %v", name, pair[0], pair[1])
			}
		}
		return nil
	})
}
