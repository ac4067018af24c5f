// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"testing"
)

// TestMerge: of two records of one connection the newer one's word counts, and the older one's where the newer one says nothing.
func TestMerge(t *testing.T) {
	attrs := func(list ...[]byte) []byte { return bytes.Join(list, nil) }
	a := func(typ uint16, v string) []byte { return appendBytes(nil, typ, []byte(v)) }
	rec := func(table Table, op Op, attrs []byte) Record {
		return Record{Table: table, Op: op, Family: IPv4, Attrs: attrs}
	}
	tuples := attrs(a(ctaTupleOrig|nlaNested, "orig"), a(ctaTupleReply|nlaNested, "repl"))
	first := attrs(tuples, a(ctaStatus, "1111"), a(ctaHelp|nlaNested, "ftp"), a(ctaMark, "mmmm"), a(ctaTupleMaster|nlaNested, "master"), a(ctaLabels, "labels"))
	second := attrs(tuples, a(ctaStatus, "2222"), a(ctaMark, "MMMM"))
	both := attrs(second, a(ctaHelp|nlaNested, "ftp"), a(ctaTupleMaster|nlaNested, "master"), a(ctaLabels, "labels"))
	long := attrs(tuples, a(ctaLabels, string(make([]byte, MaxLen-60))))
	for _, tc := range []struct {
		name               string
		older, newer, want Record
	}{
		{"update after update", rec(1, OpUpdate, first), rec(1, OpUpdate, second), rec(1, OpUpdate, both)},
		{"update after new", rec(1, OpNew, first), rec(1, OpUpdate, second), rec(1, OpNew, both)},
		{"of an expectation", rec(2, OpNew, first), rec(2, OpUpdate, second), rec(2, OpNew, both)},
		{"nothing new", rec(1, OpNew, second), rec(1, OpUpdate, tuples), rec(1, OpNew, attrs(tuples, a(ctaStatus, "2222"), a(ctaMark, "MMMM")))},
		{"deletion", rec(1, OpUpdate, first), rec(1, OpDelete, tuples), rec(1, OpDelete, tuples)},
		{"after a deletion", rec(1, OpDelete, first), rec(1, OpNew, tuples), rec(1, OpNew, tuples)},
		{"an element", rec(3, OpNew, first), rec(3, OpUpdate, second), rec(3, OpUpdate, second)},
		{"too long", rec(1, OpNew, first), rec(1, OpUpdate, long), rec(1, OpUpdate, long)},
		{"no attributes", rec(1, OpNew, []byte{9, 0, 1, 0}), rec(1, OpUpdate, second), rec(1, OpUpdate, second)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			older, newer := tc.older.Append(nil), tc.newer.Append(nil)
			got := Merge([]byte("before"), older, newer)
			if want := append([]byte("before"), tc.want.Append(nil)...); !bytes.Equal(got, want) {
				t.Errorf("got  %x\nwant %x", got, want)
			}
		})
	}
	older, newer := rec(1, OpNew, first).Append(nil), rec(1, OpUpdate, second).Append(nil)
	buf := make([]byte, 0, MaxLen)
	if n := testing.AllocsPerRun(100, func() { buf = Merge(buf[:0], older, newer) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
