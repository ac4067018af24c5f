// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/ruleset"
)

// Restore puts the generation in force back as it was installed, whatever somebody made of it: changed rules, other flags, tables that are gone.
// Its tables are deleted and loaded in one transaction, which takes as long as a load; until then what is there filters. The elements of
// kept sets that are still there stay: for some milliseconds after the transaction they are missing. The error is a *RulesetError if the ruleset
// cannot be loaded; then nothing has changed.
func (k *Kernel) Restore(ctx context.Context, p *Policy) (Report, error) {
	c, err := dial(k.options.Namespace)
	if err != nil {
		return Report{}, err
	}
	defer c.Close()
	have, err := c.tables()
	if err != nil {
		return Report{}, err
	}
	var before strings.Builder
	lines := 0
	for _, t := range p.tables() {
		// By its name: somebody may have made it anew, without the mark.
		if slices.ContainsFunc(have, func(h table) bool { return h.family == t.family && h.name == t.name }) {
			fmt.Fprintf(&before, "delete table %s %s\n", familyName(t.family), t.name)
			lines++
		}
	}
	saved := make([][]element, len(p.Keep))
	for i, s := range p.Keep {
		if saved[i], err = c.saved(s, p.Mark.Generation); err != nil {
			return Report{}, err
		}
	}
	text := p.Ruleset.RenderAwake(p.Definitions, p.Mark)
	// The definitions come first, so that their lines count as before.
	if err := k.load(ctx, p, ruleset.Rendered{Text: before.String() + text.Text, Lines: lines + text.Lines}); err != nil {
		return Report{}, err
	}
	var r Report
	for i, s := range p.Keep {
		refused, err := c.put(msgNewElement, families[s.Family], ruleset.TableName(s.Table, p.Mark.Generation), s.Name, saved[i])
		kept := Kept{Set: s.String(), Carried: len(saved[i]) - len(refused), Refused: len(refused)}
		if err != nil {
			kept.Why = err.Error()
		}
		r.Kept = append(r.Kept, kept)
	}
	return r, nil
}

// saved reads the elements of a set; none if somebody has removed it.
func (c conn) saved(s policy.Set, generation uint64) ([]element, error) {
	name := ruleset.TableName(s.Table, generation)
	info, err := c.set(families[s.Family], name, s.Name)
	var all []element
	if err == nil {
		all, err = c.elements(families[s.Family], name, s.Name, info)
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return nil, fmt.Errorf("nftables: set %v: %w", s, err)
	}
	return all, nil
}
