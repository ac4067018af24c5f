// SPDX-License-Identifier: Apache-2.0

package nftset

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// generation is the table of a policy's generation.
func generation(n int) string {
	return "table inet filter.g" + strconv.Itoa(n) + ` { set blocked { type ipv4_addr; flags timeout; }; set ranges { type ipv4_addr; flags interval; }; }`
}

func tables(n int) Tables {
	return Tables{Table{1, "filter"}: "filter.g" + strconv.Itoa(n)}
}

// has are the elements of the two sets of a generation.
func (m *member) has(n int) string {
	var all []string
	for _, set := range []string{"blocked", "ranges"} {
		text := m.Run("nft", "list", "set", "inet", "filter.g"+strconv.Itoa(n), set)
		for _, word := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" ,{}\n\t", r) }) {
			if strings.HasPrefix(word, "192.0.2.") || strings.HasPrefix(word, "10.") {
				all = append(all, word)
			}
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// TestGenerations: members whose tables have different generations in their names keep the same elements, and a change of generations on either
// side brings what was told into the new table.
func TestGenerations(t *testing.T) {
	a, b := newMember(t, generation(1)), newMember(t, generation(1))
	r, c := a.reader("blocked", "ranges"), b.applier("blocked", "ranges")
	now := int64(0)
	r.SetTables(tables(1))
	if err := c.SetTables(now, tables(1)); err != nil {
		t.Fatal(err)
	}
	expect := func(what string, m *member, n int, want string) {
		t.Helper()
		if got := m.has(n); got != want {
			t.Errorf("%s: generation %d has %q, want %q", what, n, got, want)
		}
	}
	tell := func() (n int) {
		for range 2 { // what is gone is told when it was missed twice
			now += second
			rs, _ := poll(t, r, now, false)
			for _, one := range rs {
				if i, reason := parse(one); reason != ReasonNone || i.set.Table != "filter" {
					t.Fatalf("told of table %q, %v", i.set.Table, reason)
				}
			}
			n += len(rs)
			apply(t, c, now, rs)
		}
		return n
	}
	a.nft("add element inet filter.g1 blocked { 192.0.2.1 timeout 1h, 192.0.2.2 }; add element inet filter.g1 ranges { 10.0.0.0/8 }")
	tell()
	expect("told", b, 1, "10.0.0.0/8 192.0.2.1 192.0.2.2")

	// The copy goes first: its new sets begin empty, and with something that nobody told.
	b.nft(generation(2) + "; add element inet filter.g2 blocked { 192.0.2.1, 192.0.2.77 }")
	if err := c.SetTables(now, tables(2)); err != nil {
		t.Fatal(err)
	}
	expect("the copy has changed", b, 2, "10.0.0.0/8 192.0.2.1 192.0.2.2 192.0.2.77")
	if left := strings.Contains(b.Run("nft", "list", "set", "inet", "filter.g2", "blocked"), "192.0.2.1 timeout 1h"); !left {
		t.Error("the element that was there without its time-out has none still")
	}
	a.nft("add element inet filter.g1 blocked { 192.0.2.3 }; delete element inet filter.g1 blocked { 192.0.2.2 }")
	tell()
	expect("the copy is ahead", b, 2, "10.0.0.0/8 192.0.2.1 192.0.2.3 192.0.2.77")
	expect("and its old one", b, 1, "10.0.0.0/8 192.0.2.1 192.0.2.2")

	// The owner follows. One element was carried over, one was not, one is new.
	a.nft(generation(2) + "; add element inet filter.g2 blocked { 192.0.2.3, 192.0.2.4 }")
	a.nft("delete table inet filter.g1")
	r.SetTables(tables(2))
	if n := tell(); n != 3 {
		t.Errorf("%d records, want 192.0.2.1 and 10.0.0.0/8 gone and 192.0.2.4 new", n)
	}
	expect("the owner has changed", b, 2, "192.0.2.3 192.0.2.4 192.0.2.77")
	now += second
	rs, _ := poll(t, r, now, true)
	apply(t, c, now, rs)
	expect("a round", b, 2, "192.0.2.3 192.0.2.4")

	// Back again; the same names once more change nothing; a table that is not there is said, and is no failure.
	if err := errors.Join(c.SetTables(now, tables(1)), c.SetTables(now, tables(1))); err != nil {
		t.Fatal(err)
	}
	expect("back", b, 1, "10.0.0.0/8 192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4")
	if err := c.SetTables(now, tables(9)); err != nil || !errors.Is(c.Statuses()[0].Err, ErrAbsent) {
		t.Errorf("%v, %+v", err, c.Statuses())
	}
	// What is told meanwhile waits for the table.
	a.nft("add element inet filter.g2 blocked { 192.0.2.5 }")
	now += second
	rs, _ = poll(t, r, now, false)
	if err := c.Apply(now, append([]record.Record(nil), rs...)); err != nil {
		t.Fatal(err)
	}
	b.nft(generation(9))
	if err := errors.Join(c.SetTables(now, tables(2)), c.SetTables(now, tables(9))); err != nil {
		t.Fatal(err)
	}
	expect("it is there", b, 9, "192.0.2.3 192.0.2.4 192.0.2.5")
}

func TestParseTable(t *testing.T) {
	if got, err := ParseTable("ip6 nat"); err != nil || got != (Table{10, "nat"}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "filter", "inet", "inet a b", "arp5 x"} {
		if _, err := ParseTable(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
