// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/lab/bench"
	"github.com/holdfast-project/holdfast/lab/registry"
)

func benchLoadCommand(o *options) *cobra.Command {
	cfg := bench.LoadConfig{Rounds: 8}
	var file, other string
	var systems []string
	cmd := &cobra.Command{
		Use:   "load",
		Short: "Packets a second and processor time a packet of forwarding, alone and shared",
		Long: "Packets a second and processor time a packet of forwarding, by one gateway and by several that share the load.\n" +
			"docs/benchmarks/load.md says how it is measured and how to read the result. While it runs with many flows, the machine's limits\n" +
			"of connections are raised.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.Log = cmd.ErrOrStderr()
			var err error
			if cfg.Systems, err = bench.PickLoad(bench.LoadSystems(binary(*o), other), systems); err != nil {
				return err
			}
			return benchLoad(cmd.Context(), *o, cfg, file, cmd)
		},
	}
	f := cmd.Flags()
	f.IntVar(&cfg.Rounds, "rounds", cfg.Rounds, "how often all systems are booted anew and measured")
	f.IntVar(&cfg.Laps, "laps", 24, "how many windows a system is measured for in a round")
	f.StringVar(&file, "out", "", "write the result as JSON to this file")
	f.StringSliceVar(&cfg.Cases, "case", nil, fmt.Sprintf("only these cases of %v", bench.LoadCaseNames()))
	f.StringSliceVar(&systems, "system", nil, "only these systems; those with other attachments (-xdp) are measured only when they are named")
	f.StringVar(&other, "other", "", "path of another build's holdfastd: there are systems with -other behind their names, of its clusters, to be named")
	f.DurationVar(&cfg.Window, "window", 25*time.Millisecond, "how long each window takes")
	f.IntVar(&cfg.Flows, "flows", 1024, "how many flows the packets are of; with another number than the usual one the cases in the result are named after it")
	return cmd
}

// benchLoad makes the benchmark and writes what came out, also of one that was interrupted.
// loadBuckets is how many buckets there are for a connection: as many as in the usual table of a gateway with 32,768.
const loadBuckets = 8

func benchLoad(ctx context.Context, o options, cfg bench.LoadConfig, file string, cmd *cobra.Command) error {
	if err := requireRoot(); err != nil {
		return err
	}
	entry, err := registry.Open(o.root, "benchmark load")
	if err != nil {
		return err
	}
	if cmd.Flags().Changed("flows") {
		// All systems' connections are in one table, each twice: in long chains those who look for what is not there would pay for the others.
		each, all := cfg.Connections()
		if err := errors.Join(entry.Raise(registry.ConntrackMax, each), entry.Raise(registry.ConntrackBuckets, loadBuckets*all)); err != nil {
			return errors.Join(err, entry.Close())
		}
	}
	cfg.Dir = entry.Dir
	result, err := bench.Load(ctx, cfg)
	return showMeasures(cmd, file, result, errors.Join(err, entry.Close()))
}
