// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
	"github.com/holdfast-project/holdfast/dataplane/link/linktest"
)

// list dumps a member's table as lines.
func (g *gateway) list(t testing.TB, o DumpOptions) []string {
	t.Helper()
	var lines []string
	err := g.table.Dump(context.Background(), o, func(m Message) error {
		r, err := record.FromMessage(nil, m.Type, m.Flags, m.Payload)
		if err != nil {
			return err
		}
		if r.Op != record.OpNew {
			t.Errorf("an entry of a dump is %v", r.Op)
		}
		tuple, err := record.Original(r)
		lines = append(lines, fmt.Sprintf("%d %v:%d", tuple.Proto, tuple.Dst, tuple.DstPort))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return lines
}

func TestDumpFilters(t *testing.T) {
	g := newMember(t, "m", tracking)
	g.insert(t, "tcp", 80)
	g.insert(t, "tcp", 81, "-m", "5")
	g.insert(t, "udp", 82, "-w", "7")
	g.insert(t, "udp", 83, "-u", "ASSURED")
	g.insert(t, "icmp", 84)
	g.Run("conntrack", "-I", "-s", "2001:db8::1", "-d", "2001:db8::2", "-p", "udp", "-t", "100", "--sport", "1", "--dport", "85", "-u", "SEEN_REPLY")
	zone := func(z uint16) *uint16 { return &z }
	for _, c := range []struct {
		name   string
		o      DumpOptions
		oracle []string // of conntrack -L
		want   int
	}{
		{"IPv4", DumpOptions{Family: unix.AF_INET}, []string{"-f", "ipv4"}, 5},
		{"IPv6", DumpOptions{Family: unix.AF_INET6}, []string{"-f", "ipv6"}, 1},
		{"both", DumpOptions{}, nil, 6},
		{"TCP", DumpOptions{Family: unix.AF_INET, Protocol: unix.IPPROTO_TCP}, []string{"-p", "tcp"}, 2},
		{"ICMP", DumpOptions{Family: unix.AF_INET, Protocol: unix.IPPROTO_ICMP}, []string{"-p", "icmp"}, 1},
		{"UDP over IPv6", DumpOptions{Family: unix.AF_INET6, Protocol: unix.IPPROTO_UDP}, []string{"-f", "ipv6", "-p", "udp"}, 1},
		{"TCP over IPv6", DumpOptions{Family: unix.AF_INET6, Protocol: unix.IPPROTO_TCP}, []string{"-f", "ipv6", "-p", "tcp"}, 0},
		{"a mark", DumpOptions{Mark: 5, MarkMask: 0xff}, []string{"-m", "5"}, 1},
		{"no mark", DumpOptions{MarkMask: 0xff}, nil, 5},
		{"a zone", DumpOptions{Zone: zone(7)}, []string{"-w", "7"}, 1},
		{"no zone", DumpOptions{Zone: zone(0)}, nil, 5},
		{"a status", DumpOptions{Status: statusAssured, StatusMask: statusAssured}, []string{"-u", "ASSURED"}, 1},
		{"not that status", DumpOptions{StatusMask: statusAssured}, nil, 5},
	} {
		got := g.list(t, c.o)
		if len(got) != c.want {
			t.Errorf("%s: %q, want %d entries", c.name, got, c.want)
		}
		if c.oracle != nil && c.o.Family != unix.AF_INET6 {
			if out := g.listing(t, c.oracle...); len(out) < c.want {
				t.Errorf("%s: conntrack lists %q", c.name, out)
			}
		}
	}
	if err := g.table.Dump(context.Background(), DumpOptions{Protocol: 6}, func(Message) error { return nil }); err == nil {
		t.Error("a filter by protocol without a family was taken")
	}
	if u, err := g.table.Count(); err != nil || fmt.Sprint(u.Entries) != strings.TrimSpace(g.Run("conntrack", "-C")) || u.Max == 0 {
		t.Errorf("counted %+v, %v, conntrack says %s", u, err, g.Run("conntrack", "-C"))
	}
}

// TestDumpMany dumps more than one part, ends dumps in their midst, and dumps from a thread of another namespace.
func TestDumpMany(t *testing.T) {
	g := newMember(t, "m", tracking)
	var rs []record.Record
	for i := range 3000 {
		rs = append(rs, flow(i))
	}
	g.apply(t, Created, rs...)
	parts, last := 0, 0
	seen := make(map[string]int)
	err := g.table.Dump(context.Background(), DumpOptions{Chunk: func(n int) error {
		parts++
		if n < last {
			t.Errorf("%d entries after %d", n, last)
		}
		last = n
		return nil
	}}, func(m Message) error {
		seen[string(find(m.Payload[nfgenLen:], ctaTupleOrig))]++
		return nil
	})
	if err != nil || len(seen) != len(rs) || last != len(rs) || parts < 10 {
		t.Errorf("%d entries in %d parts, the last said %d, %v: want %d", len(seen), parts, last, err, len(rs))
	}

	enough := errors.New("enough")
	if err := g.table.Dump(context.Background(), DumpOptions{}, func(Message) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("an error of each: %v", err)
	}
	if err := g.table.Dump(context.Background(), DumpOptions{Chunk: func(int) error { return enough }}, func(Message) error { return nil }); !errors.Is(err, enough) {
		t.Errorf("an error of Chunk: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if err := g.table.Dump(ctx, DumpOptions{}, func(Message) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that ends: %v", err)
	}
	linktest.New(t).Do(func() error {
		if got := g.list(t, DumpOptions{}); len(got) != len(rs) {
			t.Errorf("%d entries from a thread of another namespace", len(got))
		}
		return nil
	})
	// Records come and go while the table is dumped.
	err = g.table.Dump(context.Background(), DumpOptions{Chunk: func(int) error {
		g.apply(t, Deleted, as(record.OpDelete, rs[0]))
		g.apply(t, Created, rs[0])
		return nil
	}}, func(Message) error { return nil })
	if err != nil {
		t.Error(err)
	}
	runtime.KeepAlive(g)
}

func TestGet(t *testing.T) {
	g := newMember(t, "m", tracking)
	r := snat(flow(1), 1111)
	g.apply(t, Created, r)
	m, err := g.table.Get(nil, r.Family, r.AppendDelete(nil))
	if err != nil {
		t.Fatal(err)
	}
	got, err := record.FromMessage(nil, m.Type, m.Flags, m.Payload)
	if err != nil {
		t.Fatal(err)
	}
	if got.Op != record.OpNew || !strings.Contains(record.Text(got), "dst=203.0.113.1 sport=5000 dport=1111") {
		t.Errorf("read %v %s", got.Op, record.Text(got))
	}
	r = flow(2)
	if _, err := g.table.Get(nil, r.Family, r.AppendDelete(nil)); !errors.Is(err, unix.ENOENT) {
		t.Errorf("read what is not there: %v", err)
	}
	if _, err := g.table.Get(nil, r.Family, nil); !errors.Is(err, unix.EINVAL) {
		t.Errorf("read nothing: %v", err)
	}
}
