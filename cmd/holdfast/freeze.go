// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/control"
)

func (a *app) freezeCommand() *cobra.Command {
	var hold time.Duration
	cmd := &cobra.Command{
		Use: "freeze", Short: "Stop voluntary moves in the whole cluster, for 30 s unless told otherwise",
		Long: "Nothing moves for a fail-back or by order while the cluster is frozen.\n\n" +
			"A member that is silent, yields or has crashed is taken over from all the same. A freeze ends by itself.",
		Args: arguments(cobra.NoArgs), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.freeze(cmd.Context(), control.FreezeRequest{Frozen: true, For: control.Duration(hold)})
		},
	}
	cmd.Flags().DurationVar(&hold, "for", 0, "1s to 10m; 0: 30s")
	return cmd
}

func (a *app) unfreezeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "unfreeze", Short: "End a freeze that was ordered at this member", Args: arguments(cobra.NoArgs), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.freeze(cmd.Context(), control.FreezeRequest{}) },
	}
}

func (a *app) freeze(ctx context.Context, r control.FreezeRequest) error {
	return a.verb(ctx, func(c *control.Client, ctx context.Context) (control.Result, error) { return c.Freeze(ctx, r) })
}
