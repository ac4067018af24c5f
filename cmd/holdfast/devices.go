// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/control"
)

func (a *app) devicesCommand() *cobra.Command {
	cmd := noun(a, "devices", "This member's critical devices", (*control.Client).Devices, drawDevices)
	cmd.AddCommand(a.deviceCommand("register", "Add a device; it counts from now on"),
		a.deviceCommand("report", "Report how a device is"),
		a.deviceCommand("unregister", "Forget a device"))
	return cmd
}

func drawDevices(p *page, v control.Devices) {
	rows := make([][]cell, 0, len(v.Devices))
	for _, d := range v.Devices {
		kind, timeout := "own", "never"
		if d.BuiltIn {
			kind, timeout = "built-in", ""
		}
		if d.TimeoutSec > 0 {
			timeout = short(time.Duration(d.TimeoutSec * float64(time.Second)))
		}
		rows = append(rows, []cell{text(d.Name), statusCell(d.Status), text(kind), text(timeout), text(p.ago(d.Since)), text(p.ago(d.Reported)), text(d.Reason)})
	}
	p.line("Member %s", v.Member)
	p.line("")
	p.table([]string{"DEVICE", "STATUS", "KIND", "EXPIRES", "FOR", "REPORTED", "REASON"}, rows)
}

func (a *app) deviceCommand(action, shortText string) *cobra.Command {
	r := control.DeviceRequest{Action: action}
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: action + " NAME", Short: shortText, Args: arguments(cobra.ExactArgs(1)), ValidArgsFunction: a.completeDevices,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Name, r.Timeout = args[0], control.Duration(timeout)
			return a.verb(cmd.Context(), func(c *control.Client, ctx context.Context) (control.Result, error) { return c.Device(ctx, r) })
		},
	}
	f := cmd.Flags()
	if action != "unregister" {
		f.StringVar(&r.Status, "status", "ok", "ok, init or problem")
		f.StringVar(&r.Reason, "reason", "", "why, for people")
		_ = cmd.RegisterFlagCompletionFunc("status", cobra.FixedCompletions([]string{"ok", "init", "problem"}, cobra.ShellCompDirectiveNoFileComp))
	}
	if action == "register" {
		f.DurationVar(&timeout, "timeout", 0, "a report older than this is a problem; 0: never")
		f.BoolVar(&r.Persistent, "persistent", false, "keep it over restarts and reboots")
	}
	return cmd
}

func (a *app) completeDevices(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 || cmd.Name() == "register" {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	a.ask(func(c *control.Client, ctx context.Context) error {
		v, err := c.Devices(ctx)
		for _, d := range v.Devices {
			if !d.BuiltIn {
				names = append(names, d.Name)
			}
		}
		return err
	})
	return names, cobra.ShellCompDirectiveNoFileComp
}

// ask is for completion: quick, and silent when nobody answers.
func (a *app) ask(f func(*control.Client, context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	c := control.NewClient(a.socket)
	defer c.Close()
	_ = f(c, ctx) // no answer, no completion
}
