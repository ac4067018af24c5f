// SPDX-License-Identifier: Apache-2.0

package nftset

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
	"github.com/holdfast-project/holdfast/dataplane/link/linktest"
	"github.com/holdfast-project/holdfast/internal/labtest"
)

// ruleset has a set of each kind that the package claims to know.
const ruleset = `
table inet filter {
	counter seen { }
	chain good { }
	chain bad { }
	set blocked { type ipv4_addr; flags timeout; }
	set half-hour { type ipv6_addr; flags timeout, dynamic; timeout 30m; }
	set forever { type inet_service; }
	set pairs { type ipv4_addr . inet_proto . inet_service; flags timeout; }
	set names { type ifname; }
	set ranges { type ipv4_addr; flags interval, timeout; }
	set blocks { type ipv4_addr . inet_service; flags interval; }
	set counted { type ipv4_addr; flags dynamic, timeout; counter; }
	set clients { type ipv4_addr; flags dynamic, timeout; timeout 1m; }
	map marks { type ipv4_addr : mark; flags timeout; }
	map verdicts { type inet_service : verdict; }
	map objects { type ipv4_addr : counter; }
	chain out { type filter hook output priority 0; add @clients { ip daddr limit rate over 10/second burst 5 packets }; }
}`

var setNames = []string{
	"blocked", "half-hour", "forever", "pairs", "names", "ranges", "blocks", "counted", "clients", "marks", "verdicts", "objects",
}

// member is a network namespace with the ruleset in it.
type member struct {
	*linktest.Namespace
	t testing.TB
}

func newMember(t testing.TB, rules string) *member {
	t.Helper()
	labtest.Require(t, "nft")
	m := &member{linktest.New(t), t}
	m.nft(rules)
	return m
}

func (m *member) nft(script string) {
	m.t.Helper()
	m.Run("nft", script)
}

func (m *member) reader(sets ...string) *Reader {
	m.t.Helper()
	var r *Reader
	m.Do(func() (err error) {
		r, err = NewReader(inFilter(m.t, sets), 100)
		return err
	})
	m.t.Cleanup(func() { _ = r.Close() })
	return r
}

func (m *member) applier(sets ...string) *Applier {
	m.t.Helper()
	var a *Applier
	m.Do(func() (err error) {
		a, err = NewApplier(inFilter(m.t, sets))
		return err
	})
	m.t.Cleanup(func() { _ = a.Close() })
	return a
}

// inFilter names sets of the table of the ruleset, all if none is named.
func inFilter(t testing.TB, names []string) []Set {
	t.Helper()
	if len(names) == 0 {
		names = setNames
	}
	var sets []Set
	for _, n := range names {
		s, err := ParseSet("inet filter " + n)
		if err != nil {
			t.Fatal(err)
		}
		sets = append(sets, s)
	}
	return sets
}

// elements is what nft says of a set: its elements as JSON, without their expiries, and those apart.
func (m *member) elements(set string) (elems []string, expires map[string]float64) {
	m.t.Helper()
	kind := "set"
	if slices.Contains([]string{"marks", "verdicts", "objects"}, set) {
		kind = "map"
	}
	var parsed struct {
		Nftables []map[string]map[string]any
	}
	text := m.Run("nft", "-j", "list", kind, "inet", "filter", set)
	if err := json.Unmarshal([]byte(text), &parsed); err != nil {
		m.t.Fatalf("%v in %s", err, text)
	}
	expires = map[string]float64{}
	for _, o := range parsed.Nftables {
		list, _ := o[kind]["elem"].([]any)
		for _, e := range list {
			var left any
			left = strip(e, left)
			b, err := json.Marshal(e)
			if err != nil {
				m.t.Fatal(err)
			}
			elems = append(elems, string(b))
			if f, ok := left.(float64); ok {
				expires[string(b)] = f
			}
		}
	}
	slices.Sort(elems)
	return elems, expires
}

// strip removes the expiry from an element and returns it.
func strip(v, left any) any {
	switch v := v.(type) {
	case map[string]any:
		if e, ok := v["expires"]; ok {
			left = e
			delete(v, "expires")
		}
		for _, child := range v {
			left = strip(child, left)
		}
	case []any:
		for _, child := range v {
			left = strip(child, left)
		}
	}
	return left
}

// same compares the named sets of two members as nft lists them; expiries may differ by 2 s, and by slack seconds more.
func same(t *testing.T, a, b *member, slack float64, sets ...string) {
	t.Helper()
	if len(sets) == 0 {
		sets = setNames
	}
	for _, set := range sets {
		x, left := a.elements(set)
		y, copied := b.elements(set)
		if !slices.Equal(x, y) {
			t.Errorf("%s: on the owner\n%s\non the copy\n%s", set, strings.Join(x, "\n"), strings.Join(y, "\n"))
		}
		for e, l := range left {
			if c := copied[e]; c > l+2 || c < l-2-slack {
				t.Errorf("%s: %s expires in %v s on the owner, in %v s on the copy", set, e, l, c)
			}
		}
	}
}

const second = int64(1e9)

// poll reads, and returns the records, which live on.
func poll(t *testing.T, r *Reader, now int64, full bool) (rs []record.Record, changes []Change) {
	t.Helper()
	err := r.Poll(now, full, func(c Change) {
		c.Record.Attrs = slices.Clone(c.Record.Attrs)
		rs, changes = append(rs, c.Record), append(changes, c)
	})
	if err != nil {
		t.Fatal(err)
	}
	return rs, changes
}

func apply(t *testing.T, a *Applier, now int64, rs []record.Record) {
	t.Helper()
	var wire []byte
	for _, r := range rs {
		wire = r.Append(wire)
	}
	var back []record.Record
	for len(wire) > 0 {
		r, rest, err := record.Parse(wire)
		if err != nil {
			t.Fatal(err)
		}
		back, wire = append(back, r), rest
	}
	if err := a.Apply(now, back); err != nil {
		t.Fatal(err)
	}
	if n := a.Counts().Refused; n != [Reasons]uint64{} {
		t.Fatalf("refused: %v, %v", n, a.Statuses())
	}
}
