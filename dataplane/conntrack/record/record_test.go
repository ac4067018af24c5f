// SPDX-License-Identifier: Apache-2.0

package record

import (
	"errors"
	"slices"
	"testing"
)

func TestParse(t *testing.T) {
	good := Record{Table: TableSets, Op: OpNew, Family: 7, Attrs: []byte{1, 2, 3, 4, 5}}.Append(nil)
	if want := []byte{0, 13, 3, 1, 7, 0, 0, 0, 1, 2, 3, 4, 5, 0, 0, 0}; !slices.Equal(good, want) {
		t.Fatalf("% x, want % x", good, want)
	}
	if _, rest, err := Parse(append(slices.Clone(good), 9)); err != nil || !slices.Equal(rest, []byte{9}) {
		t.Errorf("% x %v", rest, err)
	}
	for name, change := range map[string]func([]byte) []byte{
		"nothing":       func([]byte) []byte { return nil },
		"half a header": func(b []byte) []byte { return b[:7] },
		"cut off":       func(b []byte) []byte { return b[:15] },
		"length below":  func(b []byte) []byte { b[1] = 7; return b },
		"length beyond": func(b []byte) []byte { b[1] = 17; return b },
		"longer than a record": func([]byte) []byte {
			return Record{Table: TableSets, Op: OpNew, Attrs: make([]byte, MaxLen)}.Append(nil)
		},
		"table 0":        func(b []byte) []byte { b[2] = 0; return b },
		"unknown table":  func(b []byte) []byte { b[2] = 5; return b },
		"op 0":           func(b []byte) []byte { b[3] = 0; return b },
		"unknown op":     func(b []byte) []byte { b[3] = 4; return b },
		"reserved bytes": func(b []byte) []byte { b[6] = 1; return b },
		"padding":        func(b []byte) []byte { b[15] = 1; return b },
	} {
		if _, _, err := Parse(change(slices.Clone(good))); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMark(t *testing.T) {
	want := Mark{Sum: Sum{Entries: -3, Xor: 1 << 63}}
	if n := len(AppendMark(nil, want).Attrs); n != 16 {
		t.Errorf("in mode ha a mark has %d bytes: older readers take 16", n)
	}
	for _, m := range []Mark{
		want, {Sum: want.Sum, Rules: 1 << 62, Term: 0x01020304, Number: 0x05060708, Commit: true}, {Rules: 1, Blank: true}, {Rules: 9, Blank: true, Commit: true},
	} {
		if got, err := ParseMark(AppendMark([]byte("before"), m)); got != m || err != nil {
			t.Errorf("%+v %v, want %+v", got, err, m)
		}
	}
	want.Rules = 7
	r := AppendMark(nil, want)
	strange, ruleless := slices.Clone(r.Attrs), slices.Clone(r.Attrs)
	strange[32], ruleless[23] = 4, 0
	if got, err := ParseMark(r); got != want || err != nil {
		t.Errorf("%+v %v", got, err)
	}
	if back, _, err := Parse(r.Append(nil)); err != nil {
		t.Error(err)
	} else if got, err := ParseMark(back); got != want || err != nil {
		t.Errorf("%+v %v", got, err)
	}
	for _, bad := range []Record{
		{Table: TableConnections, Op: OpNew, Attrs: r.Attrs}, {Table: TableMarks, Op: OpDelete, Attrs: r.Attrs},
		{Table: TableMarks, Op: OpNew, Family: IPv4, Attrs: r.Attrs}, {Table: TableMarks, Op: OpNew, Attrs: r.Attrs[:15]},
		{Table: TableMarks, Op: OpNew, Attrs: r.Attrs[:20]}, {Table: TableMarks, Op: OpNew, Attrs: strange}, {Table: TableMarks, Op: OpNew, Attrs: ruleless},
	} {
		if _, err := ParseMark(bad); err == nil {
			t.Errorf("taken: %+v", bad)
		}
	}
}

func TestNames(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{TableConnections.String(), "connections"}, {TableExpectations.String(), "expectations"}, {TableSets.String(), "sets"},
		{TableMarks.String(), "marks"}, {Table(9).String(), "table-9"}, {OpNew.String(), "new"}, {OpUpdate.String(), "update"},
		{OpDelete.String(), "delete"}, {Op(9).String(), "op-9"}, {Reason(200).String(), "reason-200"}, {Skip(200).String(), "skip-200"},
		{Refusal{ReasonZone, 18}.Error(), "record: refused (zone) because of attribute 18"}, {Refusal{Reason: ReasonTable}.Error(), "record: refused (table)"},
		{Text(AppendMark(nil, Mark{Sum: Sum{1, 2}})), "mark entries=1 xor=0000000000000002"}, {Text(Record{Table: TableSets, Op: OpNew}), "sets new, 0 bytes"},
		{Text(Record{Table: TableConnections, Op: OpNew, Family: IPv4}), "connections new, 0 bytes, unreadable (missing)"},
	} {
		if test.got != test.want {
			t.Errorf("%q, want %q", test.got, test.want)
		}
	}
	seen := map[string]bool{}
	for r := range Reasons {
		if s := Reason(r).String(); s == "" || seen[s] { //nolint:gosec // below Reasons
			t.Errorf("reason %d is %q", r, s)
		} else {
			seen[s] = true
		}
	}
	for s := range Skips {
		if name := Skip(s).String(); len(name) > 5 && name[:5] == "skip-" { //nolint:gosec // below Skips
			t.Errorf("skip %d has no name", s)
		}
	}
	if !errors.Is(Refusal{Reason: ReasonOp}, ErrRecord) || ReasonOf(nil) != ReasonNone || ReasonOf(errors.New("x")) != ReasonStructure {
		t.Error("what errors are")
	}
}
