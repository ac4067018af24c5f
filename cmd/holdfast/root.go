// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/build"
	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/usage"
)

// app is what all commands share: the environment and the global flags.
type app struct {
	environment
	socket  string
	output  string
	watch   time.Duration
	noColor bool
}

func newRoot(env environment) *cobra.Command {
	a := &app{environment: env}
	root := &cobra.Command{
		Use:   "holdfast",
		Short: "Look at and instruct a Holdfast cluster member",
		Long: "holdfast talks to the member on this machine over its control socket, which is root's. Nouns look, verbs change something.\n\n" +
			"-o json prints what docs/API.md describes; --watch draws again each second, --watch=200ms faster. Durations have a unit: 500ms,\n" +
			"30s, 2m, 1h.\n\n" +
			"Exit status: 0 done; 1 it was refused or failed, or what was asked is not so (config check, sync verify, policy diff and\n" +
			"verify); 2 the command line was not understood.",
		Version:       build.Version,
		Args:          usage.Arguments(cobra.NoArgs),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(cmd.ValidateFlagGroups(), cmd.ValidateRequiredFlags()); err != nil { // cobra would say so itself, as an error of no type
				return usage.New(fmt.Errorf("%w; see %s --help", err, cmd.CommandPath()))
			}
			return a.check()
		},
	}
	root.Flags().Bool("version", false, "version of this program")
	root.SetOut(env.out)
	root.SetErr(env.err)
	root.SetFlagErrorFunc(usage.Flags)
	f := root.PersistentFlags()
	f.StringVar(&a.socket, "socket", socketPath(env), "control socket of the member (environment: HOLDFAST_SOCKET)")
	f.StringVarP(&a.output, "output", "o", "table", "table or json")
	f.DurationVar(&a.watch, "watch", 0, "draw again each interval (--watch is --watch=1s)")
	f.Lookup("watch").NoOptDefVal = "1s"
	f.BoolVar(&a.noColor, "no-color", env.getenv("NO_COLOR") != "", "no colours on a terminal (environment: NO_COLOR)")
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
	root.AddCommand(
		a.stateCommand(), a.interfacesCommand(), a.devicesCommand(), a.vipsCommand(), a.failoverCommand(), a.historyCommand(), a.adminCommand(),
		a.reloadCommand(), a.stopCommand(), a.restartCommand(), a.eventsCommand(), a.timersCommand(), a.whyCommand(),
		a.countersCommand(), a.keyCommand(), a.configCommand(), a.versionCommand(), a.freezeCommand(), a.unfreezeCommand(), a.syncCommand(),
		a.loadCommand(), a.whichCommand(),
		a.policyCommand(), a.enrollCommand(), a.cphaprobCommand(), a.cphaconfCommand(),
	)
	for _, g := range groups {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, name := range strings.Fields(g.commands) {
			if cmd, _, err := root.Find([]string{name}); err == nil {
				cmd.GroupID = g.id
			}
		}
	}
	if err := usage.Examples(root, examples); err != nil {
		panic(err) // the table names a command that is none: the tests find it
	}
	return root
}

func (a *app) check() error {
	if a.output != "table" && a.output != "json" {
		return usage.New(fmt.Errorf("-o %s: choose table or json", a.output))
	}
	if a.watch < 0 || a.watch > 0 && a.watch < 100*time.Millisecond {
		return usage.New(fmt.Errorf("--watch=%s: choose at least 100ms", a.watch))
	}
	return nil
}

// arguments makes a check of the arguments one that shows how the command is written.
func arguments(check cobra.PositionalArgs) cobra.PositionalArgs { return usage.Arguments(check) }

// noun makes a command that looks: ask fetches, draw shows it as tables.
func noun[T any](a *app, use, short string, ask func(*control.Client, context.Context) (T, error), draw func(*page, T)) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: arguments(cobra.NoArgs), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := control.NewClient(a.socket)
			defer c.Close()
			return a.show(cmd.Context(), func(ctx context.Context) (any, func(*page), error) {
				v, err := ask(c, ctx)
				return v, func(p *page) { draw(p, v) }, err
			})
		},
	}
}

// show prints what fetch returns, once or, with --watch, again and again. A member that is away for a while (a restart) does not end
// a watch.
func (a *app) show(ctx context.Context, fetch func(context.Context) (any, func(*page), error)) error {
	if a.watch == 0 {
		v, draw, err := fetch(ctx)
		if err != nil {
			return err
		}
		return a.print(v, draw)
	}
	tick := time.NewTicker(a.watch)
	defer tick.Stop()
	for {
		v, draw, err := fetch(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			draw = func(p *page) { p.line("holdfast: %v", err) }
			v = map[string]string{"error": err.Error()}
		}
		if a.terminal && a.output == "table" {
			fmt.Fprint(a.out, "\x1b[H\x1b[2J") // home, clear
		}
		if err := a.print(v, draw); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (a *app) print(v any, draw func(*page)) error {
	if a.output == "json" {
		enc := json.NewEncoder(a.out)
		if a.watch == 0 {
			enc.SetIndent("", "  ")
		}
		return enc.Encode(v)
	}
	p := &page{app: a}
	draw(p)
	_, err := a.out.Write(p.bytes())
	return err
}

// verb runs a request that changes something and tells what was done.
func (a *app) verb(ctx context.Context, do func(*control.Client, context.Context) (control.Result, error)) error {
	c := control.NewClient(a.socket)
	defer c.Close()
	r, err := do(c, ctx)
	if err != nil {
		return err
	}
	return a.print(r, func(p *page) {
		p.line("%s", r.Done)
		for _, d := range r.Details {
			p.line("  %s", d)
		}
	})
}
