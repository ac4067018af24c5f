// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/control"
)

func (a *app) whyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "why [MEMBER]", Short: "Why this member is in its state, and why the others are not active",
		Long: "A line for each member as this one sees it, then the facts behind this member's own.\n" +
			"With a name: the line and the facts of that member, as this one sees it.",
		Args: arguments(cobra.MaximumNArgs(1)), ValidArgsFunction: a.completeMembers,
		RunE: func(cmd *cobra.Command, args []string) error {
			c := control.NewClient(a.socket)
			defer c.Close()
			return a.show(cmd.Context(), func(ctx context.Context) (any, func(*page), error) {
				w, err := c.Why(ctx)
				if err != nil || len(args) == 0 {
					return w, func(p *page) { drawWhy(p, w) }, err
				}
				one, err := whyOne(w, args[0])
				return one, func(p *page) { drawWhyOne(p, one); drawFacts(p, one.Facts) }, err
			})
		},
	}
}

// whyOne picks the answer for one member.
func whyOne(w control.Why, name string) (control.WhyNot, error) {
	if name == w.Member {
		return control.WhyNot{Member: w.Member, State: w.State, Why: w.Why, Facts: w.Facts}, nil
	}
	names := []string{w.Member}
	for _, m := range w.Peers {
		if m.Member == name {
			return m, nil
		}
		names = append(names, m.Member)
	}
	return control.WhyNot{}, fmt.Errorf("there is no member %q; the members are %s", name, strings.Join(names, ", "))
}

func drawWhy(p *page, w control.Why) {
	drawWhyOne(p, control.WhyNot{Member: w.Member, State: w.State, Why: w.Why})
	for _, n := range w.Peers {
		drawWhyOne(p, n)
	}
	if len(w.Facts) > 0 {
		p.line("")
		drawFacts(p, w.Facts)
	}
}

func drawWhyOne(p *page, n control.WhyNot) {
	p.told(n.Member+" is ", stateCell(n.State), ": ", n.Why, plain)
}

func drawFacts(p *page, facts []string) {
	for _, f := range facts {
		p.wrapped("  - ", "    ", f)
	}
}
