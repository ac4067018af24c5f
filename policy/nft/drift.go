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
	b := &Baseline{mark: p.Mark, free: p.free()}
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

// Broken tells of which tables changes leave nothing that does their work: tables that are gone or asleep, and those with a chain that is gone,
// hooked in elsewhere, of another policy, or without any of its rules. A rule more or less is not among it.
func (b *Baseline) Broken(changes []ruleset.Change) (tables []string) {
	for _, c := range changes {
		broken := false
		switch c.Kind {
		case "table":
			broken = c.Removed || c.Name == "" && len(c.Lines) > 0
		case "chain":
			broken = !c.Added && (c.Removed || b.emptied(c))
		}
		if broken && !slices.Contains(tables, c.Table) {
			tables = append(tables, c.Table)
		}
	}
	return tables
}

// emptied reports whether a chain has another head, or none of the rules that it must have and no other.
func (b *Baseline) emptied(c ruleset.Change) bool {
	gone, more := 0, 0
	for _, l := range c.Lines {
		switch word, _, _ := strings.Cut(l.Text, " "); {
		case word == "type" || word == "policy":
			return true
		case l.Added:
			more++
		default:
			gone++
		}
	}
	return more == 0 && gone == b.rules(c.Table, c.Name)
}

// rules is how many rules a chain must have.
func (b *Baseline) rules(table, chain string) (n int) {
	for _, t := range b.tables {
		if familyName(t.family)+" "+ruleset.OperatorName(t.name) != table {
			continue
		}
		for _, o := range t.listing.Tables[0].Objects {
			if o.Kind != "chain" || o.Name != chain {
				continue
			}
			for _, s := range o.Statements {
				switch s.Words[0].Text {
				case "type", "policy", "comment":
				default:
					n++
				}
			}
		}
	}
	return n
}
