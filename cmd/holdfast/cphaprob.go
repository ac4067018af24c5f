// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/usage"
)

const cphaprobUsage = `cphaprob state | stat                  the members
cphaprob [-a] if                       interfaces; -a: virtual ones too
cphaprob [-l | -i[a] | -e] list        critical devices in problem; -l, -ia: all
                                       -i: in problem, built-in ones too; -e: all
                                       that are not built in
cphaprob show_failover                 hand-overs
cphaprob [-reset] syncstat             state synchronisation; -reset: count anew
cphaprob corr                          load sharing: packets given to other members
cphaprob igmp                          load sharing: multicast MAC and group
cphaprob -d NAME -t SEC -s STATUS [-p] register
cphaprob -f FILE [-p] register         lines "NAME SEC STATUS"
cphaprob -d NAME -s STATUS report
cphaprob -d NAME [-p] unregister       STATUS: ok, init, problem
cphaprob -a [-p] unregister            all that were registered
cphaconf set_pnote ... register | report | unregister
                                       -p: also after a restart or reboot`

func (a *app) cphaprobCommand() *cobra.Command {
	return &cobra.Command{Use: "cphaprob", Short: "States, devices and counters as cphaprob shows them (also by a link of that name)",
		Long: cphaprobUsage, DisableFlagParsing: true, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error { return cphaprob(cmd.Context(), a, "cphaprob", args) }}
}

func (a *app) cphaconfCommand() *cobra.Command {
	return &cobra.Command{Use: "cphaconf", Short: "Register and report critical devices as cphaconf does (also by a link of that name)",
		Long: cphaprobUsage, DisableFlagParsing: true, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error { return cphaprob(cmd.Context(), a, "cphaconf", args) }}
}

// cpha is a command line of cphaprob, whose flags are words with one dash in any place.
type cpha struct {
	all, persistent bool
	reset           bool
	list            string // "", l, i, ia, e
	device, status  string
	file            string
	timeout         float64 // seconds
	command         string
	socket          string // of the program's own flags, when given before its name
}

func parseCpha(args []string) (cpha, error) {
	var c cpha
	for i := 0; i < len(args); i++ {
		value := func() (string, error) {
			i++
			if i >= len(args) {
				return "", usage.New(fmt.Errorf("%s needs a value", args[i-1]))
			}
			return args[i], nil
		}
		var err error
		switch arg := args[i]; arg {
		case "-a", "-m", "-am":
			c.all = true
		case "-l", "-i", "-ia", "-e":
			c.list = arg[1:]
		case "-reset":
			c.reset = true
		case "-p":
			c.persistent = true
		case "--socket":
			c.socket, err = value()
		case "-g":
		case "-f":
			c.file, err = value()
		case "-d":
			c.device, err = value()
		case "-s":
			c.status, err = value()
		case "-t":
			var text string
			if text, err = value(); err == nil {
				if c.timeout, err = strconv.ParseFloat(text, 64); err != nil {
					err = usage.New(fmt.Errorf("-t %s: write seconds", text))
				}
			}
		default:
			if c.command != "" || strings.HasPrefix(arg, "-") {
				return c, usage.New(fmt.Errorf("cphaprob: %s is not known here\n%s", arg, cphaprobUsage))
			}
			c.command = arg
		}
		if err != nil {
			return c, err
		}
	}
	return c, nil
}

func cphaprob(ctx context.Context, a *app, name string, args []string) error {
	if name == "cphaconf" {
		if len(args) == 0 || args[0] != "set_pnote" {
			return usage.New(fmt.Errorf("cphaconf: only set_pnote is known here\n%s", cphaprobUsage))
		}
		args = args[1:]
	}
	c, err := parseCpha(args)
	if err != nil {
		return err
	}
	if c.socket != "" {
		a.socket = c.socket
	}
	if a.output == "" {
		a.output = "table"
	}
	client := control.NewClient(a.socket)
	defer client.Close()
	switch c.command {
	case "state", "stat":
		v, err := client.State(ctx)
		return a.cphaPage(err, func(p *page) { cphaState(p, v) })
	case "if":
		v, err := client.Interfaces(ctx)
		if err != nil || !c.all {
			return a.cphaPage(err, func(p *page) { cphaInterfaces(p, v) })
		}
		vips, err := client.VIPs(ctx)
		return a.cphaPage(err, func(p *page) { cphaInterfaces(p, v); cphaVIPs(p, vips) })
	case "list":
		v, err := client.Devices(ctx)
		return a.cphaPage(err, func(p *page) { cphaDevices(p, v, c.list) })
	case "show_failover":
		v, err := client.Failovers(ctx)
		return a.cphaPage(err, func(p *page) { cphaFailovers(p, v) })
	case "corr", "igmp":
		v, err := client.Load(ctx)
		draw := cphaCorrection
		if c.command == "igmp" {
			draw = cphaGroup
		}
		return a.cphaPage(err, func(p *page) { draw(p, v) })
	case "syncstat":
		return a.cphaSync(ctx, client, c.reset)
	case "register", "report", "unregister":
		return a.cphaDevice(ctx, client, c)
	case "", "help":
		fmt.Fprintln(a.out, cphaprobUsage)
		return nil
	default:
		return usage.New(fmt.Errorf("cphaprob %s is not known here\n%s", c.command, cphaprobUsage))
	}
}

// cphaSync shows state synchronisation, or sets its counters to zero.
func (a *app) cphaSync(ctx context.Context, client *control.Client, reset bool) error {
	if reset {
		_, err := client.ResetSync(ctx)
		return err
	}
	s, err := client.Sync(ctx)
	if err != nil {
		return err
	}
	v, err := client.SyncStats(ctx)
	return a.cphaPage(err, func(p *page) { cphaSync(p, s, v) })
}

// cphaDevice changes critical devices.
func (a *app) cphaDevice(ctx context.Context, client *control.Client, c cpha) error {
	switch {
	case c.file != "" && c.command == "register":
		return a.registerFile(ctx, c.file, c.persistent)
	case c.all && c.command == "unregister":
		v, err := client.Devices(ctx)
		if err != nil {
			return err
		}
		var r control.DevicesRequest
		for _, d := range v.Devices {
			if !d.BuiltIn && len(d.Monitors) == 0 {
				r.Requests = append(r.Requests, control.DeviceRequest{Action: "unregister", Name: d.Name, Persistent: c.persistent})
			}
		}
		if len(r.Requests) == 0 {
			return nil
		}
		return a.verb(ctx, func(cl *control.Client, ctx context.Context) (control.Result, error) { return cl.ManyDevices(ctx, r) })
	}
	return a.deviceVerb(ctx, control.DeviceRequest{Action: c.command, Name: c.device, Status: c.status, Persistent: c.persistent,
		Timeout: control.Duration(c.timeout * float64(time.Second))})
}

func (a *app) cphaPage(err error, draw func(*page)) error {
	if err != nil {
		return err
	}
	p := &page{app: a}
	draw(p)
	_, err = a.out.Write(p.bytes())
	return err
}
