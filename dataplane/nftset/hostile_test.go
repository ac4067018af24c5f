// SPDX-License-Identifier: Apache-2.0

package nftset

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// TestMutatedRecordsHarmNothing gives a kernel what a member that holds the key could send: good records, damaged somewhere. The
// Applier goes on, and nothing but the set that is synchronised is any different.
func TestMutatedRecordsHarmNothing(t *testing.T) {
	a, b := newMember(t, ruleset), newMember(t, ruleset)
	a.nft(everything)
	b.nft(everything)
	others := slices.DeleteFunc(slices.Clone(setNames), func(s string) bool { return s == "blocked" || s == "clients" })
	listing := func() string {
		var all []string
		for _, s := range others {
			x, _ := b.elements(s)
			all = append(all, s+": "+strings.Join(x, " "))
		}
		return strings.Join(all, "\n") + b.Run("nft", "-s", "list", "chain", "inet", "filter", "out")
	}
	before := listing()
	r, c := a.reader("blocked", "clients"), b.applier("blocked", "clients")
	good, _ := poll(t, r, 0, true)
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var rs []record.Record
		for range 50 {
			rec := good[random.IntN(len(good))]
			rec.Attrs = slices.Clone(rec.Attrs)
			for range 1 + random.IntN(3) {
				switch i := random.IntN(len(rec.Attrs)); random.IntN(4) {
				case 0:
					rec.Attrs = rec.Attrs[:i]
				case 1:
					rec.Attrs = append(rec.Attrs[:i:i], good[random.IntN(len(good))].Attrs...)
				default:
					rec.Attrs[i] = byte(random.Uint32())
				}
				if len(rec.Attrs) == 0 {
					rec.Attrs = []byte{0}
				}
			}
			rec.Op = record.Op(random.IntN(5))
			rs = append(rs, rec)
		}
		if err := c.Apply(0, rs); err != nil {
			t.Fatal(err)
		}
	}
	if after := listing(); after != before {
		t.Errorf("changed from\n%s\nto\n%s", before, after)
	}
	n := c.Counts()
	if n.Refused[ReasonMalformed] == 0 || n.Refused[ReasonKey] == 0 || n.Added == 0 {
		t.Errorf("counts %+v", n)
	}
	// And the sets that are synchronised are what they should be, once the owner lists them.
	rs, _ := poll(t, r, second, true)
	if err := c.Apply(second, rs); err != nil {
		t.Fatal(err)
	}
	same(t, a, b, 0, "blocked", "clients")
}

// BenchmarkReader is what a second of an owner costs: a set of 10,000 elements, none of which changes.
func BenchmarkReader(b *testing.B) {
	var list []string
	for i := range 10000 {
		list = append(list, fmt.Sprintf("10.0.%d.%d timeout 1h", i>>8, i&255))
	}
	m := newMember(b, ruleset+"\nadd element inet filter blocked { "+strings.Join(list[:1000], ", ")+" }")
	for i := 1000; i < len(list); i += 1000 {
		m.nft("add element inet filter blocked { " + strings.Join(list[i:i+1000], ", ") + " }")
	}
	r := m.reader("blocked")
	for b.Loop() {
		if err := r.Poll(0, false, func(Change) {}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(list)), "ns/element")
}
