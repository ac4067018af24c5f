// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/control"
)

func (a *app) adminCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "admin", Short: "Take this member out of service, or back", Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	for _, up := range []bool{false, true} {
		r := control.AdminRequest{Up: up}
		sub := &cobra.Command{Use: "down", Short: "Hand over gracefully and stay DOWN until admin up",
			Args: arguments(cobra.NoArgs), ValidArgsFunction: cobra.NoFileCompletions,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return a.verb(cmd.Context(), func(c *control.Client, ctx context.Context) (control.Result, error) { return c.Admin(ctx, r) })
			}}
		if up {
			sub.Use, sub.Short = "up", "End admin down, a permanent one too"
		} else {
			sub.Flags().BoolVar(&r.Permanent, "permanent", false, "also after a restart or reboot")
		}
		cmd.AddCommand(sub)
	}
	return cmd
}

func (a *app) stopCommand() *cobra.Command {
	return a.orderCommand("stop", "Leave the cluster gracefully, remove the gate and everything set on this host, end the daemon",
		(*control.Client).Stop)
}

func (a *app) restartCommand() *cobra.Command {
	return a.orderCommand("restart", "End the daemon while the gate goes on serving; the service manager starts it again",
		(*control.Client).Restart)
}

func (a *app) orderCommand(use, short string, do func(*control.Client, context.Context) (control.Result, error)) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: arguments(cobra.NoArgs), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.verb(cmd.Context(), do) }}
}

func (a *app) reloadCommand() *cobra.Command {
	return &cobra.Command{
		Use: "reload", Short: "Read cluster.yaml again and apply it, or say what cannot change live",
		Args: arguments(cobra.NoArgs), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := control.NewClient(a.socket)
			defer c.Close()
			r, err := c.Reload(cmd.Context())
			if err != nil {
				return err
			}
			if err := a.print(r, func(p *page) { drawReload(p, r) }); err != nil {
				return err
			}
			if len(r.Refused) > 0 || len(r.Warnings) > 0 {
				return errReported
			}
			return nil
		},
	}
}

func drawReload(p *page, r control.ReloadResult) {
	switch {
	case len(r.Refused) > 0:
		p.line("Nothing was applied, because this cannot change live:")
		drawChanges(p, r.Refused)
	case len(r.Applied) == 0:
		p.line("Nothing has changed.")
	default:
		p.line("Applied:")
		drawChanges(p, r.Applied)
	}
	if len(r.Warnings) > 0 {
		p.line("The configuration is in force, but not everywhere on this host; put right what is said here, then holdfast reload again:")
		for _, w := range r.Warnings {
			p.wrapped("  ", "      ", w)
		}
	}
}

func drawChanges(p *page, all []control.Change) {
	for _, c := range all {
		p.line("  %s: %s -> %s", c.Path, nothing(c.From), nothing(c.To))
		if c.Reason != "" {
			p.line("      %s", c.Reason)
		}
	}
}

func nothing(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

// short writes a duration without zero parts: 10m, not 10m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
