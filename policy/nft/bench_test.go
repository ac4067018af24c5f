// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-project/holdfast/policy/ruleset"
)

// heavyRules is a ruleset with so many rules and elements of a set.
func heavyRules(rules, elements int) string {
	var b strings.Builder
	b.WriteString("table inet filter {\n\tset big { type ipv4_addr; elements = { ")
	for i := range elements {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, "10.%d.%d.%d", i>>16&255, i>>8&255, i&255)
	}
	b.WriteString(" }\n\t}\n\tchain forward { type filter hook forward priority filter; policy drop;\n\t\tct state established,related accept\n\t\tip saddr @big accept\n")
	for i := range rules {
		fmt.Fprintf(&b, "\t\tip saddr 172.16.%d.%d tcp dport %d accept\n", i>>8&255, i&255, i&0xffff+1)
	}
	b.WriteString("\t}\n}\n")
	return b.String()
}

// TestBench measures an install of 10,000 rules and 100,000 elements on three members at once, beside three plain nft -f started at once, in turns;
// HOLDFAST_POLICY_BENCH is how many rounds. It prints seconds. What drift costs is of one member.
func TestBench(t *testing.T) {
	rounds := 0
	if _, err := fmt.Sscan(os.Getenv("HOLDFAST_POLICY_BENCH"), &rounds); err != nil {
		t.Skip("set HOLDFAST_POLICY_BENCH to a number of rounds")
	}
	text := heavyRules(10_000, 100_000)
	const n = 3
	var members [n]*Kernel
	var plain [n]*place
	for i := range n {
		members[i], plain[i] = newPlace(t).kernel(), newPlace(t)
	}
	all := func(do func(i int) error) float64 {
		start := time.Now()
		var g errgroup.Group
		for i := range n {
			g.Go(func() error { return do(i) })
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		return time.Since(start).Seconds()
	}
	for g := 1; g <= rounds; g++ {
		r := bundle(t, uint64(g), text)
		prepared := all(func(i int) error { _, err := members[i].Prepare(t.Context(), r); return err })
		committed := all(func(i int) error { _, err := members[i].Commit(t.Context(), r); return err })
		start := time.Now()
		base, err := members[0].Baseline(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		listed := time.Since(start).Seconds()
		start = time.Now()
		if d, err := members[0].Compare(t.Context(), base); err != nil || len(d) > 0 {
			t.Fatal(d, err)
		}
		compared := time.Since(start).Seconds()
		whole := "add table inet filter.g1\ndelete table inet filter.g1\n" + r.Ruleset.RenderAwake(nil, ruleset.Mark{Cluster: 7, Generation: 1}).Text
		loaded := all(func(i int) error { _, err := plain[i].try(whole, "nft", "-f", "-"); return err })
		t.Logf("three members: prepare %.3f  commit %.4f   three nft -f: %.3f   one member: baseline %.3f  compare %.3f", prepared, committed, loaded, listed, compared)
	}
}

// BenchmarkKeep carries 100,000 elements of a kept set to the next generation, and commits.
func BenchmarkKeep(b *testing.B) {
	p := newPlace(b)
	k := p.kernel()
	text := heavyRules(10, 100_000)
	keep := kept("big")
	r := bundle(b, 1, text, keep...)
	if _, err := k.Prepare(b.Context(), r); err != nil {
		b.Fatal(err)
	}
	if _, err := k.Commit(b.Context(), r); err != nil {
		b.Fatal(err)
	}
	var prepare, commit time.Duration
	for g := uint64(2); b.Loop(); g++ {
		r := bundle(b, g, "table inet filter {\n\tset big { type ipv4_addr; }\n}\n", keep...)
		start := time.Now()
		if _, err := k.Prepare(b.Context(), r); err != nil {
			b.Fatal(err)
		}
		prepare += time.Since(start)
		start = time.Now()
		report, err := k.Commit(b.Context(), r)
		if err != nil || report.Kept[0].Carried != 100_000 {
			b.Fatal(report, err)
		}
		commit += time.Since(start)
	}
	b.ReportMetric(prepare.Seconds()/float64(b.N), "prepare-s")
	b.ReportMetric(commit.Seconds()/float64(b.N), "commit-s")
}
