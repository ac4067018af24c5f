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
)

const cphaprobUsage = `cphaprob state | stat                  the members
cphaprob [-a] if                       interfaces; -a: virtual ones too
cphaprob [-l] list                     critical devices in problem; -l: all
cphaprob show_failover                 hand-overs
cphaprob -d NAME -t SEC -s STATUS [-p] register
cphaprob -d NAME -s STATUS report
cphaprob -d NAME unregister            STATUS: ok, init, problem`

func (a *app) cphaprobCommand() *cobra.Command {
	return &cobra.Command{Use: "cphaprob", Short: "The same in a spelling that hands know (also by calling this program cphaprob)",
		Long: cphaprobUsage, DisableFlagParsing: true, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error { return cphaprob(cmd.Context(), a, args) }}
}

// cpha is a command line of cphaprob, whose flags are words with one dash in any place.
type cpha struct {
	all, long, persistent bool
	device, status        string
	timeout               int
	command               string
}

func parseCpha(args []string) (cpha, error) {
	var c cpha
	for i := 0; i < len(args); i++ {
		value := func() (string, error) {
			i++
			if i >= len(args) {
				return "", &usageError{fmt.Errorf("%s needs a value", args[i-1])}
			}
			return args[i], nil
		}
		var err error
		switch arg := args[i]; arg {
		case "-a", "-m", "-am":
			c.all = true
		case "-l", "-i", "-ia", "-e":
			c.long = true
		case "-p":
			c.persistent = true
		case "-g":
		case "-d":
			c.device, err = value()
		case "-s":
			c.status, err = value()
		case "-t":
			var text string
			if text, err = value(); err == nil {
				if c.timeout, err = strconv.Atoi(text); err != nil {
					err = &usageError{fmt.Errorf("-t %s: write seconds", text)}
				}
			}
		default:
			if c.command != "" || strings.HasPrefix(arg, "-") {
				return c, &usageError{fmt.Errorf("cphaprob: %s is not known here\n%s", arg, cphaprobUsage)}
			}
			c.command = arg
		}
		if err != nil {
			return c, err
		}
	}
	return c, nil
}

func cphaprob(ctx context.Context, a *app, args []string) error {
	c, err := parseCpha(args)
	if err != nil {
		return err
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
		return a.cphaPage(err, func(p *page) { cphaDevices(p, v, c.long) })
	case "show_failover":
		v, err := client.Failovers(ctx)
		return a.cphaPage(err, func(p *page) { cphaFailovers(p, v) })
	case "register", "report", "unregister":
		r := control.DeviceRequest{Action: c.command, Name: c.device, Status: c.status, Persistent: c.persistent,
			Timeout: control.Duration(time.Duration(c.timeout) * time.Second)}
		return a.verb(ctx, func(cl *control.Client, ctx context.Context) (control.Result, error) { return cl.Device(ctx, r) })
	case "", "help":
		fmt.Fprintln(a.out, cphaprobUsage)
		return nil
	default:
		return &usageError{fmt.Errorf("cphaprob %s is not known here\n%s", c.command, cphaprobUsage)}
	}
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
