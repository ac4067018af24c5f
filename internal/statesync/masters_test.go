// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"bytes"
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/dataplane/conntrack"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// tcpTuple is a tuple attribute of TCP.
func tcpTuple(typ uint16, src, dst netip.Addr, sport, dport uint16) []byte {
	ip := append(attr(1, src.AsSlice()), attr(2, dst.AsSlice())...)
	proto := append(append(attr(1, []byte{6}), attr(2, be16(sport))...), attr(3, be16(dport))...)
	return attr(typ|0x8000, append(attr(1|0x8000, ip), attr(2|0x8000, proto)...))
}

// TestMastersAreReadAgain: a helper adjusts the sequence numbers of a connection, and no event says so; but one says that it expects another
// connection. The copy learns the adjustment.
func TestMastersAreReadAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 1)
	w.eventually("the copy is current", 5*time.Second, func() bool { return w.members[1].plane.State().Current })
	owner, copied := w.members[0], w.members[1]
	client, server := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("198.51.100.7")
	control := append(tcpTuple(1, client, server, 40021, 21), tcpTuple(2, server, client, 21, 40021)...)
	state := append(attr(1, []byte{3}), append(attr(4, []byte{8, 0xff}), attr(5, []byte{8, 0xff})...)...)
	rest := append(attr(3, []byte{0, 0, 0, 14}), attr(7, []byte{0, 0, 2, 88})...)
	rest = append(rest, attr(4|0x8000, attr(1|0x8000, state))...)
	helped := append(append(append([]byte(nil), control...), rest...), attr(5|0x8000, attr(1, []byte("ftp\x00")))...)
	put := func(table *conntrack.Table, r record.Record) {
		t.Helper()
		out := make([]conntrack.Outcome, 1)
		must(t, table.Apply([]record.Record{r}, out))
		if out[0].Result == conntrack.Refused {
			t.Fatalf("%v: %s", out[0].Errno, record.Text(r))
		}
	}
	put(owner.table, record.Record{Table: record.TableConnections, Op: record.OpNew, Family: record.IPv4, Attrs: helped})
	w.eventually("the copy has the control connection", 3*time.Second, w.equal(1))

	// The plane's own socket is silent, as the helper is.
	three := append(append(attr(1, []byte{0, 0, 0, 9}), attr(2, []byte{0, 0, 0, 0})...), attr(3, []byte{0, 0, 0, 2})...)
	adjusted := append(append(append([]byte(nil), control...), rest...), attr(15|0x8000, three)...)
	put(owner.plane.table, record.Record{Table: record.TableConnections, Op: record.OpUpdate, Family: record.IPv4, Attrs: adjusted})
	knows := func() bool {
		found := false
		must(t, copied.table.Dump(context.Background(), conntrack.DumpOptions{}, func(m conntrack.Message) error {
			found = found || bytes.Contains(m.Payload, attr(15|0x8000, three))
			return nil
		}))
		return found
	}
	owner.flows(record.OpNew, 1, 2)
	w.eventually("the copy has what was said since", 3*time.Second, w.equal(2))
	if knows() {
		t.Fatal("the copy knows without being told: this test shows nothing")
	}
	full := netip.MustParseAddr("255.255.255.255")
	expected := append(tcpTuple(2, server, client, 0, 40100), tcpTuple(3, full, full, 0, 0xffff)...)
	expected = append(expected, tcpTuple(1, client, server, 40021, 21)...)
	expected = append(expected, attr(6, []byte("ftp\x00"))...)
	put(owner.table, record.Record{Table: record.TableExpectations, Op: record.OpNew, Family: record.IPv4, Attrs: expected})
	w.eventually("the copy knows the adjustment", 3*time.Second, knows)
}

// TestMastersComeFirst: of a full sync the connections that another one's expectation let begin come last, and keep their master.
func TestMastersComeFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 1)
	w.ready()
	owner, joiner := w.members[0], w.members[1]
	joiner.halt()
	client, server := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("198.51.100.7")
	rest := append(attr(3, []byte{0, 0, 0, 14}), attr(7, []byte{0, 0, 2, 88})...)
	rest = append(rest, attr(4|0x8000, attr(1|0x8000, append(attr(1, []byte{3}), append(attr(4, []byte{8, 0xff}), attr(5, []byte{8, 0xff})...)...)))...)
	connection := func(sport, dport uint16) []byte {
		return append(append(tcpTuple(1, client, server, sport, dport), tcpTuple(2, server, client, dport, sport)...), rest...)
	}
	const children = 3000
	rs := []record.Record{{Table: record.TableConnections, Op: record.OpNew, Family: record.IPv4, Attrs: connection(40021, 21)}}
	for i := range uint16(children) {
		child := append(connection(20000+i, 50000), tcpTuple(14, client, server, 40021, 21)...)
		rs = append(rs, record.Record{Table: record.TableConnections, Op: record.OpNew, Family: record.IPv4, Attrs: child})
	}
	for len(rs) > 0 {
		n := min(256, len(rs))
		owner.gets(rs[:n])
		rs = rs[n:]
	}
	of := func(m *member) (n int) {
		must(t, m.table.Dump(context.Background(), conntrack.DumpOptions{}, func(msg conntrack.Message) error {
			if r, err := record.FromMessage(nil, msg.Type, msg.Flags, msg.Payload); err == nil && r.HasMaster() {
				n++
			}
			return nil
		}))
		return n
	}
	if n := of(owner); n != children {
		t.Fatalf("%d of the owner's connections have a master: this test shows nothing", n)
	}
	joiner.start()
	w.hello()
	w.eventually("the joiner has the owner's table", 10*time.Second, w.equal(children+1))
	if n := of(joiner); n != children {
		t.Errorf("%d of %d copies have a master", n, children)
	}
}
