// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/holdfast-project/holdfast/internal/control"
)

var statuses = []string{"ok", "problem", "init"}

func (a *app) devicesCommand() *cobra.Command {
	var problems, all bool
	cmd := noun(a, "devices", "This member's critical devices", func(c *control.Client, ctx context.Context) (control.Devices, error) {
		v, err := c.Devices(ctx)
		if problems {
			v.Devices = notOK(v.Devices)
		}
		return v, err
	}, func(p *page, v control.Devices) { drawDevices(p, v, problems, all) })
	cmd.Flags().BoolVar(&problems, "problems", false, "only those that are not ok")
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also what a problem of each built-in one means")
	cmd.MarkFlagsMutuallyExclusive("problems", "all")
	cmd.AddCommand(a.deviceRegister(), a.deviceReport(), a.deviceUnregister())
	return cmd
}

func notOK(all []control.Device) []control.Device {
	some := []control.Device{}
	for _, d := range all {
		if d.Status != "ok" {
			some = append(some, d)
		}
	}
	return some
}

func drawDevices(p *page, v control.Devices, problems, all bool) {
	if problems && len(v.Devices) == 0 {
		p.line("Member %s: all critical devices are ok.", v.Member)
		return
	}
	p.line("Member %s: %d critical devices, %d not ok", v.Member, len(v.Devices), len(notOK(v.Devices)))
	p.line("")
	weighted := false
	for _, d := range v.Devices {
		weighted = weighted || d.Weight > 1
	}
	rows := make([][]cell, 0, len(v.Devices))
	for _, d := range v.Devices {
		reported, timeout, kept, weight := "", "", "", ""
		if !d.BuiltIn {
			reported, timeout = p.ago(d.Reported), "never"
		}
		if d.TimeoutSec > 0 {
			timeout = short(time.Duration(d.TimeoutSec * float64(time.Second)))
		}
		if d.Persistent {
			kept = "yes"
		}
		if weighted && d.Weight > 0 {
			weight = fmt.Sprint(d.Weight)
		}
		rows = append(rows, []cell{text(d.Name), statusCell(d.Status), text(p.ago(d.Since)), text(reported), text(timeout), text(kept), text(weight), text(d.Reason)})
	}
	p.table([]string{"DEVICE", "STATUS", "FOR", "REPORTED", "TIMEOUT", "PERSISTS", "WEIGHT", "REASON"}, rows)
	if !all {
		return
	}
	p.line("")
	p.line("A problem of a built-in device means:")
	for _, d := range v.Devices {
		if d.BuiltIn {
			p.wrapped("  "+d.Name+": ", "      ", d.Meaning)
		}
	}
}

func (a *app) deviceRegister() *cobra.Command {
	r := control.DeviceRequest{Action: "register"}
	var timeout time.Duration
	file := ""
	cmd := &cobra.Command{
		Use: "register NAME | -f FILE", Short: "Add a device; it counts from now on",
		Long: "Adds a critical device, or sets timeout, status and reason of one that is there.\n\n" +
			"A file has a line \"NAME TIMEOUT STATE\" for each device; TIMEOUT is 5s, 1m, or a number of seconds, 0 for never. # begins a\n" +
			"comment. All lines are checked first, and all devices are registered or none.",
		Args: arguments(func(cmd *cobra.Command, args []string) error {
			if file != "" {
				return cobra.NoArgs(cmd, args)
			}
			return cobra.ExactArgs(1)(cmd, args)
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if file != "" {
				return a.registerFile(cmd.Context(), file, r.Persistent)
			}
			r.Name, r.Timeout = args[0], control.Duration(timeout)
			return a.deviceVerb(cmd.Context(), r)
		},
	}
	f := cmd.Flags()
	f.DurationVar(&timeout, "timeout", 0, "a report older than this is a problem; 0: never")
	f.StringVar(&r.Status, "state", "ok", "ok, init or problem")
	f.StringVar(&r.Reason, "reason", "", "why, for people")
	f.BoolVar(&r.Persistent, "persist", false, "keep it over restarts and reboots")
	f.StringVarP(&file, "file", "f", "", "register what this file lists; - for standard input")
	for _, other := range []string{"timeout", "state", "reason"} {
		cmd.MarkFlagsMutuallyExclusive("file", other)
	}
	f.SetNormalizeFunc(longNames)
	_ = cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(statuses, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// longNames takes the flags of earlier versions for what they are called now.
func longNames(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	switch name {
	case "status":
		name = "state"
	case "persistent":
		name = "persist"
	}
	return pflag.NormalizedName(name)
}

func (a *app) deviceReport() *cobra.Command {
	r := control.DeviceRequest{Action: "report"}
	cmd := &cobra.Command{
		Use: "report NAME ok|problem|init", Short: "Report how a device is", ValidArgsFunction: a.completeReport,
		Args: arguments(func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("state") {
				return cobra.ExactArgs(1)(cmd, args)
			}
			return cobra.ExactArgs(2)(cmd, args)
		}),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Name = args[0]
			if len(args) > 1 {
				r.Status = args[1]
			}
			return a.deviceVerb(cmd.Context(), r)
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.Status, "state", "", "in place of the second argument")
	f.StringVar(&r.Reason, "reason", "", "why, for people")
	f.SetNormalizeFunc(longNames)
	_ = f.MarkHidden("state")
	return cmd
}

func (a *app) deviceUnregister() *cobra.Command {
	r := control.DeviceRequest{Action: "unregister"}
	cmd := &cobra.Command{
		Use: "unregister NAME", Short: "Forget a device", Args: arguments(cobra.ExactArgs(1)), ValidArgsFunction: a.completeDevices,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Name = args[0]
			return a.deviceVerb(cmd.Context(), r)
		},
	}
	cmd.Flags().BoolVar(&r.Persistent, "persist", false, "also what register --persist keeps over restarts")
	cmd.Flags().SetNormalizeFunc(longNames)
	return cmd
}

func (a *app) deviceVerb(ctx context.Context, r control.DeviceRequest) error {
	return a.verb(ctx, func(c *control.Client, ctx context.Context) (control.Result, error) { return c.Device(ctx, r) })
}

func (a *app) completeDevices(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	a.ask(func(c *control.Client, ctx context.Context) error {
		v, err := c.Devices(ctx)
		for _, d := range v.Devices {
			if !d.BuiltIn && len(d.Monitors) == 0 {
				names = append(names, d.Name+"\t"+d.Status)
			}
		}
		return err
	})
	return names, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) completeReport(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 1 {
		return statuses, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeDevices(cmd, args, word)
}

// ask is for completion: quick, and silent when nobody answers.
func (a *app) ask(f func(*control.Client, context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	c := control.NewClient(a.socket)
	defer c.Close()
	_ = f(c, ctx) // no answer, no completion
}
