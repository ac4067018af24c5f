// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/control"
)

func (a *app) failoverCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "failover", Short: "History of hand-overs, and hand-overs by order", Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(a.failoverTo(), a.failoverEnd(), a.failoverReset(),
		noun(a, "history", "The last hand-overs and their number", (*control.Client).Failovers, drawFailovers))
	return cmd
}

func drawFailovers(p *page, v control.Failovers) {
	p.line("%d failovers since %s (%s)", v.Count, p.stamp(v.Since), v.Why)
	if len(v.History) == 0 {
		return
	}
	p.line("")
	rows := make([][]cell, 0, len(v.History))
	for _, f := range newestFirst(v.History) {
		gap := ""
		if f.GapMs > 0 {
			gap = ms(f.GapMs)
		}
		rows = append(rows, []cell{text(strconv.FormatUint(f.Number, 10)), text(p.stamp(f.Time)), text(nobody(f.From)), text(f.To), text(f.Kind),
			text(number(uint64(f.Term))), text(ms(f.TakeoverMs)), text(gap), text(f.Reason)})
	}
	p.table([]string{"NO", "TIME", "FROM", "TO", "KIND", "TERM", "TAKEOVER", "GAP", "REASON"}, rows)
}

// newestFirst sorts by number, then time, and leaves its argument alone.
func newestFirst(all []control.Failover) []control.Failover {
	return slices.SortedStableFunc(slices.Values(all), func(a, b control.Failover) int {
		return cmp.Or(cmp.Compare(b.Number, a.Number), b.Time.Compare(a.Time))
	})
}

func (a *app) failoverTo() *cobra.Command {
	var hold time.Duration
	cmd := &cobra.Command{
		Use: "to NAME", Short: "Hand the gateway to a member now", Args: arguments(cobra.ExactArgs(1)), ValidArgsFunction: a.completeMembers,
		Example: "  holdfast failover to gw-b\n  holdfast failover to gw-b --for 10m   # then the recovery mode's rule",
		RunE: func(cmd *cobra.Command, args []string) error {
			r := control.FailoverRequest{To: args[0], For: control.Duration(hold)}
			return a.verb(cmd.Context(), func(c *control.Client, ctx context.Context) (control.Result, error) { return c.Failover(ctx, r) })
		},
	}
	cmd.Flags().DurationVar(&hold, "for", 0, "hold the gateway there this long, whatever the recovery mode")
	return cmd
}

func (a *app) failoverEnd() *cobra.Command {
	return &cobra.Command{
		Use: "end", Short: "End a hand-over that was ordered with --for before its time", Args: arguments(cobra.NoArgs), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r := control.FailoverRequest{End: true}
			return a.verb(cmd.Context(), func(c *control.Client, ctx context.Context) (control.Result, error) { return c.Failover(ctx, r) })
		},
	}
}

func (a *app) failoverReset() *cobra.Command {
	var r control.ResetRequest
	cmd := &cobra.Command{
		Use: "reset", Short: "Start counting anew and forget the history", Args: arguments(cobra.NoArgs), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !r.Counter && !r.History {
				r.Counter, r.History = true, true
			}
			return a.verb(cmd.Context(), func(c *control.Client, ctx context.Context) (control.Result, error) { return c.ResetFailovers(ctx, r) })
		},
	}
	cmd.Flags().BoolVar(&r.Counter, "counter", false, "the counter only")
	cmd.Flags().BoolVar(&r.History, "history", false, "the history only")
	return cmd
}

// completeMembers offers the names of the cluster's members.
func (a *app) completeMembers(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	a.ask(func(c *control.Client, ctx context.Context) error {
		s, err := c.State(ctx)
		for _, m := range s.Members {
			names = append(names, m.Name+"\t"+m.State)
		}
		return err
	})
	return names, cobra.ShellCompDirectiveNoFileComp
}
