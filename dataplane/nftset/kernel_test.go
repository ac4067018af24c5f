// SPDX-License-Identifier: Apache-2.0

package nftset

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

const everything = `
add element inet filter blocked { 192.0.2.1 timeout 1h, 192.0.2.2 timeout 1d expires 20h, 192.0.2.3, 192.0.2.4 comment "by hand" }
add element inet filter half-hour { 2001:db8::1, 2001:db8::2 timeout 10m, 2001:db8::3 expires 20m }
add element inet filter forever { 22, 443 comment "web" }
add element inet filter pairs { 192.0.2.1 . tcp . 80 timeout 1h, 192.0.2.1 . udp . 53 }
add element inet filter names { "eth0", "wan0" }
add element inet filter ranges { 10.0.0.0/8, 192.0.2.1-192.0.2.9 timeout 1h, 192.0.2.10, 198.51.100.0/24, 240.0.0.0/4 }
add element inet filter blocks { 10.0.0.0/8 . 80-90, 192.0.2.1-192.0.2.9 . 443 }
add element inet filter counted { 192.0.2.1 counter packets 7 bytes 700 timeout 1h, 192.0.2.2 }
add element inet filter clients { 192.0.2.1 limit rate over 10/second burst 5 packets, 192.0.2.2 limit rate over 10/second burst 5 packets expires 40s }
add element inet filter marks { 192.0.2.1 timeout 1h : 7, 192.0.2.2 : 8, * : 77 }
add element inet filter verdicts { 22 : accept, 23 : drop, 80 : jump good, 81 : goto bad, 82 : return }
add element inet filter objects { 192.0.2.1 : "seen" }
`

// TestCopies: what nft lists on the owner it lists on the copy, and what changes there changes here.
func TestCopies(t *testing.T) {
	a, b := newMember(t, ruleset), newMember(t, ruleset)
	a.nft(everything)
	r, c := a.reader(), b.applier()
	rs, _ := poll(t, r, 0, true)
	apply(t, c, 0, rs)
	same(t, a, b, 0)
	if rs, _ := poll(t, r, second, false); len(rs) != 0 {
		t.Errorf("%d records although nothing changed: %v", len(rs), rs[0])
	}

	a.nft(`
add element inet filter blocked { 192.0.2.9 timeout 5h }
delete element inet filter blocked { 192.0.2.1, 192.0.2.3 }
delete element inet filter pairs { 192.0.2.1 . tcp . 80 }
delete element inet filter marks { 192.0.2.2 }
add element inet filter marks { 192.0.2.2 : 9 }
delete element inet filter verdicts { 23 }
add element inet filter verdicts { 23 : jump bad }
delete element inet filter ranges { 192.0.2.1-192.0.2.9 }
add element inet filter ranges { 192.0.2.1-192.0.2.7 }
delete element inet filter blocks { 10.0.0.0/8 . 80-90 }
delete element inet filter names { "eth0" }
flush set inet filter half-hour
delete element inet filter counted { 192.0.2.2 }
`)
	for i := range int64(2) { // what is gone is told when it was missed twice
		rs, _ := poll(t, r, (2+i)*second, false)
		apply(t, c, (2+i)*second, rs)
	}
	same(t, a, b, 0)
	if rs, _ := poll(t, r, 4*second, false); len(rs) != 0 {
		t.Errorf("%d records although nothing changed", len(rs))
	}
}

// TestRulesAdd: elements that only the kernel knows of.
func TestRulesAdd(t *testing.T) {
	a, b := newMember(t, ruleset), newMember(t, ruleset)
	r, c := a.reader("clients"), b.applier("clients")
	poll(t, r, 0, false)
	a.Run("bash", "-c", "for i in 1 2 3 4 5; do echo >/dev/udp/127.0.0.$i/9; done")
	rs, changes := poll(t, r, second, false)
	if len(rs) != 5 || changes[0].Key == changes[1].Key || changes[0].Refresh {
		t.Fatalf("told of %d elements: %v", len(rs), changes)
	}
	apply(t, c, second, rs)
	same(t, a, b, 0, "clients")
	if s := c.Statuses(); len(s) != 1 || s[0].Elements != 5 || s[0].Err != nil {
		t.Errorf("status %v", s)
	}
}

// TestExpiries: an expiry that moves is told when it has moved far enough; what expires by itself is not told.
func TestExpiries(t *testing.T) {
	a, b := newMember(t, ruleset), newMember(t, ruleset)
	a.nft("add element inet filter blocked { 192.0.2.1 timeout 80s }; add element inet filter marks { 192.0.2.2 timeout 20s : 1 }")
	r, c := a.reader("blocked"), b.applier("blocked")
	rs, _ := poll(t, r, 0, false)
	apply(t, c, 0, rs)
	same(t, a, b, 0, "blocked")
	// The time that the Reader is told is the test's: nine seconds later the element is found to expire when it did.
	if rs, _ := poll(t, r, 9*second, false); len(rs) != 0 {
		t.Errorf("%d records of an expiry that moved by less than an eighth of 80 s", len(rs))
	}
	rs, changes := poll(t, r, 11*second, false)
	if len(rs) != 1 || rs[0].Op != record.OpUpdate || changes[0].Refresh {
		t.Errorf("%d records of an expiry that moved by 11 s", len(rs))
	}
	apply(t, c, 11*second, rs)

	r = a.reader("marks")
	if rs, _ := poll(t, r, 0, false); len(rs) != 1 {
		t.Fatalf("%d records", len(rs))
	}
	a.nft("delete element inet filter marks { 192.0.2.2 }")
	for range 3 {
		if rs, _ := poll(t, r, 20*second, false); len(rs) != 0 {
			t.Errorf("%d records of an element that was to expire by then", len(rs))
		}
	}
}

// TestExpressions: the state of an element's expressions is told now and then, as what may be lost.
func TestExpressions(t *testing.T) {
	a, b := newMember(t, ruleset), newMember(t, ruleset)
	a.nft("add element inet filter counted { 192.0.2.1 counter packets 1 bytes 100 }")
	r, c := a.reader("counted"), b.applier("counted")
	rs, _ := poll(t, r, 0, false)
	apply(t, c, 0, rs)
	a.nft(`delete element inet filter counted { 192.0.2.1 }
add element inet filter counted { 192.0.2.1 counter packets 2 bytes 200 }`)
	if rs, _ := poll(t, r, 9*second, false); len(rs) != 0 {
		t.Errorf("%d records of a counter within %d s", len(rs), RefreshEvery/second)
	}
	rs, changes := poll(t, r, 10*second, false)
	if len(rs) != 1 || !changes[0].Refresh {
		t.Fatalf("%d records of a counter: %v", len(rs), changes)
	}
	apply(t, c, 10*second, rs)
	same(t, a, b, 0, "counted")
}

// TestRoundsHeal: what was lost on the way, and what somebody changed on the copy.
func TestRoundsHeal(t *testing.T) {
	a, b := newMember(t, ruleset), newMember(t, ruleset)
	a.nft(everything)
	r, c := a.reader(), b.applier()
	rs, _ := poll(t, r, 0, true)
	apply(t, c, 0, rs)
	b.nft(`flush set inet filter blocked
delete element inet filter ranges { 10.0.0.0/8 }
add element inet filter ranges { 172.16.0.0/12 }
add element inet filter forever { 8080 }
delete element inet filter marks { 192.0.2.1 }
add element inet filter marks { 192.0.2.1 : 99 }`)
	rs, _ = poll(t, r, second, true)
	apply(t, c, second, rs)
	same(t, a, b, 0)
	if n := c.Counts().Healed; n < 8 {
		t.Errorf("%d changes healed", n)
	}

	// A deletion that no record tells of.
	a.nft("delete element inet filter blocked { 192.0.2.4 }")
	poll(t, r, 2*second, false)
	if rs, _ := poll(t, r, 3*second, false); len(rs) != 1 {
		t.Fatalf("%d records", len(rs))
	}
	rs, _ = poll(t, r, 4*second, true)
	apply(t, c, 4*second, rs[1:]) // not even all of the round
	if x, _ := b.elements("blocked"); len(x) != 4 {
		t.Errorf("a round that came in part has left %d elements of 4", len(x))
	}
	rs, _ = poll(t, r, 5*second, true)
	apply(t, c, 5*second, rs)
	same(t, a, b, 0)

	// A copy's daemon that starts anew knows nothing of what its kernel has.
	c = b.applier()
	b.nft("add element inet filter blocked { 203.0.113.9 }")
	rs, _ = poll(t, r, 6*second, true)
	apply(t, c, 6*second, rs[1:]) // what it was not told of may yet belong there
	if x, _ := b.elements("blocked"); len(x) != 4 {
		t.Errorf("a round that came in part, to who knows nothing, has left %d elements of 4", len(x))
	}
	rs, _ = poll(t, r, 7*second, true)
	apply(t, c, 7*second, rs)
	same(t, a, b, 0)
}

// TestDeletionsDoNotCountAsListed: a round whose records came in part takes nothing away that the owner has, though it told of deletions as well.
func TestDeletionsDoNotCountAsListed(t *testing.T) {
	a, b := newMember(t, ruleset), newMember(t, ruleset)
	a.nft(everything)
	r, c := a.reader("forever"), b.applier("forever")
	rs, _ := poll(t, r, 0, true)
	apply(t, c, 0, rs)
	same(t, a, b, 0, "forever")
	before, _ := b.elements("forever")
	a.nft("flush set inet filter forever\nadd element inet filter forever { 1000, 1001, 1002 }")
	rs, _ = poll(t, r, second, false)
	apply(t, c, second, rs)
	rs, _ = poll(t, r, 2*second, true)
	lost := slices.IndexFunc(rs, func(r record.Record) bool { i, _ := parse(r); return !i.ends && i.op != record.OpDelete })
	deleted := 0
	for _, r := range rs {
		if r.Op == record.OpDelete {
			deleted++
		}
	}
	if lost < 0 || deleted == 0 || deleted != len(before) {
		t.Fatalf("a round of %d records, %d of them deletions: %d elements are gone", len(rs), deleted, len(before))
	}
	apply(t, c, 2*second, slices.Delete(slices.Clone(rs), lost, lost+1))
	same(t, a, b, 0, "forever")
	rs, _ = poll(t, r, 3*second, true)
	apply(t, c, 3*second, rs)
	same(t, a, b, 0, "forever")
}

// TestAbsentSets: a ruleset that is loaded anew, on either side.
func TestAbsentSets(t *testing.T) {
	a, b := newMember(t, ruleset), newMember(t, ruleset)
	a.nft("add element inet filter blocked { 192.0.2.1 timeout 1h }; add element inet filter forever { 1 }")
	b.nft("delete set inet filter blocked")
	r, c := a.reader("blocked", "forever"), b.applier("blocked", "forever")
	rs, _ := poll(t, r, 0, true)
	if err := c.Apply(0, rs); err != nil {
		t.Fatal(err)
	}
	same(t, a, b, 0, "forever")
	if s := c.Statuses(); !errors.Is(s[0].Err, ErrAbsent) || s[1].Err != nil {
		t.Errorf("without the set: %v", s)
	}
	b.nft("add set inet filter blocked { type ipv4_addr; flags timeout; }")
	rs, _ = poll(t, r, second, true)
	if err := c.Apply(second, rs); err != nil {
		t.Fatal(err)
	}
	same(t, a, b, 0, "blocked")
	if s := c.Statuses(); s[0].Err != nil {
		t.Errorf("with the set: %v", s)
	}

	// While the owner has no set, nobody knows what is in it.
	a.nft("delete set inet filter blocked")
	var told int
	for i := range int64(3) {
		if err := r.Poll((2+i)*second, i == 1, func(ch Change) {
			if strings.Contains(string(ch.Record.Attrs), "blocked") {
				told++
			}
		}); !errors.Is(err, ErrAbsent) {
			t.Errorf("poll of a set that is gone: %v", err)
		}
	}
	if told != 0 {
		t.Errorf("%d records of a set that is gone", told)
	}
}

// TestForeignSets: no record touches a set that this member's configuration does not name.
func TestForeignSets(t *testing.T) {
	a, b := newMember(t, ruleset), newMember(t, ruleset)
	a.nft(everything)
	r, c := a.reader(), b.applier("forever")
	rs, _ := poll(t, r, 0, true)
	if err := c.Apply(0, rs); err != nil {
		t.Fatal(err)
	}
	if n := c.Counts(); n.Refused[ReasonSet] != uint64(len(rs)-3) || n.Added != 2 {
		t.Errorf("of %d records: %+v", len(rs), n)
	}
	for _, set := range setNames {
		if x, _ := b.elements(set); len(x) != 0 && set != "forever" {
			t.Errorf("%s has %v", set, x)
		}
	}
}

// TestKernelRefuses: an element that does not fit its set costs itself only.
func TestKernelRefuses(t *testing.T) {
	a := newMember(t, ruleset)
	other := strings.Replace(ruleset, "set forever { type inet_service; }", "set forever { type ipv6_addr; }", 1)
	b := newMember(t, other)
	a.nft(everything)
	r, c := a.reader(), b.applier()
	rs, _ := poll(t, r, 0, true)
	if err := c.Apply(0, rs); err != nil {
		t.Fatal(err)
	}
	if n := c.Counts().Refused; n[ReasonKernel] == 0 {
		t.Errorf("counts %+v", c.Counts())
	}
	same(t, a, b, 0, slices.DeleteFunc(slices.Clone(setNames), func(s string) bool { return s == "forever" })...)
	if s := c.Statuses(); s[2].Err == nil || s[1].Err != nil {
		t.Errorf("statuses %v", s)
	}
}

// TestManyElements: more than one message of a dump, and more than one transaction.
func TestManyElements(t *testing.T) {
	a, b := newMember(t, ruleset), newMember(t, ruleset)
	var list []string
	for i := range 20000 {
		list = append(list, fmt.Sprintf("10.%d.%d.%d timeout 1h", i>>16, i>>8&255, i&255))
	}
	file := t.TempDir() + "/elements"
	if err := os.WriteFile(file, []byte("add element inet filter blocked { "+strings.Join(list, ", ")+" }"), 0o600); err != nil {
		t.Fatal(err)
	}
	a.Run("nft", "-f", file)
	r, c := a.reader("blocked"), b.applier("blocked")
	rs, _ := poll(t, r, 0, true)
	if len(rs) != 20001 {
		t.Fatalf("%d records", len(rs))
	}
	apply(t, c, 0, rs)
	if n := c.Counts(); n.Added != 20000 || n.Healed != 0 {
		t.Errorf("%+v", n)
	}
	same(t, a, b, 0, "blocked")
}
