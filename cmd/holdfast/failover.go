// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/control"
)

func (a *app) failoverCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "failover", Short: "History of hand-overs, and hand-overs by order", Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(a.failoverTo(), a.failoverEnd(), a.failoverReset(),
		a.failoverHistory())
	return cmd
}

func (a *app) failoverHistory() *cobra.Command {
	var past past
	cmd := noun(a, "history", "The last hand-overs and their number",
		func(c *control.Client, ctx context.Context) (control.Failovers, error) {
			v, err := c.Failovers(ctx)
			if err == nil {
				v.History, err = keep(a, past, v.History, func(f control.Failover) time.Time { return f.Time })
			}
			return v, err
		}, drawFailovers)
	cmd.Long = "The hand-overs of the gateway that this member knows of, kept on disk across restarts and reboots (the last 1000).\n" +
		"TAKEOVER and GAP are measured by the member that took over: ask it for them."
	past.flags(cmd)
	return cmd
}

func drawFailovers(p *page, v control.Failovers) {
	what := "failovers"
	if v.Count == 1 {
		what = "failover"
	}
	p.line("%d %s since %s (%s)", v.Count, what, p.stamp(v.Since), v.Why)
	if len(v.History) == 0 {
		return
	}
	p.line("")
	rows := make([][]cell, 0, len(v.History))
	for _, f := range newestFirst(v.History) {
		gap, takeover := "", "" // who took over has measured them, nobody else
		if f.GapMs > 0 {
			gap = ms(f.GapMs)
		}
		if f.TakeoverMs > 0 {
			takeover = ms(f.TakeoverMs)
		}
		rows = append(rows, []cell{text(strconv.FormatUint(f.Number, 10)), text(p.stamp(f.Time)), text(nobody(f.From)), text(f.To), text(f.Kind),
			text(number(uint64(f.Term))), text(takeover), text(gap), text(culprits(f.Peer, f.Interface, f.Device)), text(f.Reason)})
	}
	p.table([]string{"NO", "TIME", "FROM", "TO", "KIND", "TERM", "TAKEOVER", "GAP", "CAUSE", "REASON"}, rows)
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
		Use: "reset [counter|history|all]", Short: "Start counting anew (counter), forget the history, or both",
		Long: "counter sets the failover counter and the flap budget back. history forgets the hand-overs and the changes of states\n" +
			"that are kept on disk; numbers go on. Without a word, or with all: both. The other members keep theirs.",
		Args: arguments(cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs)), ValidArgs: []string{"counter", "history", "all"},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch word := strings.Join(args, ""); {
			case word == "counter":
				r.Counter = true
			case word == "history":
				r.History = true
			case word == "all" || !r.Counter && !r.History:
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
