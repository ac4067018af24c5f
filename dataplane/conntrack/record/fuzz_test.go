// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"testing"
)

// FuzzParse: what Parse takes, Append writes again.
func FuzzParse(f *testing.F) {
	for _, c := range load(f) {
		var b []byte
		for _, m := range c.events {
			b = recordOf(f, m).Append(b)
		}
		f.Add(AppendMark(nil, Mark{Sum: Sum{1, 2}}).Append(b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			r, rest, err := Parse(b)
			if err != nil {
				return
			}
			if again := r.Append(nil); !bytes.Equal(again, b[:len(b)-len(rest)]) || len(again) != r.Len() {
				t.Fatalf("% x became % x", b[:len(b)-len(rest)], again)
			}
			b = rest
		}
	})
}

// FuzzFromMessage: whatever it makes of a kernel's bytes, Checker takes, but for what depends on the sender's configuration.
func FuzzFromMessage(f *testing.F) {
	for _, c := range load(f) {
		for _, m := range c.messages() {
			f.Add(m.typ, m.flags, m.payload)
		}
	}
	f.Fuzz(func(t *testing.T, typ, flags uint16, payload []byte) {
		before := bytes.Clone(payload)
		r, err := FromMessage(make([]byte, 0, MaxLen), typ, flags, payload)
		if !bytes.Equal(before, payload) {
			t.Fatal("the message changed")
		}
		if err != nil {
			return
		}
		switch reason := ReasonOf(new(Checker).Check(r)); reason {
		case ReasonNone, ReasonAddress, ReasonZone:
		default:
			t.Fatalf("the Checker refuses (%s) %s", reason, describe(r))
		}
		readable(t, r)
	})
}

// FuzzCheck: what Checker takes, everything else can read, and no NUL of it is lost on the way to the kernel.
func FuzzCheck(f *testing.F) {
	for _, c := range load(f) {
		for _, m := range c.messages() {
			r := recordOf(f, m)
			f.Add(uint8(r.Table), uint8(r.Op), r.Family, r.Attrs)
		}
	}
	f.Fuzz(func(t *testing.T, table, op, family uint8, attrs []byte) {
		r := Record{Table(table), Op(op), family, attrs}
		if new(Checker).Check(r) == nil {
			readable(t, r)
		}
	})
}

func readable(t *testing.T, r Record) {
	t.Helper()
	if _, err := NewHasher([16]byte{}).Identify(r); err != nil {
		t.Fatal(err)
	}
	if o, err := Original(r); err != nil || !o.Src.IsValid() {
		t.Fatalf("%+v %v", o, err)
	}
	if o, err := Reply(r); err != nil || !o.Src.IsValid() {
		t.Fatalf("%+v %v", o, err)
	}
	if len(r.AppendDelete(nil)) == 0 {
		t.Fatalf("the delete of %s would flush the table", Text(r))
	}
	if back, rest, err := Parse(r.Append(nil)); err != nil || len(rest) > 0 || !bytes.Equal(back.Attrs, r.Attrs) {
		t.Fatalf("does not survive the wire: %v", err)
	}
	least := len(r.Attrs)
	if r.Table == TableExpectations {
		least -= nlaHeader + helperNameLen // of an expectation the helper's name is left out
	}
	if r.Op != OpDelete && (len(r.AppendCreate(nil)) < least || len(r.AppendUpdate(nil)) == 0) {
		t.Fatalf("cannot be created or changed: %s", Text(r))
	}
}

// FuzzReaders: nothing that reads records minds what is in them.
func FuzzReaders(f *testing.F) {
	for _, c := range load(f) {
		for _, m := range c.dump {
			r := recordOf(f, m)
			f.Add(uint8(r.Table), uint8(r.Op), r.Family, r.Attrs)
		}
	}
	f.Add(uint8(TableMarks), uint8(OpNew), uint8(0), AppendMark(nil, Mark{Sum: Sum{3, 4}, Rules: 5, Term: 6, Number: 7, Commit: true}).Attrs)
	j := testRules().Compile()
	f.Fuzz(func(t *testing.T, table, op, family uint8, attrs []byte) {
		r := Record{Table(table), Op(op), family, attrs}
		id, err := NewHasher([16]byte{}).Identify(r)
		v := j.Judge(r)
		if (err != nil) != (v.Skip == SkipMalformed) {
			t.Fatalf("identity %v, verdict %v", err, v)
		}
		if v.Skip != SkipNone {
			id = Identity{}
		}
		if id2, v2 := j.Examine(NewHasher([16]byte{}), r); id2 != id || v2 != v {
			t.Fatalf("together %v %v, one by one %v %v", id2, v2, id, v)
		}
		_ = Text(r)
		_, _ = Reply(r)
		for _, b := range [][]byte{r.AppendCreate(nil), r.AppendUpdate(nil), r.AppendDelete(nil), r.AppendMaster(nil)} {
			if len(b) > len(attrs)+64 {
				t.Fatalf("%d bytes became %d", len(attrs), len(b))
			}
		}
		if s, err := ParseMark(r); err == nil && !bytes.Equal(AppendMark(nil, s).Attrs, attrs) {
			t.Fatal("a mark does not survive")
		}
	})
}
