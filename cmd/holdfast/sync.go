// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/control"
)

func (a *app) syncCommand() *cobra.Command {
	cmd := noun(a, "sync", "State synchronisation: do connections live on after a hand-over?", (*control.Client).Sync, drawSync)
	cmd.AddCommand(
		noun(a, "status", "How it is: status, tables, lag, interfaces", (*control.Client).Sync, drawSync),
		noun(a, "stats", "What it does: counters, rates, queues, losses", (*control.Client).SyncStats, drawSyncStats),
		a.syncReset(), a.syncVerify(),
	)
	return cmd
}

func (a *app) syncReset() *cobra.Command {
	return &cobra.Command{
		Use: "reset", Short: "Set this member's counters to zero", Args: arguments(cobra.NoArgs), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.verb(cmd.Context(), (*control.Client).ResetSync) },
	}
}

func (a *app) syncVerify() *cobra.Command {
	return &cobra.Command{
		Use: "verify [MEMBER]", Short: "Compare this member's connection table with another's, or all others', for real",
		Long: "Compares the connection tables of this member and of another, or of all others, entry by entry where they differ: both\n" +
			"kernels are asked for what they have. What comes and goes meanwhile is looked at again before it counts.\n\n" +
			"The exit code is 0 if all are equal, else 1.",
		Args: arguments(cobra.MaximumNArgs(1)), ValidArgsFunction: a.completeMembers,
		RunE: func(cmd *cobra.Command, args []string) error {
			var r control.SyncVerifyRequest
			if len(args) > 0 {
				r.Member = args[0]
			}
			c := control.NewClient(a.socket)
			defer c.Close()
			equal := true
			err := a.show(cmd.Context(), func(ctx context.Context) (any, func(*page), error) {
				v, err := c.VerifySync(ctx, r)
				equal = v.Equal
				return v, func(p *page) { drawVerify(p, v) }, err
			})
			if err == nil && !equal {
				err = errReported
			}
			return err
		},
	}
}
