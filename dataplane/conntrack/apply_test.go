// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"errors"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// as returns the record with another op.
func as(op record.Op, r record.Record) record.Record {
	r.Op = op
	return r
}

// without returns the record without some attributes.
func without(r record.Record, drop ...uint16) record.Record {
	r.Attrs = appendWithout(nil, r.Attrs, of(drop...))
	return r
}

// with returns the record with the attributes that f appends.
func with(r record.Record, f func([]byte) []byte) record.Record {
	r.Attrs = f(append([]byte(nil), r.Attrs...))
	return r
}

// snat returns the record of a flow that is translated to 203.0.113.1 and a port.
func snat(r record.Record, port uint16) record.Record {
	return with(r, func(b []byte) []byte {
		return nest(b, ctaNatSrc, func(b []byte) []byte {
			b = append(appendHead(b, 1, 4), 203, 0, 113, 1)
			return nest(b, 3, func(b []byte) []byte { return appendU16(b, 1, port) })
		})
	})
}

// text is a member's table as records say it, by the entry's source address.
func (g *gateway) text(t testing.TB) map[string]string {
	t.Helper()
	m := make(map[string]string)
	for _, r := range g.records(t) {
		tuple, err := record.Original(r)
		if err != nil {
			t.Fatal(err)
		}
		m[tuple.Src.String()] = record.Text(r)
	}
	return m
}

func TestApply(t *testing.T) {
	g := newMember(t, "m", tracking)
	var displaced []string
	g.table.Displaced = func(m Message) {
		r, err := record.FromMessage(nil, m.Type, m.Flags, m.Payload)
		if err != nil {
			t.Error(err)
		}
		displaced = append(displaced, record.Text(r))
	}
	r, other := flow(1), flow(2)
	assured := with(without(r, ctaStatus), func(b []byte) []byte { return appendU32(b, ctaStatus, 1<<3|statusSeenReply|statusAssured) })
	marked := with(r, func(b []byte) []byte { return appendU32(b, ctaMark, 42) })
	const (
		src   = "src=10.0.0.1"
		snat1 = "dst=203.0.113.1 sport=5000 dport=1111"
		snat2 = "dst=203.0.113.1 sport=5000 dport=2222"
	)
	for _, c := range []struct {
		name      string
		before    []record.Record
		apply     []record.Record
		want      string   // results
		has       []string // what the entry of flow 1 says; nil: it is not there
		displaced string
	}{
		{"new", nil, []record.Record{r}, "created", []string{src}, ""},
		{"new, translated", nil, []record.Record{snat(r, 1111)}, "created", []string{snat1}, ""},
		{"new again", []record.Record{r}, []record.Record{marked}, "updated", []string{"mark=42"}, ""},
		{"new again, translated", []record.Record{snat(r, 1111)}, []record.Record{snat(marked, 1111)}, "updated", []string{"mark=42", snat1}, ""},
		{"new with another translation", []record.Record{snat(r, 1111)}, []record.Record{snat(r, 2222)}, "replaced", []string{snat2}, snat1},
		{"new with none", []record.Record{snat(r, 1111)}, []record.Record{r}, "replaced", []string{"dst=10.0.0.1"}, snat1},
		{"new with less than there is", []record.Record{assured}, []record.Record{r}, "replaced", []string{src}, "[ASSURED]"},
		{"new with more than there is", []record.Record{r}, []record.Record{assured}, "updated", []string{"[ASSURED]"}, ""},
		{"new, its answer another's", []record.Record{snat(other, 1111)}, []record.Record{snat(r, 1111)}, "replaced", []string{snat1}, "src=10.0.0.2"},
		{"new, tuple and answer two others'", []record.Record{snat(other, 1111), snat(r, 2222)}, []record.Record{snat(r, 1111)}, "replaced", []string{snat1},
			"dport=2222 src=10.0.0.2"},
		{"update", []record.Record{r}, []record.Record{as(record.OpUpdate, marked)}, "updated", []string{"mark=42"}, ""},
		{"update, translated", []record.Record{snat(r, 1111)}, []record.Record{as(record.OpUpdate, snat(marked, 1111))}, "updated", []string{"mark=42", snat1}, ""},
		{"update of nothing", nil, []record.Record{as(record.OpUpdate, snat(marked, 1111))}, "created", []string{"mark=42", snat1}, ""},
		{"update with less than there is", []record.Record{assured}, []record.Record{as(record.OpUpdate, marked)}, "replaced", []string{"mark=42"}, "[ASSURED]"},
		{"delete", []record.Record{snat(r, 1111)}, []record.Record{as(record.OpDelete, r)}, "deleted", nil, ""},
		{"delete of nothing", nil, []record.Record{as(record.OpDelete, r)}, "absent", nil, ""},
		{"a life in one batch", nil, []record.Record{r, as(record.OpUpdate, assured), as(record.OpDelete, r)}, "created updated deleted", nil, ""},
		{"one after the other in one batch", []record.Record{snat(r, 1111)}, []record.Record{as(record.OpDelete, r), snat(r, 2222)}, "deleted created", []string{snat2}, ""},
		{"refused at first, then deleted", []record.Record{snat(r, 1111)}, []record.Record{snat(r, 2222), as(record.OpDelete, r)}, "superseded deleted", nil, ""},
		{"refused at first, then renewed", []record.Record{snat(r, 1111)}, []record.Record{r, snat(r, 2222)}, "superseded replaced", []string{snat2}, snat1},
		{"refused at first, then changed", []record.Record{snat(r, 1111)}, []record.Record{snat(r, 2222), as(record.OpUpdate, snat(marked, 2222)), as(record.OpUpdate, snat(with(assured, func(b []byte) []byte {
			return appendU32(b, ctaMark, 42)
		}), 2222))},
			"replaced updated updated", []string{"mark=42", snat2, "[ASSURED]"}, snat1},
		{"changed and ended before it began", nil, []record.Record{as(record.OpUpdate, marked), as(record.OpDelete, r)}, "superseded absent", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			g.Run("conntrack", "-F")
			for _, r := range c.before {
				g.apply(t, Created, r)
			}
			displaced = nil
			var got []string
			for _, o := range g.outcomes(t, c.apply...) {
				got = append(got, o.Result.String())
				if o.Errno != 0 || o.Without != 0 {
					t.Errorf("outcome %+v", o)
				}
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("results %q, want %q", got, c.want)
			}
			line := g.text(t)["10.0.0.1"]
			if c.has == nil && line != "" {
				t.Errorf("it is there: %s", line)
			}
			for _, w := range c.has {
				if !strings.Contains(line, w) {
					t.Errorf("it says %q, want %q", line, w)
				}
			}
			all := strings.Join(displaced, " ")
			for _, w := range strings.Fields(c.displaced) {
				if !strings.Contains(all, w) {
					t.Errorf("displaced %q, want %q", all, c.displaced)
				}
			}
			if c.displaced == "" && all != "" {
				t.Errorf("displaced %q, want nothing", all)
			}
		})
	}
}

// TestApplyKeepsThePort: where only the destination is translated and another entry has the answer's tuple, the kernel must not choose
// another source port.
func TestApplyKeepsThePort(t *testing.T) {
	g := newMember(t, "m", tracking)
	for _, r := range []record.Record{flow(1), ping(1)} {
		direct, err := record.Original(r)
		if err != nil {
			t.Fatal(err)
		}
		// The same source aims at another address, and is translated to the one that it spoke to directly.
		translated := with(r, func(b []byte) []byte {
			orig, reply := find(b, ctaTupleOrig), find(b, ctaTupleReply)
			dst := bytes.Index(orig, direct.Dst.AsSlice())
			orig[dst+3] ^= 3
			src := bytes.Index(reply, direct.Dst.AsSlice())
			reply[src+3] ^= 3
			port := direct.DstPort
			if direct.ICMPType != 0 {
				port = direct.ICMPID
			}
			return nest(b, ctaNatDst, func(b []byte) []byte {
				b = append(appendHead(b, 1, 4), direct.Dst.AsSlice()...)
				return nest(b, 3, func(b []byte) []byte { return appendU16(b, 1, port) })
			})
		})
		g.apply(t, Created, translated)
		alone := g.listing(t)
		g.Run("conntrack", "-F")
		g.apply(t, Created, r)
		g.apply(t, Replaced, translated)
		if got := g.listing(t); fmt.Sprint(got) != fmt.Sprint(alone) {
			t.Errorf("%q, want %q", got, alone)
		}
		if reply, _ := record.Reply(g.records(t)[0]); reply.DstPort != direct.SrcPort || reply.ICMPID != direct.ICMPID || reply.Src != direct.Dst {
			t.Errorf("the answer is %+v", reply)
		}
		if src, dst := g.list(t, DumpOptions{Status: 1 << 4, StatusMask: 1 << 4}), g.list(t, DumpOptions{Status: 1 << 5, StatusMask: 1 << 5}); len(src) != 0 || len(dst) != 1 {
			t.Errorf("with source NAT: %q, with destination NAT: %q", src, dst)
		}
		g.Run("conntrack", "-F")
	}
}

// TestKeysAreNotTranslated: the kernel takes another key of GRE and passes over it, so such connections are no records at all.
func TestKeysAreNotTranslated(t *testing.T) {
	g := newMember(t, "m", tracking)
	r := with(flow(1), func(b []byte) []byte {
		return bytes.ReplaceAll(b, []byte{5, 0, 1, 0, unix.IPPROTO_UDP}, []byte{5, 0, 1, 0, unix.IPPROTO_GRE})
	})
	g.apply(t, Created, snat(r, 1111))
	if reply, err := record.Reply(g.records(t)[0]); err != nil || reply.Dst.String() != "203.0.113.1" || reply.DstPort != 1000 {
		t.Errorf("the answer is %+v %v, want an address that is translated and a key that is not", reply, err)
	}
}

// ping is a record of an echo without translation.
func ping(i byte) record.Record {
	tuple := func(typ uint16, from, to, icmp byte) func([]byte) []byte {
		return func(b []byte) []byte {
			return nest(b, typ, func(b []byte) []byte {
				b = nest(b, ctaTupleIP, func(b []byte) []byte {
					b = append(appendHead(b, 1, 4), 10, 0, 0, from)
					return append(appendHead(b, 2, 4), 10, 0, 0, to)
				})
				return nest(b, ctaTupleProto, func(b []byte) []byte {
					b = appendU8(b, ctaProtoNum, 1)
					b = appendU16(b, 4, 77)
					return appendU8(appendU8(b, 5, icmp), 6, 0)
				})
			})
		}
	}
	r := flow(int(i))
	r = without(r, ctaTupleOrig, ctaTupleReply)
	return with(with(r, tuple(ctaTupleOrig, i, 200, 8)), tuple(ctaTupleReply, 200, i, 0))
}

// TestApplyOnlyOne shows that no record reaches entries other than its own: above all none empties the table.
func TestApplyOnlyOne(t *testing.T) {
	g := newMember(t, "m", tracking)
	g.apply(t, Created, flow(1), flow(2), flow(3))
	filter := func(b []byte) []byte {
		return nest(b, ctaFilter, func(b []byte) []byte { return append(appendHead(b, ctaFilterOrigFlags, 4), 0, 0, 0, 0) })
	}
	for _, c := range []struct {
		name string
		r    record.Record
		want Outcome
	}{
		{"no tuple", without(as(record.OpDelete, flow(1)), ctaTupleOrig, ctaTupleReply), Outcome{Result: Refused, Errno: unix.EINVAL}},
		{"nothing at all", record.Record{Table: record.TableConnections, Op: record.OpDelete, Family: unix.AF_INET}, Outcome{Result: Refused, Errno: unix.EINVAL}},
		{"no expectation", record.Record{Table: record.TableExpectations, Op: record.OpDelete, Family: unix.AF_INET}, Outcome{Result: Refused, Errno: unix.EINVAL}},
		{"a broken attribute", record.Record{Table: record.TableConnections, Op: record.OpDelete, Family: unix.AF_INET, Attrs: []byte{200, 0, 1, 0x80}}, Outcome{Result: Refused, Errno: unix.EINVAL}},
		{"a filter", with(as(record.OpDelete, flow(9)), filter), Outcome{Result: Absent}},
		{"another table", record.Record{Table: record.TableSets, Op: record.OpDelete, Family: unix.AF_INET}, Outcome{Result: Refused, Errno: unix.EPROTONOSUPPORT}},
		{"another op", as(9, flow(1)), Outcome{Result: Refused, Errno: unix.EINVAL}},
		{"another family", record.Record{Table: record.TableConnections, Op: record.OpNew, Family: 99, Attrs: flow(9).Attrs}, Outcome{Result: Refused, Errno: unix.EOPNOTSUPP}},
	} {
		if o := g.outcomes(t, c.r)[0]; o != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, o, c.want)
		}
	}
	if u, err := g.table.Count(); err != nil || u.Entries != 3 {
		t.Errorf("%d entries are left of 3, %v", u.Entries, err)
	}
	// The same again one layer below, where Apply has judged the record already.
	for _, attrs := range [][]byte{nil, appendU16(nil, ctaZone, 0), filter(without(flow(1), 3, 7).Attrs)} {
		g.table.mu.Lock()
		g.table.deletion(msgDelete, flow(1), request{}, func(b []byte) []byte { return append(b, attrs...) })
		err := g.table.exchange(func(request, unix.Errno, Message) {})
		g.table.mu.Unlock()
		if u, err2 := g.table.Count(); err != nil || err2 != nil || u.Entries != 3 {
			t.Fatalf("a deletion by % x: %d entries are left of 3, %v %v", attrs, u.Entries, err, err2)
		}
	}
}

// TestApplyMany puts in more than one batch, in all orders of batches' ends.
func TestApplyMany(t *testing.T) {
	g := newMember(t, "m", tracking)
	for _, n := range []int{1, maxRequests - 1, maxRequests, maxRequests + 1, 5 * maxRequests} {
		var rs []record.Record
		for i := range n {
			rs = append(rs, flow(i))
		}
		g.apply(t, Created, rs...)
		if u, err := g.table.Count(); err != nil || int(u.Entries) != n {
			t.Errorf("%d entries after %d records, %v", u.Entries, n, err)
		}
		g.apply(t, Updated, rs...)
		for i := range rs {
			rs[i] = snat(rs[i], uint16(i+1))
		}
		g.apply(t, Replaced, rs...)
		for i := range rs {
			rs[i].Op = record.OpDelete
		}
		g.apply(t, Deleted, rs...)
		g.apply(t, Absent, rs...)
	}
}

func TestApplyWithoutParts(t *testing.T) {
	b := newMember(t, "b", tracking) // without labels
	labelled := flow(1)
	labelled = with(labelled, func(b []byte) []byte {
		return append(appendHead(b, ctaLabels, 16), 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	})
	b.apply(t, Created, labelled) // says the kernel, and keeps none
	if got := b.text(t)["10.0.0.1"]; strings.Contains(got, "labels") {
		t.Errorf("there are labels: %s", got)
	}
	if o := b.outcomes(t, as(record.OpUpdate, labelled))[0]; o != (Outcome{Result: Updated, Without: PartLabels}) {
		t.Errorf("labels where there are none: %+v", o)
	}
	helper := func(name string) func([]byte) []byte {
		return func(b []byte) []byte {
			return nest(b, ctaHelp, func(b []byte) []byte { return append(append(appendHead(b, 1, len(name)+1), name...), 0) })
		}
	}
	b.insert(t, "tcp", 21)
	var control record.Record
	for _, r := range b.records(t) {
		if tuple, err := record.Original(r); err == nil && tuple.Proto == unix.IPPROTO_TCP {
			control = r
		}
	}
	b.apply(t, Deleted, as(record.OpDelete, control))
	b.apply(t, Created, with(control, helper("ftp")))
	b.apply(t, Deleted, as(record.OpDelete, control))
	if o := b.outcomes(t, with(control, helper("no-such")))[0]; o != (Outcome{Result: Created, Without: PartHelper}) {
		t.Errorf("an unknown helper: %+v", o)
	}
	// Another one is not tried: the kernel would start modprobe for each.
	if n := len(b.table.lacks); n != 1 || !b.table.lacks.has(with(control, helper("no-such"))) || b.table.lacks.has(with(control, helper("ftp"))) {
		t.Errorf("lacking: %v", b.table.lacks)
	}
	b.apply(t, Deleted, as(record.OpDelete, control))
	before := b.table.seq
	if o := b.outcomes(t, with(control, helper("no-such")))[0]; o != (Outcome{Result: Created, Without: PartHelper}) || b.table.seq-before != 1 {
		t.Errorf("an unknown helper once more: %+v with %d requests", o, b.table.seq-before)
	}
	for key := range b.table.lacks {
		b.table.lacks[key] = time.Now().Add(-time.Second)
	}
	if b.table.lacks.has(with(control, helper("no-such"))) || len(b.table.lacks) != 0 {
		t.Error("what was lacking is so for ever")
	}
	// A copy without helper stays without, whatever updates say of one.
	if o := b.outcomes(t, as(record.OpUpdate, with(control, helper("ftp"))))[0]; o != (Outcome{Result: Updated}) {
		t.Errorf("a helper for what has none: %+v", o)
	}

	child := with(flow(2), func(b []byte) []byte {
		return append(append(b, byte(4+len(find(flow(3).Attrs, ctaTupleOrig))), 0, ctaTupleMaster, 0x80), find(flow(3).Attrs, ctaTupleOrig)...)
	})
	if o := b.outcomes(t, child)[0]; o != (Outcome{Result: Created, Without: PartMaster}) {
		t.Errorf("a child without master: %+v", o)
	}
	// The child's update must not fail for the sake of EXPECTED, which the record has and the copy cannot have.
	update := with(without(child, ctaStatus, ctaTupleMaster), func(b []byte) []byte {
		return appendU32(appendU32(b, ctaStatus, 1<<3|statusSeenReply|statusExpected), ctaMark, 7)
	})
	if o := b.outcomes(t, as(record.OpUpdate, update))[0]; o != (Outcome{Result: Updated}) {
		t.Errorf("an update of a child without master: %+v", o)
	}
	b.apply(t, Deleted, as(record.OpDelete, child))
	// In one batch the order does not matter.
	b.apply(t, Created, child, flow(3))
	if got := b.text(t)["10.0.0.2"]; !strings.Contains(got, "src=10.0.0.3") {
		t.Errorf("the child has no master: %s", got)
	}
	if o := b.outcomes(t, as(record.OpUpdate, update))[0]; o != (Outcome{Result: Updated}) {
		t.Errorf("an update of a child with master: %+v", o)
	}
	// And one without EXPECTED, as another entry of the owner's would be, changes what there is.
	if o := b.outcomes(t, as(record.OpUpdate, with(flow(2), func(b []byte) []byte { return appendU32(b, ctaMark, 8) })))[0]; o != (Outcome{Result: Updated}) {
		t.Errorf("an update that does not know of the master: %+v", o)
	}
	// When the master comes later, NEW puts the child right.
	b.Run("conntrack", "-F")
	b.outcomes(t, child)
	b.apply(t, Created, flow(3))
	b.apply(t, Replaced, child)
}

func TestApplyExpectations(t *testing.T) {
	p := newPair(t)
	p.ftp(func(string, func(string) error) {})
	b := p.b
	rs := p.a.records(t)
	expectation := rs[len(rs)-1]
	if expectation.Table != record.TableExpectations {
		t.Fatalf("no expectation among %d records", len(rs))
	}
	if o := b.outcomes(t, expectation)[0]; o != (Outcome{Result: Refused, Errno: unix.ENOENT}) {
		t.Errorf("an expectation without master: %+v", o)
	}
	// Its master may come behind it.
	b.apply(t, Created, append([]record.Record{expectation}, rs[:len(rs)-1]...)...)
	if a, b := p.a.listing(t, "expect"), b.listing(t, "expect"); fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("conntrack -L expect\noriginal %q\ncopy %q", a, b)
	}
	b.apply(t, Updated, expectation)
	b.apply(t, Updated, as(record.OpUpdate, expectation))
	b.apply(t, Deleted, as(record.OpDelete, expectation))
	b.apply(t, Absent, as(record.OpDelete, expectation))
	if got := b.listing(t, "expect"); len(got) != 0 {
		t.Errorf("expectations are left: %q", got)
	}
}

func TestTableClosed(t *testing.T) {
	g := newMember(t, "m", tracking)
	if err := g.table.Close(); err != nil {
		t.Fatal(err)
	}
	if err := g.table.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("closed twice: %v", err)
	}
	if _, err := g.table.Count(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Count: %v", err)
	}
	if err := g.table.Apply([]record.Record{flow(1)}, make([]Outcome, 1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Apply: %v", err)
	}
}

func TestApplyAllocatesNothing(t *testing.T) {
	g := newMember(t, "m", tracking)
	rs, out := []record.Record{flow(1), as(record.OpUpdate, flow(1)), as(record.OpDelete, flow(1))}, make([]Outcome, 3)
	g.apply(t, Created, flow(1))
	g.apply(t, Deleted, as(record.OpDelete, flow(1)))
	if n := testing.AllocsPerRun(100, func() {
		if err := g.table.Apply(rs, out); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("Apply allocates %v times", n)
	}
}
