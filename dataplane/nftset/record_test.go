// SPDX-License-Identifier: Apache-2.0

package nftset

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

func TestParseSet(t *testing.T) {
	for text, want := range map[string]Set{
		"inet filter blocked":      {1, "filter", "blocked"},
		" ip6  a   b ":             {10, "a", "b"},
		"ip filter":                {},
		"ipx filter blocked":       {},
		"inet filter blocked list": {},
		"inet filter " + strings.Repeat("x", maxName+1): {},
	} {
		s, err := ParseSet(text)
		if s != want || (err == nil) != (want != Set{}) {
			t.Errorf("%q: %+v, %v", text, s, err)
		}
		if again, err2 := ParseSet(s.String()); err == nil && (err2 != nil || again != s) {
			t.Errorf("%q reads as %+v, %v", s, again, err2)
		}
	}
}

// value is a NFTA_DATA_VALUE of some bytes.
func value(b ...byte) []byte { return appendAttr(nil, 1, b) }

// verdict is a NFTA_DATA_VERDICT.
func verdict(code int32, chain string) []byte {
	b := appendU32(nil, 1, uint32(code))
	if chain != "" {
		b = appendString(b, 2, chain)
	}
	return appendAttr(nil, 2|nested, b)
}

// expression is an element's attribute of one expression.
func expression(name string, data []byte) []byte {
	return appendAttr(nil, elemExpr|nested, appendAttr(appendString(nil, 1, name), 2|nested, data))
}

// samples has an item of each kind.
func samples() []item {
	set := Set{1, "filter", "blocked"}
	counter := appendU64(appendU64(nil, 1, 700), 2, 7)
	return []item{
		{set: set, op: record.OpNew, round: 7, elem: element{key: value(192, 0, 2, 1), timeout: 3600e3, hasTimeout: true, expires: 3000e3}},
		{set: set, op: record.OpDelete, round: 7, elem: element{key: value(192, 0, 2, 1)}},
		{set: set, op: record.OpUpdate, round: 7, elem: element{
			key: value(22), data: verdict(-3, "good"), user: []byte("\x00\x08by hand\x00"), exprs: expression("counter", counter),
		}},
		{set: set, op: record.OpUpdate, round: 7, elem: element{key: value(10, 0, 0, 0), end: value(11, 0, 0, 0)}},
		{set: set, op: record.OpUpdate, round: 7, elem: element{key: value(1, 2), keyEnd: value(1, 9), objref: []byte("seen\x00")}},
		{set: set, op: record.OpUpdate, round: 7, elem: element{flags: flagCatchall, data: value(0, 0, 0, 77)}},
		{set: set, op: record.OpUpdate, round: 8, ends: true, count: 5},
	}
}

// TestRecordGolden pins the wire format on little-endian machines, which all are that the project builds for.
func TestRecordGolden(t *testing.T) {
	names := "0b000100 66696c7465720000 0c000200 626c6f636b656400"
	round := "08004000 00000007"
	for i, want := range []string{
		names + "2c000380 28000180 0c000180 08000100c0000201 0c000400 000000000036ee80 0c000500 00000000002dc6c0" + round,
		names + "14000380 10000180 0c000180 08000100c0000201" + round,
	} {
		it := samples()[i]
		r := it.record(nil)
		w, err := hex.DecodeString(strings.ReplaceAll(want, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 && !bytes.Equal(r.Attrs, w) {
			t.Errorf("sample %d:\n%x\nwant\n%x", i, r.Attrs, w)
		}
		if r.Table != record.TableSets || r.Family != 1 {
			t.Errorf("sample %d: %+v", i, r)
		}
	}
}

func TestRecordsBothWays(t *testing.T) {
	for i, want := range samples() {
		r := want.record([]byte("before"))
		back, rest, err := record.Parse(r.Append(nil))
		if err != nil || len(rest) != 0 {
			t.Fatalf("sample %d: %v, %d bytes left", i, err, len(rest))
		}
		got, reason := parse(back)
		if reason != ReasonNone || !reflect.DeepEqual(got, want) {
			t.Errorf("sample %d: %v, %+v, want %+v", i, reason, got, want)
		}
	}
}

// TestHostileRecords: what no Reader makes is refused before the kernel sees it.
func TestHostileRecords(t *testing.T) {
	good := func() element { return element{key: value(192, 0, 2, 1)} }
	with := func(f func(*element)) item {
		it := item{set: Set{1, "filter", "blocked"}, op: record.OpNew, elem: good()}
		f(&it.elem)
		return it
	}
	long := bytes.Repeat([]byte{1}, maxValue+1)
	for _, tc := range []struct {
		name string
		it   item
		want Reason
	}{
		{"nothing wrong", with(func(*element) {}), ReasonNone},
		{"a key of another type", with(func(e *element) { e.key = appendAttr(nil, 2, []byte{1}) }), ReasonKey},
		{"an empty key", with(func(e *element) { e.key = value() }), ReasonKey},
		{"a key too long", with(func(e *element) { e.key = value(long...) }), ReasonKey},
		{"two keys in one", with(func(e *element) { e.key = append(value(1), value(2)...) }), ReasonKey},
		{"a last key too long", with(func(e *element) { e.keyEnd = value(long...) }), ReasonKey},
		{"a catchall with a key", with(func(e *element) { e.flags = flagCatchall }), ReasonKey},
		{"an unknown flag", with(func(e *element) { e.flags = 4 }), ReasonValue},
		{"only the end of an interval", with(func(e *element) { e.flags = flagIntervalEnd }), ReasonMalformed},
		{"data too long", with(func(e *element) { e.data = value(long...) }), ReasonValue},
		{"data that is none", with(func(e *element) { e.data = []byte{1, 2, 3} }), ReasonValue},
		{"a queue", with(func(e *element) { e.data = verdict(3, "") }), ReasonValue},
		{"a verdict for stolen packets", with(func(e *element) { e.data = verdict(2, "") }), ReasonValue},
		{"a jump to nowhere", with(func(e *element) { e.data = verdict(-3, "") }), ReasonValue},
		{"a drop to somewhere", with(func(e *element) { e.data = verdict(0, "good") }), ReasonValue},
		{"a verdict without a code", with(func(e *element) { e.data = appendAttr(nil, 2, appendString(nil, 2, "x")) }), ReasonValue},
		{"an object without a name", with(func(e *element) { e.objref = []byte{0} }), ReasonValue},
		{"an object with a zero in its name", with(func(e *element) { e.objref = []byte("a\x00b") }), ReasonValue},
		{"a comment that a terminal obeys", with(func(e *element) { e.user = []byte("\x00\x04\x1b[m\x00") }), ReasonValue},
		{"a comment without an end", with(func(e *element) { e.user = []byte("\x00\x02ab") }), ReasonValue},
		{"a comment over the end", with(func(e *element) { e.user = []byte("\x00\x09ab\x00") }), ReasonValue},
		{"user data of another kind", with(func(e *element) { e.user = []byte("\x07\x01a") }), ReasonValue},
		{"a time-out of centuries", with(func(e *element) { e.timeout, e.hasTimeout = 1<<62, true }), ReasonTime},
		{"an expiry of centuries", with(func(e *element) { e.expires = 1<<64 - 1 }), ReasonTime},
		{"an expiry after the time-out", with(func(e *element) { e.timeout, e.hasTimeout, e.expires = 1000, true, 1001 }), ReasonTime},
		{"an expression that acts", with(func(e *element) { e.exprs = expression("queue", nil) }), ReasonExpression},
		{"an expression with more than numbers", with(func(e *element) { e.exprs = expression("limit", appendAttr(nil, 1, long)) }), ReasonExpression},
		{"an expression without a name", with(func(e *element) { e.exprs = appendAttr(nil, elemExpr, nil) }), ReasonExpression},
		{"three expressions", with(func(e *element) {
			one := appendAttr(nil, listElem, appendString(nil, 1, "last"))
			e.exprs = appendAttr(nil, elemExpressions, bytes.Repeat(one, 3))
		}), ReasonExpression},
		{"no expressions", with(func(e *element) { e.exprs = appendAttr(nil, elemExpressions, nil) }), ReasonExpression},
		{"an interval with a last key too", with(func(e *element) { e.end, e.keyEnd = value(9), value(8) }), ReasonMalformed},
		{"a deletion with data", func() item {
			it := with(func(e *element) { e.data = value(1) })
			it.op = record.OpDelete
			return it
		}(), ReasonMalformed},
		{"no table", item{set: Set{1, "", "blocked"}, op: record.OpNew, elem: good()}, ReasonMalformed},
		{"no set", item{set: Set{1, "filter", ""}, op: record.OpNew, elem: good()}, ReasonMalformed},
		{"a zero in a name", item{set: Set{1, "fil\x00ter", "blocked"}, op: record.OpNew, elem: good()}, ReasonMalformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, reason := parse(tc.it.record(nil)); reason != tc.want {
				t.Errorf("%v, want %v", reason, tc.want)
			}
		})
	}
	element := samples()[0]
	whole := element.record(nil).Attrs
	list, _ := beginAttr(nil, listElements)
	for name, attrs := range map[string][]byte{
		"nothing":                nil,
		"half an attribute":      whole[:len(whole)-1],
		"no element":             whole[:24],
		"an empty list":          append(bytes.Clone(whole[:24]), endAttr(list, 0)...),
		"an element and the end": appendU32(bytes.Clone(whole), attrCount, 1),
		"two lists":              append(bytes.Clone(whole), whole[24:]...),
		"an unknown attribute":   appendU32(bytes.Clone(whole), 63, 1),
		"a round of two bytes":   appendAttr(bytes.Clone(whole), attrRound, []byte{1, 2}),
	} {
		if _, reason := parse(record.Record{Table: record.TableSets, Op: record.OpNew, Family: 1, Attrs: attrs}); reason != ReasonMalformed {
			t.Errorf("%s: %v", name, reason)
		}
	}
	for _, r := range []record.Record{
		{Table: record.TableConnections, Op: record.OpNew, Family: 1, Attrs: whole},
		{Table: record.TableSets, Op: 4, Family: 1, Attrs: whole},
	} {
		if _, reason := parse(r); reason != ReasonMalformed {
			t.Errorf("%+v: %v", r, reason)
		}
	}
	for r := range Reason(Reasons + 1) {
		if s := r.String(); s == "" {
			t.Errorf("reason %d has no name", r)
		}
	}
}

// TestPairIntervals: the kernel's elements of a set of intervals, in any order.
func TestPairIntervals(t *testing.T) {
	start := func(k byte) element { return element{key: value(k)} }
	end := func(k byte) element { return element{key: value(k), flags: flagIntervalEnd} }
	catchall := element{flags: flagCatchall}
	closed := func(a, b byte) element { return element{key: value(a), end: value(b)} }
	for _, tc := range []struct {
		name     string
		in, want []element
	}{
		{"none", nil, nil},
		{"one", []element{start(5), end(9)}, []element{closed(5, 9)}},
		{"downwards, with nft's zero", []element{end(9), start(5), end(0)}, []element{closed(5, 9)}},
		{"side by side", []element{start(9), end(9), start(5), end(12)}, []element{closed(5, 9), closed(9, 12)}},
		{"to the last key", []element{start(5), end(9), start(240)}, []element{closed(5, 9), start(240)}},
		{"an end whose beginning has expired", []element{start(5), end(9), end(12)}, []element{closed(5, 9)}},
		{"with a catchall", []element{catchall, start(5), end(9)}, []element{closed(5, 9), catchall}},
	} {
		if got := pairIntervals(tc.in); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
	}
}

// FuzzRecord takes records from a member that holds the key and behaves arbitrarily. What is let through says the same when it is
// written again, and nothing makes the parser panic.
func FuzzRecord(f *testing.F) {
	for _, it := range samples() {
		r := it.record(nil)
		f.Add(byte(r.Op), r.Family, r.Attrs)
	}
	f.Fuzz(func(t *testing.T, op, family byte, attrs []byte) {
		it, reason := parse(record.Record{Table: record.TableSets, Op: record.Op(op), Family: family, Attrs: attrs})
		_ = reason.String()
		if reason != ReasonNone {
			return
		}
		_, _ = it.elem.identity(), it.set.String()
		again, reason := parse(it.record(nil))
		if reason != ReasonNone || !sameItem(&again, &it) {
			t.Fatalf("%+v, then %v, %+v", it, reason, again)
		}
	})
}

func sameItem(a, b *item) bool {
	return a.set == b.set && a.op == b.op && a.round == b.round && a.ends == b.ends && a.count == b.count &&
		a.elem.identity() == b.elem.identity() && a.elem.sameValue(&b.elem) && a.elem.expires == b.elem.expires
}

// FuzzElements takes what a kernel might say of a set's elements.
func FuzzElements(f *testing.F) {
	for _, it := range samples() {
		f.Add(it.elem.append(nil))
	}
	f.Fuzz(func(t *testing.T, list []byte) {
		var all []element
		for len(list) > 0 && len(all) < 100 {
			_, v, rest, err := nextAttr(list)
			if err != nil {
				break
			}
			list = rest
			if e, err := parseElement(v); err == nil {
				all = append(all, e.clone())
			}
		}
		for _, e := range pairIntervals(all) {
			_ = e.identity()
			if e.flags == flagIntervalEnd {
				t.Fatalf("an end stands alone: %+v", e)
			}
		}
	})
}
