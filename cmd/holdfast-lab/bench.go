// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/lab/bench"
	"github.com/holdfast-project/holdfast/lab/keepalived"
	"github.com/holdfast-project/holdfast/lab/machine"
	"github.com/holdfast-project/holdfast/lab/members"
	"github.com/holdfast-project/holdfast/lab/registry"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// benchCommand compares systems.
func benchCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "bench", Short: "Measure, beside other systems in the same run", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(benchFailoverCommand(o), benchDevicesCommand(o), benchSyncCommand(o), benchLoadCommand(o), benchPolicyCommand(o), benchShowCommand())
	return cmd
}

// benchShowCommand prints a result again, or several slices of a run as one.
func benchShowCommand() *cobra.Command {
	markdown, file := false, ""
	cmd := &cobra.Command{
		Use:   "show FILE...",
		Short: "Print a benchmark's result again; several .trials.json of one run are joined",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var parts []bench.Result
			for _, name := range args {
				part, err := readResult(name)
				if err != nil {
					return err
				}
				parts = append(parts, part)
			}
			result, err := bench.Join(parts...)
			if err != nil {
				return err
			}
			if file != "" {
				if err := writeResult(file, result); err != nil {
					return err
				}
			}
			out := cmd.OutOrStdout()
			if markdown {
				return result.WriteMarkdown(out)
			}
			return result.WriteText(out, styleOf(out))
		},
	}
	cmd.Flags().BoolVar(&markdown, "markdown", false, "as a table in Markdown")
	cmd.Flags().StringVar(&file, "out", "", "write the joined result as JSON to this file")
	return cmd
}

// readResult reads a file that writeResult wrote the whole result to.
func readResult(name string) (bench.Result, error) {
	f, err := os.Open(name)
	if err != nil {
		return bench.Result{}, err
	}
	defer f.Close()
	result, err := bench.Read(f)
	if err != nil {
		return bench.Result{}, fmt.Errorf("%s: %w", name, err)
	}
	return result, nil
}

func benchFailoverCommand(o *options) *cobra.Command {
	cfg := bench.Config{Rounds: 20, Stress: 10 * time.Minute}
	var file string
	var systems []string
	cmd := &cobra.Command{
		Use:   "failover",
		Short: "How long a gateway is without service, per fault and system",
		Long: "How long a gateway is without service, per fault and system. docs/benchmarks/failover.md says how it is\n" +
			"measured and how to read the result.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.Log = cmd.ErrOrStderr()
			var err error
			if cfg.Systems, err = pick(benchSystems(*o), systems); err != nil {
				return err
			}
			return benchFailover(cmd.Context(), *o, cfg, file, cmd)
		},
	}
	f := cmd.Flags()
	f.IntVar(&cfg.Rounds, "rounds", cfg.Rounds, "how often each fault is done to each system")
	f.StringVar(&file, "out", "", "write the result as JSON to this file")
	f.StringSliceVar(&cfg.Cases, "case", nil, fmt.Sprintf("only these cases of %v", bench.CaseNames()))
	f.StringSliceVar(&systems, "system", nil, "only these systems")
	f.DurationVar(&cfg.Stress, "stress", cfg.Stress, "how long the stress lasts (it is done once, to all systems at the same time)")
	f.IntVar(&cfg.Members, "members", 3, "size of each cluster")
	return cmd
}

func benchDevicesCommand(o *options) *cobra.Command {
	cfg := bench.DevicesConfig{Devices: 200, Monitors: 50, Rounds: 3, Window: 20 * time.Second, Members: 3}
	var file string
	cmd := &cobra.Command{
		Use:   "devices",
		Short: "What critical devices and monitors cost a member at rest",
		Long: "What critical devices and monitors cost a member at rest: a cluster with them beside one without, over the same time.\n" +
			"docs/benchmarks/rest.md says how to read the result.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := requireRoot(); err != nil {
				return err
			}
			entry, err := registry.Open(o.root, "benchmark devices")
			if err != nil {
				return err
			}
			cfg.Log, cfg.Dir, cfg.Binary = cmd.ErrOrStderr(), entry.Dir, binary(*o)
			result, err := bench.Devices(cmd.Context(), cfg)
			err = errors.Join(err, entry.Close())
			if len(result.Rows) == 0 {
				return err
			}
			out := cmd.OutOrStdout()
			err = errors.Join(err, result.WriteMetrics(out, styleOf(out)))
			if file != "" {
				err = errors.Join(err, writeResult(file, result))
			}
			return err
		},
	}
	f := cmd.Flags()
	f.IntVar(&cfg.Rounds, "rounds", cfg.Rounds, "how often it is measured")
	f.DurationVar(&cfg.Window, "window", cfg.Window, "for how long each time")
	f.IntVar(&cfg.Devices, "devices", cfg.Devices, "devices that are registered and reported once a second")
	f.IntVar(&cfg.Monitors, "monitors", cfg.Monitors, "monitors at their usual intervals")
	f.IntVar(&cfg.Members, "members", cfg.Members, "size of both clusters")
	f.StringVar(&file, "out", "", "write the result as JSON to this file")
	return cmd
}

// benchFailover makes the benchmark and writes what came out, also of one that was interrupted.
func benchFailover(ctx context.Context, o options, cfg bench.Config, file string, cmd *cobra.Command) error {
	if err := requireRoot(); err != nil {
		return err
	}
	entry, err := registry.Open(o.root, "benchmark failover")
	if err != nil {
		return err
	}
	cfg.Dir = entry.Dir
	result, err := bench.Failover(ctx, cfg)
	err = errors.Join(err, entry.Close())
	if len(result.Trials) == 0 && err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	err = errors.Join(err, result.WriteText(out, styleOf(out)))
	if file != "" {
		err = errors.Join(err, writeResult(file, result))
	}
	if n := len(result.Failures); n > 0 && err == nil {
		return fmt.Errorf("%d of the trials could not be made: see above", n)
	}
	return err
}

// showMeasures shows what a benchmark measured, and writes it to file if that is named; err is what ended the benchmark early.
func showMeasures(cmd *cobra.Command, file string, result bench.Result, err error) error {
	if len(result.Measures) == 0 && err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	err = errors.Join(err, result.WriteMetrics(out, styleOf(out)))
	if file != "" {
		err = errors.Join(err, writeResult(file, result))
	}
	if n := len(result.Failures); n > 0 && err == nil {
		return fmt.Errorf("%d of the measurements could not be made: see above", n)
	}
	return err
}

// writeResult writes the rows to file, for programs, and the whole result with every trial beside it.
func writeResult(file string, result bench.Result) error {
	write := func(name string, to func(io.Writer) error) error {
		f, err := os.Create(name)
		if err != nil {
			return err
		}
		return errors.Join(to(f), f.Close())
	}
	whole := strings.TrimSuffix(file, ".json") + ".trials.json"
	return errors.Join(write(file, result.WriteRows), write(whole, result.WriteJSON))
}

// benchSystems are the systems that are compared.
func benchSystems(o options) []bench.System {
	holdfast := func(profile string, noVMAC bool) func(*topology.Lab, string) (machine.System, error) {
		return func(lab *topology.Lab, dir string) (machine.System, error) {
			return members.New(lab, members.Options{Binary: binary(o), Dir: dir, Profile: profile, NoVMAC: noVMAC})
		}
	}
	rival := func(name string, advert time.Duration) func(*topology.Lab, string) (machine.System, error) {
		return func(lab *topology.Lab, dir string) (machine.System, error) {
			return keepalived.New(lab, keepalived.Options{Name: name, Dir: dir, Advert: advert, RealTime: true})
		}
	}
	return []bench.System{
		{Name: "holdfast", New: holdfast("", false)},
		{Name: "holdfast-fast", New: holdfast("fast", false)},
		{Name: "keepalived-default", New: rival("keepalived-default", 0)},
		{Name: "keepalived-10ms", New: rival("keepalived-10ms", 10*time.Millisecond)},
		{Name: "holdfast-no-vmac", New: holdfast("", true), Only: []string{"power-off", bench.CaseManyVIPs}},
	}
}

// pick returns the systems of these names, all without names.
func pick(systems []bench.System, names []string) ([]bench.System, error) {
	if len(names) == 0 {
		return systems, nil
	}
	return bench.Pick(systems, func(s bench.System) string { return s.Name }, names)
}
