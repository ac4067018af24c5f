// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// tracking is a ruleset that does no more than track connections.
const tracking = `table inet t { chain c { type filter hook forward priority filter; ct state established accept; }; }`

// hear listens on a member until the test ends.
func (g *gateway) hear(t testing.TB, o ListenOptions) *Events {
	t.Helper()
	var e *Events
	g.Do(func() (err error) {
		e, err = Listen(o)
		return err
	})
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// heard reads events until none comes for a while, as lines.
func heard(t testing.TB, e *Events) []string {
	t.Helper()
	b := NewBatch()
	var lines []string
	for {
		_ = e.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		err := e.Read(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		b.Each(func(m Message) {
			r, err := record.FromMessage(nil, m.Type, m.Flags, m.Payload)
			if err != nil {
				t.Errorf("event of type %#x: %v", m.Type, err)
				return
			}
			tuple, err := record.Original(r)
			if err != nil {
				t.Errorf("event of type %#x: %v", m.Type, err)
			}
			lines = append(lines, fmt.Sprintf("%v %v %d %v:%d", r.Table, r.Op, tuple.Proto, tuple.Dst, tuple.DstPort))
		})
	}
}

// insert makes an entry by conntrack(8).
func (g *gateway) insert(t testing.TB, proto string, dport int, args ...string) {
	t.Helper()
	base := []string{"-I", "-s", "10.0.0.1", "-d", "10.0.0.2", "-p", proto, "-t", "100", "-u", "SEEN_REPLY"}
	switch proto {
	case "tcp":
		base = append(base, "--state", "ESTABLISHED", "--sport", "1000", "--dport", fmt.Sprint(dport))
	case "udp":
		base = append(base, "--sport", "1000", "--dport", fmt.Sprint(dport))
	case "icmp":
		base = append(base, "--icmp-type", "8", "--icmp-code", "0", "--icmp-id", fmt.Sprint(dport))
	}
	g.Run("conntrack", append(base, args...)...)
}

func TestEventsTellWhatHappens(t *testing.T) {
	g := newMember(t, "m", tracking)
	e := g.hear(t, ListenOptions{})
	g.insert(t, "udp", 53)
	g.Run("conntrack", "-U", "-p", "udp", "-s", "10.0.0.1", "-m", "7")
	g.Run("conntrack", "-D", "-p", "udp")
	want := []string{"connections new 17 10.0.0.2:53", "connections update 17 10.0.0.2:53", "connections delete 17 10.0.0.2:53"}
	if got := heard(t, e); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("heard %q, want %q", got, want)
	}
	if s, err := e.Stats(); err != nil || s.Received != 3 || s.Overruns != 0 || s.Dropped != 0 || s.Queued != 0 || s.Size != DefaultBuffer {
		t.Errorf("stats %+v, %v: want 3 received and a buffer of %d", s, err, DefaultBuffer)
	}
}

// TestFilter compares what passes the filter with what passed none.
func TestFilter(t *testing.T) {
	g := newMember(t, "m", tracking)
	ports := func(p ...uint16) []record.PortRange {
		var r []record.PortRange
		for i := 0; i < len(p); i += 2 {
			r = append(r, record.PortRange{First: p[i], Last: p[i+1]})
		}
		return r
	}
	for _, c := range []struct {
		name string
		o    ListenOptions
		want string // of udp/53 tcp/53 tcp/80 tcp/8000 tcp/8100 tcp/8101 icmp
	}{
		{"nothing", ListenOptions{}, "udp/53 tcp/53 tcp/80 tcp/8000 tcp/8100 tcp/8101 icmp"},
		{"one port", ListenOptions{Services: []record.Service{{Protocol: 17, Ports: ports(53, 53), Never: true}}}, "tcp/53 tcp/80 tcp/8000 tcp/8100 tcp/8101 icmp"},
		{"a range", ListenOptions{Services: []record.Service{{Protocol: 6, Ports: ports(8000, 8100), Never: true}}}, "udp/53 tcp/53 tcp/80 tcp/8101 icmp"},
		{"two ranges", ListenOptions{Services: []record.Service{{Protocol: 6, Ports: ports(1, 79, 8001, 9000), Never: true}}}, "udp/53 tcp/80 tcp/8000 icmp"},
		{"a protocol", ListenOptions{Services: []record.Service{{Protocol: 6, Never: true}}}, "udp/53 icmp"},
		{"a protocol without ports", ListenOptions{Services: []record.Service{{Protocol: 1, Never: true}}}, "udp/53 tcp/53 tcp/80 tcp/8000 tcp/8100 tcp/8101"},
		{"ports of a protocol without", ListenOptions{Services: []record.Service{{Protocol: 1, Ports: ports(0, 65535), Never: true}}}, "udp/53 tcp/53 tcp/80 tcp/8000 tcp/8100 tcp/8101 icmp"},
		{"the first decides", ListenOptions{Services: []record.Service{
			{Protocol: 6, Ports: ports(80, 80), After: time.Second}, {Protocol: 6, Never: true}, {Protocol: 17, After: time.Second},
		}}, "udp/53 tcp/80 icmp"},
		{"only waiting", ListenOptions{Services: []record.Service{{Protocol: 6, After: time.Second}}}, "udp/53 tcp/53 tcp/80 tcp/8000 tcp/8100 tcp/8101 icmp"},
		{"an own port id", ListenOptions{Ignore: []uint32{1, g.table.PortID()}, Services: []record.Service{{Protocol: 17, Never: true}}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			g.Run("conntrack", "-F")
			e := g.hear(t, c.o)
			g.insert(t, "udp", 53)
			for _, p := range []int{53, 80, 8000, 8100, 8101} {
				g.insert(t, "tcp", p)
			}
			g.insert(t, "icmp", 9)
			if c.want == "" { // the same entries, by our own socket, which is ignored
				rs := g.records(t)
				g.Run("conntrack", "-F")
				heard(t, e)
				g.apply(t, Created, rs...)
			}
			var got []string
			for _, l := range heard(t, e) {
				l = strings.NewReplacer("connections new ", "", "17 10.0.0.2:", "udp/", "6 10.0.0.2:", "tcp/", "1 10.0.0.2:0", "icmp").Replace(l)
				got = append(got, l)
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("heard %q, want %q", got, c.want)
			}
		})
	}
}

func TestFilterReplaced(t *testing.T) {
	g := newMember(t, "m", tracking)
	e := g.hear(t, ListenOptions{})
	if err := e.SetFilter(nil, []record.Service{{Protocol: 17, Never: true}}); err != nil {
		t.Fatal(err)
	}
	g.insert(t, "udp", 53)
	g.insert(t, "tcp", 53)
	if got := heard(t, e); len(got) != 1 {
		t.Errorf("heard %q, want the one of TCP", got)
	}
	var many []record.Service
	for i := range 1000 {
		many = append(many, record.Service{Protocol: 6, Ports: []record.PortRange{{First: uint16(2 * i), Last: uint16(2 * i)}}, Never: true})
	}
	for _, c := range []struct {
		services []record.Service
		partial  bool
	}{{many, true}, {many[:100], false}} {
		if err := e.SetFilter([]uint32{g.table.PortID()}, c.services); err != nil {
			t.Fatal(err)
		}
		g.Run("conntrack", "-F")
		heard(t, e)
		g.insert(t, "tcp", 2)
		g.insert(t, "tcp", 3)
		g.apply(t, Created, flow(1))
		want := 1
		if c.partial {
			want = 2
		}
		if got := heard(t, e); len(got) != want {
			t.Errorf("%d services: heard %q", len(c.services), got)
		}
		if s, err := e.Stats(); err != nil || s.Partial != c.partial {
			t.Errorf("%d services: %+v, %v", len(c.services), s, err)
		}
	}
}

// TestOverrun fills a small buffer: events are lost, the loss is told once, and those after it are heard again.
func TestOverrun(t *testing.T) {
	g := newMember(t, "m", tracking)
	e := g.hear(t, ListenOptions{Buffer: 32 << 10})
	const n = 500
	for i := range n {
		g.insertQuick(t, i)
	}
	b := NewBatch()
	lost, read := 0, 0
	for {
		_ = e.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		err := e.Read(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if errors.Is(err, ErrLost) {
			lost++
		} else if err != nil {
			t.Fatal(err)
		}
		read += b.Len()
	}
	s, err := e.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if lost != 1 || s.Overruns != 1 || read == 0 || uint64(read)+s.Dropped != n {
		t.Errorf("lost %d times, read %d, stats %+v: want one loss, and %d in all", lost, read, s, n)
	}
	g.insert(t, "udp", 53)
	if got := heard(t, e); len(got) != 1 {
		t.Errorf("after the loss heard %q, want the next event", got)
	}
}

// insertQuick makes an entry without starting a process: a record of a UDP flow with port i, by a socket of its own.
func (g *gateway) insertQuick(t testing.TB, i int) {
	t.Helper()
	g.apply(t, Created, flow(i))
}

func TestClosedEvents(t *testing.T) {
	g := newMember(t, "m", tracking)
	e := g.hear(t, ListenOptions{})
	done := make(chan error)
	go func() { done <- e.Read(NewBatch()) }()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read of a closed socket: %v", err)
	}
	if _, err := e.Stats(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Stats of a closed socket: %v", err)
	}
	if err := e.SetFilter(nil, nil); !errors.Is(err, os.ErrClosed) {
		t.Errorf("SetFilter of a closed socket: %v", err)
	}
}

// flow is the record of a UDP flow, another for every i.
func flow(i int) record.Record {
	src, dst := []byte{10, byte(i >> 16), byte(i >> 8), byte(i)}, []byte{192, 0, 2, 1}
	tuple := func(b []byte, typ uint16, src, dst []byte, sport, dport uint16) []byte {
		return nest(b, typ, func(b []byte) []byte {
			b = nest(b, ctaTupleIP, func(b []byte) []byte {
				b = append(appendHead(b, ctaIPv4Src, 4), src...)
				return append(appendHead(b, ctaIPv4Src+1, 4), dst...)
			})
			return nest(b, ctaTupleProto, func(b []byte) []byte {
				b = appendU8(b, ctaProtoNum, unix.IPPROTO_UDP)
				b = appendU16(b, ctaProtoSrcPort, sport)
				return appendU16(b, ctaProtoDstPort, dport)
			})
		})
	}
	b := tuple(nil, ctaTupleOrig, src, dst, 1000, 5000)
	b = tuple(b, ctaTupleReply, dst, src, 5000, 1000)
	b = appendU32(b, ctaStatus, 1<<3|statusSeenReply)
	b = appendU32(b, ctaTimeout, record.CopyTimeout)
	return record.Record{Table: record.TableConnections, Op: record.OpNew, Family: unix.AF_INET, Attrs: b}
}

func TestHear(t *testing.T) {
	g := newMember(t, "m", tracking)
	e := g.hear(t, ListenOptions{Kinds: Ended})
	life := func() {
		g.insert(t, "udp", 53)
		g.Run("conntrack", "-U", "-p", "udp", "-s", "10.0.0.1", "-m", "7")
		g.Run("conntrack", "-D", "-p", "udp")
	}
	for _, c := range []struct {
		kinds Kinds
		want  string
	}{{Ended, "delete"}, {All, "new update delete"}, {Begun | Ended, "new delete"}, {0, ""}, {Changed, "update"}} {
		if err := e.Hear(c.kinds); err != nil {
			t.Fatal(err)
		}
		life()
		var ops []string
		for _, l := range heard(t, e) {
			ops = append(ops, strings.Fields(l)[1])
		}
		if got := strings.Join(ops, " "); got != c.want {
			t.Errorf("kinds %03b: heard %q, want %q", c.kinds, got, c.want)
		}
	}
}
