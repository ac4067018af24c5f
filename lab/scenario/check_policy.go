// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"fmt"
	"strings"

	"github.com/holdfast-project/holdfast/internal/control"
)

// policyIs holds while a member, or all that are on, say this of their policy.
type policyIs struct {
	member string // "all": all that are on
	what   string
	word   string
	want   compare
}

// policyCondition parses "M|all OP GENERATION", "M drift OP N", "M attempt STATE", "M fetched-from SOURCE OP N", "M boot-filter on|off".
func (p *parser) policyCondition(w *words) condition {
	var c policyIs
	if c.member = "all"; !w.take("all") {
		c.member = p.member(w)
	}
	switch {
	case w.take("drift"):
		c.what, c.want = "drift", w.compare(false)
	case w.take("attempt"):
		c.what, c.word = "attempt", w.next("state")
	case w.take("fetched-from"):
		c.what, c.word = "fetched", w.next("member or management")
		c.want = w.compare(false)
	case w.take("boot-filter"):
		c.what, c.word = "boot-filter", w.oneOf("state", "on", "off")
	default:
		c.what, c.want = "generation", w.compare(false)
	}
	return c
}

func (c policyIs) check(ctx context.Context, r *runner) (bool, string, error) {
	names := []string{c.member}
	if c.member == "all" {
		names = nil
		for _, m := range r.cluster.Members() {
			if m.Answering() {
				names = append(names, m.Name())
			}
		}
	}
	holds, texts := len(names) > 0, make([]string, len(names))
	for i, name := range names {
		v, silent, err := asked(ctx, r, name, (*control.Client).Policy)
		if err != nil {
			return false, "", err
		}
		if silent != "" {
			return false, silent, nil
		}
		ok, text := c.of(&v)
		holds, texts[i] = holds && ok, name+": "+text
	}
	return holds, strings.Join(texts, ", "), nil
}

// of judges one member.
func (c policyIs) of(v *control.Policy) (bool, string) {
	switch c.what {
	case "drift":
		return c.want.holds(float64(len(v.Drift))), fmt.Sprintf("%d %s", len(v.Drift), strings.Join(v.Drift, "; "))
	case "attempt":
		if v.Attempt == nil {
			return false, "no attempt"
		}
		return strings.ReplaceAll(v.Attempt.State, " ", "-") == c.word, strings.TrimSpace(v.Attempt.State + " " + v.Attempt.Why)
	case "fetched":
		return c.want.holds(float64(v.Fetched[c.word])), fmt.Sprint(v.Fetched)
	case "boot-filter":
		return v.BootFilter == (c.word == "on"), fmt.Sprint(v.BootFilter)
	}
	var generation uint64
	if v.InForce != nil {
		generation = v.InForce.Generation
	}
	return c.want.holds(float64(generation)), strings.TrimSpace(fmt.Sprintf("%d %s", generation, v.Reason))
}
