// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"

	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/ruleset"
)

// limiting is how a ruleset says that something may be used up.
var limiting = regexp.MustCompile(`\b(limit|quota|ct\s+count)\b`)

// unlimited takes limits out of the policy's rules: a rule that is for what is above one never matches, and any other does as if there were none.
func (s *standIn) unlimited(ctx context.Context, p *Policy) error {
	if !limiting.MatchString(p.Ruleset.Text()) {
		return nil
	}
	var changes []any
	for _, t := range p.tables() {
		text, err := s.kernel.nft(ctx, "", "-j", "-a", "list", "table", familyName(t.family), t.name)
		if err != nil {
			return err
		}
		var listed struct {
			Nftables []map[string]json.RawMessage
		}
		if err := json.Unmarshal([]byte(text), &listed); err != nil {
			return fmt.Errorf("nft: listing of table %s: %w", t.name, err)
		}
		above := map[string]bool{} // objects
		for _, o := range listed.Nftables {
			for _, kind := range []string{"limit", "quota"} {
				var object struct {
					Name string
					Inv  bool
				}
				if raw, ok := o[kind]; ok && json.Unmarshal(raw, &object) == nil {
					above[kind+" "+object.Name] = object.Inv
				}
			}
		}
		for _, o := range listed.Nftables {
			raw, ok := o["rule"]
			if !ok {
				continue
			}
			var rule map[string]any
			if err := json.Unmarshal(raw, &rule); err != nil {
				return fmt.Errorf("nft: a rule of table %s: %w", t.name, err)
			}
			expr, _ := rule["expr"].([]any)
			rest, changed, never := relax(expr, above)
			delete(rule, "expr")
			switch {
			case never:
				changes = append(changes, map[string]any{"delete": map[string]any{"rule": rule}})
			case changed:
				rule["expr"] = rest
				changes = append(changes, map[string]any{"replace": map[string]any{"rule": rule}})
			}
		}
	}
	if len(changes) == 0 {
		return nil
	}
	text, err := json.Marshal(map[string]any{"nftables": changes})
	if err == nil {
		_, err = s.kernel.nft(ctx, string(text), "-j", "-f", "-")
	}
	if err != nil {
		return fmt.Errorf("rules without their limits: %w", err)
	}
	return nil
}

// relax takes limits out of a rule's statements; never says that it is for what is above one.
func relax(expr []any, above map[string]bool) (rest []any, changed, never bool) {
	for _, one := range expr {
		m, ok := one.(map[string]any)
		if !ok {
			rest = append(rest, one)
			continue
		}
		limit := false
		for _, kind := range []string{"limit", "quota", "ct count"} {
			switch v := m[kind].(type) {
			case map[string]any:
				limit = true
				inv, _ := v["inv"].(bool)
				never = never || inv
			case string:
				limit = true
				never = never || above[kind+" "+v]
			}
		}
		for _, kind := range []string{"set", "map", "meter"} { // elements with statements of their own
			v, ok := m[kind].(map[string]any)
			if !ok || v["stmt"] == nil {
				continue
			}
			inner, isList := v["stmt"].([]any)
			if !isList {
				inner = []any{v["stmt"]}
			}
			left, c, n := relax(inner, above)
			never = never || n
			switch {
			case !c:
			case len(left) == 0:
				changed = true
				delete(v, "stmt")
				limit = kind == "meter" // which is nothing without
			default:
				changed = true
				v["stmt"] = left
			}
		}
		if limit {
			changed = true
			continue
		}
		rest = append(rest, one)
	}
	return rest, changed || never, never
}

// copySet brings the elements of a kept set from one namespace to another.
func copySet(from, to conn, s policy.Set, generation uint64) error {
	family, table := families[s.Family], ruleset.TableName(s.Table, generation)
	shape, err := from.set(family, table, s.Name)
	if err != nil {
		return fmt.Errorf("nftables: set %v: %w", s, err)
	}
	all, err := from.elements(family, table, s.Name, shape)
	if err != nil {
		return fmt.Errorf("nftables: elements of set %v: %w", s, err)
	}
	_, _ = to.put(msgNewElement, family, table, s.Name, all) // those of the ruleset's own text are there
	return nil
}
