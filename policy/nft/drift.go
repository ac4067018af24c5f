// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/ruleset"
)

// Baseline is what the kernel must have of a generation, as it tells it itself: not the operator's text, which says the same in another way.
type Baseline struct {
	mark   ruleset.Mark
	tables []baselineTable
	free   []policy.Set // sets whose elements are not the ruleset's
}

type baselineTable struct {
	table
	listing *ruleset.Ruleset
}

// Baseline reads what the kernel has of the policy now. Use it right after a commit, or Check's, which is of a namespace of its own: what
// was changed before is taken for right. The error wraps ErrGone if one of its tables is not there.
func (k *Kernel) Baseline(ctx context.Context, p *Policy) (*Baseline, error) {
	b := &Baseline{mark: p.Mark, free: slices.Clone(p.Keep)}
	for i := range p.Ruleset.Tables {
		t := &p.Ruleset.Tables[i]
		for _, o := range t.Objects {
			if o.Kind != "set" && o.Kind != "map" {
				continue
			}
			for _, s := range o.Statements {
				if s.Words[0].Text == "flags" && slices.ContainsFunc(s.Words, func(w ruleset.Word) bool { return w.Text == "dynamic" || w.Text == "timeout" }) {
					b.free = append(b.free, policy.Set{Family: t.Family, Table: t.Name, Name: o.Name})
				}
			}
		}
	}
	for _, t := range p.tables() {
		l, err := k.list(ctx, t, b.free)
		if err != nil {
			return nil, err
		}
		if l == nil {
			return nil, fmt.Errorf("nftables: %s %s: %w", familyName(t.family), t.name, ErrGone)
		}
		b.tables = append(b.tables, baselineTable{t, l})
	}
	return b, nil
}

var (
	expires   = regexp.MustCompile(` expires [0-9a-z]+`)
	headOfOwn = regexp.MustCompile(`^table ([a-z0-9]+) (\S+) \{`)
)

// list asks nft for a table, and reads what it says; nil if there is no such table. Elements of free sets are left out.
func (k *Kernel) list(ctx context.Context, t table, free []policy.Set) (*ruleset.Ruleset, error) {
	out, err := k.nft(ctx, "", "-s", "list", "table", familyName(t.family), t.name)
	if err != nil {
		var told *toldError
		if errors.As(err, &told) && strings.Contains(told.text, "No such file") {
			return nil, nil
		}
		return nil, err
	}
	// What a listing has and a policy may not: comment and flags of the table, which come first in it.
	lines := strings.SplitAfter(out, "\n")
	var b strings.Builder
	dormant := false
	for i, l := range lines {
		switch text := strings.TrimSpace(l); {
		case i == 0:
			b.WriteString(headOfOwn.ReplaceAllString(l, "table $1 "+ruleset.OperatorName(t.name)+" {"))
		case strings.HasPrefix(l, "\tcomment "):
		case strings.HasPrefix(l, "\tflags "):
			dormant = dormant || strings.Contains(text, "dormant")
		default:
			b.WriteString(expires.ReplaceAllString(l, ""))
		}
	}
	r, err := ruleset.Parse("kernel", b.String())
	if err != nil {
		return nil, fmt.Errorf("nft's listing of table %s: %w", t.name, err)
	}
	r.Tables[0].Dormant = dormant
	for i := range r.Tables {
		own := &r.Tables[i]
		for j := range own.Objects {
			o := &own.Objects[j]
			if slices.Contains(free, policy.Set{Family: own.Family, Table: own.Name, Name: o.Name}) {
				o.Statements = slices.DeleteFunc(o.Statements, func(s ruleset.Statement) bool { return s.Words[0].Text == "elements" })
			}
		}
	}
	return r, nil
}

// Compare tells in what the kernel differs from what it must have: nothing, or what somebody changed, object by object, where Added is what
// must not be there.
func (k *Kernel) Compare(ctx context.Context, b *Baseline) ([]ruleset.Change, error) {
	var all []ruleset.Change
	for _, t := range b.tables {
		now, err := k.list(ctx, t.table, b.free)
		if err != nil {
			return nil, err
		}
		name := familyName(t.family) + " " + ruleset.OperatorName(t.name)
		switch {
		case now == nil:
			all = append(all, ruleset.Change{Table: name, Kind: "table", Removed: true})
			continue
		case now.Tables[0].Dormant:
			all = append(all, ruleset.Change{Table: name, Kind: "table", Lines: []ruleset.LineChange{{Added: true, Text: "flags dormant"}}})
		}
		all = append(all, ruleset.Diff(t.listing, now)...)
	}
	return all, nil
}
