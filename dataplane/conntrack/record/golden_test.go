// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/dataplane/link/linktest"
	"github.com/holdfast-project/holdfast/internal/labtest"
)

var update = flag.Bool("update", false, "write testdata/*.golden anew")

// captured is one file of testdata: what a kernel said of some traffic.
type captured struct {
	name                string
	events, dump, ended []message
	listing             []string
}

func load(t testing.TB) (all []captured) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.msgs")
	if err != nil || len(files) < 20 {
		t.Fatalf("testdata has %d captures (%v): run go test -capture as root", len(files), err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		c := captured{name: strings.TrimSuffix(filepath.Base(f), ".msgs")}
		into := &c.events
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSpace(line)
			switch {
			case line == "# dump":
				into = &c.dump
			case line == "# end":
				into = &c.ended
			case strings.HasPrefix(line, "> "):
				c.listing = append(c.listing, line[2:])
			case !strings.HasPrefix(line, "#"):
				var m message
				var payload string
				if _, err := fmt.Sscanf(line, "%x %x %s", &m.typ, &m.flags, &payload); err != nil {
					t.Fatalf("%s: %q: %v", f, line, err)
				}
				if m.payload, err = hex.DecodeString(payload); err != nil {
					t.Fatal(err)
				}
				*into = append(*into, m)
			}
		}
		all = append(all, c)
	}
	return all
}

func (c captured) messages() []message {
	return append(append(append([]message(nil), c.events...), c.dump...), c.ended...)
}

func recordOf(t testing.TB, m message) Record {
	t.Helper()
	r, err := FromMessage(nil, m.typ, m.flags, m.payload)
	if err != nil {
		t.Fatalf("%04x %04x %x: %v", m.typ, m.flags, m.payload, err)
	}
	return r
}

// describe writes a record for the golden files: its line, and its attributes one by one.
func describe(r Record) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %s\n", r.Table, r.Op, Text(r))
	for attrs := r.Attrs; len(attrs) > 0; {
		typ, value, rest, _ := next(attrs)
		fmt.Fprintf(&b, "    %2d %x\n", typ&nlaTypeMask, value)
		attrs = rest
	}
	return b.String()
}

// TestFromMessage compares what becomes of the kernel's messages with the golden files, which were read by eye.
func TestFromMessage(t *testing.T) {
	for _, c := range load(t) {
		var b strings.Builder
		for _, m := range c.messages() {
			r := recordOf(t, m)
			b.WriteString(describe(r))
			back, rest, err := Parse(r.Append(nil))
			if err != nil || len(rest) != 0 || back.Table != r.Table || back.Op != r.Op || back.Family != r.Family || !bytes.Equal(back.Attrs, r.Attrs) {
				t.Errorf("%s: a record does not survive the wire: %v", c.name, err)
			}
		}
		golden := filepath.Join("testdata", c.name+".golden")
		if *update {
			if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if b.String() != string(want) {
			t.Errorf("%s: records differ from %s (-update writes it anew):\n%s", c.name, golden, b.String())
		}
	}
}

// TestChecked: what this kernel says passes the Checker, but for what Rules keep from being sent.
func TestChecked(t *testing.T) {
	for _, c := range load(t) {
		for _, m := range c.messages() {
			err := new(Checker).Check(recordOf(t, m))
			want := ReasonNone
			if c.name == "loopback" || c.name == "multicast" {
				want = ReasonAddress
			}
			if ReasonOf(err) != want {
				t.Errorf("%s: %v, want %s: %s", c.name, err, want, Text(recordOf(t, m)))
			}
		}
	}
}

// TestIdentityOfALife: beginning, change, dump and end of an entry have one identity, and different entries have different ones.
func TestIdentityOfALife(t *testing.T) {
	h := NewHasher([16]byte{1, 2, 3})
	for _, c := range load(t) {
		born, tally := map[Identity]string{}, NewTally()
		keys := map[uint64]bool{}
		for _, m := range c.events {
			r := recordOf(t, m)
			id, err := h.Identify(r)
			if err != nil {
				t.Fatal(err)
			}
			if _, known := born[id]; known == (r.Op == OpNew) {
				t.Errorf("%s: %s with known=%v: %s", c.name, r.Op, known, Text(r))
			}
			switch r.Op {
			case OpNew:
				if keys[id.Key] {
					t.Errorf("%s: two entries with one key", c.name)
				}
				born[id], keys[id.Key] = Text(r), true
				tally.Add(id)
			case OpDelete:
				delete(born, id)
				tally.Remove(id)
			}
		}
		if len(c.dump) != len(born) {
			t.Errorf("%s: %d entries by events, %d by the dump", c.name, len(born), len(c.dump))
		}
		for _, m := range c.dump {
			if id, _ := h.Identify(recordOf(t, m)); born[id] == "" {
				t.Errorf("%s: the dump has what did not begin: %s", c.name, Text(recordOf(t, m)))
			}
		}
		for _, m := range c.ended {
			r := recordOf(t, m)
			id, _ := h.Identify(r)
			if born[id] == "" || r.Op != OpDelete {
				t.Errorf("%s: what did not begin ends: %s", c.name, Text(r))
			}
			tally.Remove(id)
		}
		if tally.Sum() != (Sum{}) || tally.Words() != (Words{}) {
			t.Errorf("%s: the tally of nothing is %+v", c.name, tally.Sum())
		}
	}
}

// TestText: a dumped entry reads as conntrack listed it.
func TestText(t *testing.T) {
	for _, c := range load(t) {
		listed := map[string]bool{}
		for _, line := range c.listing {
			listed[alike(line)] = true
		}
		for _, m := range c.dump {
			if text := alike(Text(recordOf(t, m))); !listed[text] {
				t.Errorf("%s: %q is not what conntrack says: %q", c.name, text, c.listing)
			}
		}
	}
}

// alike leaves out what records do not carry and what only one of the two says.
func alike(line string) string {
	before, _, _ := strings.Cut(line, "master: ")
	var words []string
	for i, w := range strings.Fields(before) {
		name, _, _ := strings.Cut(w, "=")
		switch name {
		case "packets", "bytes", "use", "delta-time", "labels":
			continue
		}
		// The time-out: third word of a connection, first of an expectation.
		if strings.Trim(w, "0123456789") == "" && (i == 0 || i == 2) {
			continue
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}

// TestKernelTakesIt creates every entry of the captures in another kernel table, changes and deletes it, and compares dumps: what was
// NATed is so again, by the kernel's own word.
func TestKernelTakesIt(t *testing.T) {
	labtest.Require(t, "nft")
	h := NewHasher([16]byte{9})
	for _, c := range load(t) {
		n := linktest.New(t)
		// Label, helper and translation need their users.
		n.Run("nft", `table inet t { ct helper ftp { type "ftp" protocol tcp; }; chain c { type filter hook forward priority 0; ct label 1; };
			chain n { type nat hook postrouting priority 0; }; }`)
		k := openKernel(t, n, 0)
		want := map[Identity]string{}
		var rs []Record
		for _, m := range c.dump {
			rs = append(rs, recordOf(t, m))
		}
		// Masters before what they are masters of.
		for _, children := range []bool{false, true} {
			for _, r := range rs {
				var a raw
				_ = a.collect(r.Attrs, ^uint64(0))
				if child := r.Table == TableExpectations || a[ctaTupleMaster] != nil; child != children {
					continue
				}
				create(t, k, r)
				id, _ := h.Identify(r)
				want[id] = alike(Text(r))
			}
		}
		compare := func(when string) {
			t.Helper()
			got := map[Identity]string{}
			for _, m := range append(k.dump(1), k.dump(2)...) {
				r := recordOf(t, m)
				id, _ := h.Identify(r)
				got[id] = alike(Text(r))
				if err := new(Checker).Check(r); err != nil && ReasonOf(err) != ReasonAddress {
					t.Errorf("%s %s: %v: %s", c.name, when, err, Text(r))
				}
				status(t, m)
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s %s:\n got %v\nwant %v", c.name, when, got, want)
			}
		}
		compare("created")
		for _, r := range rs {
			if err := k.ask(newType(r), 0, r.Family, r.AppendUpdate(nil)); err != nil {
				t.Errorf("%s: update of %s: %v", c.name, Text(r), err)
			}
		}
		compare("updated")
		for i := range rs {
			r := rs[len(rs)-1-i]
			if err := k.ask(newType(r)|2, 0, r.Family, r.AppendDelete(nil)); err != nil && !errors.Is(err, unix.ENOENT) {
				t.Errorf("%s: delete of %s: %v", c.name, Text(r), err)
			}
		}
		want = map[Identity]string{}
		compare("deleted")
	}
}

func newType(r Record) uint16 { return uint16(r.Table) << 8 }

func create(t *testing.T, k *kernelSocket, r Record) {
	t.Helper()
	if err := k.ask(newType(r), unix.NLM_F_CREATE|unix.NLM_F_EXCL, r.Family, r.AppendCreate(nil)); err != nil {
		t.Errorf("create %s: %v", Text(r), err)
	}
}

// status checks that the kernel marks as translated what is: the bits say so, not the tuples.
func status(t *testing.T, m message) {
	t.Helper()
	r := recordOf(t, m)
	var got, rewritten raw
	_ = got.collect(m.payload[nfgenmsgLen:], ^uint64(0))
	_ = rewritten.collect(r.Attrs, ^uint64(0))
	if r.Table != TableConnections {
		return
	}
	const srcNAT, dstNAT = 1 << 4, 1 << 5
	bits, _ := got.number(ctaStatus)
	if (bits&(srcNAT|dstNAT) != 0) != (rewritten[ctaNATSrc] != nil || rewritten[ctaNATDst] != nil) {
		t.Errorf("status %#x: %s", bits, Text(r))
	}
}
