// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/lab/bench"
	"github.com/holdfast-project/holdfast/lab/conntrackd"
	"github.com/holdfast-project/holdfast/lab/keepalived"
	"github.com/holdfast-project/holdfast/lab/machine"
	"github.com/holdfast-project/holdfast/lab/members"
	"github.com/holdfast-project/holdfast/lab/registry"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// syncAdvert is keepalived's advertisement interval in the benchmark of state synchronisation.
const syncAdvert = 100 * time.Millisecond

func benchSyncCommand(o *options) *cobra.Command {
	cfg := bench.SyncConfig{Rounds: 5}
	var file string
	var systems []string
	cmd := &cobra.Command{
		Use:   "sync",
		Short: "What it takes to keep connections across a hand-over, and what it brings",
		Long: "What it takes to keep connections across a hand-over, and what it brings. docs/benchmarks/sync.md says how it is\n" +
			"measured and how to read the result. While it runs, the machine's limit of connections is raised.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.Log = cmd.ErrOrStderr()
			var err error
			if cfg.Systems, err = pick(syncSystems(*o), systems); err != nil {
				return err
			}
			return benchSync(cmd.Context(), *o, cfg, file, cmd)
		},
	}
	f := cmd.Flags()
	f.IntVar(&cfg.Rounds, "rounds", cfg.Rounds, "how often each case is measured with each system")
	f.StringVar(&file, "out", "", "write the result as JSON to this file")
	f.StringSliceVar(&cfg.Cases, "case", nil, fmt.Sprintf("only these cases of %v; replicate, full-sync and power-off take other numbers too: power-off-20k", bench.SyncCaseNames()))
	f.StringSliceVar(&systems, "system", nil, "only these systems")
	f.IntVar(&cfg.FillRate, "fill-rate", 25_000, "new connections a second while a table is filled whose filling is not measured")
	f.IntVar(&cfg.LastRate, "last-rate", 10_000, "new connections a second before the power-off of last-100ms")
	return cmd
}

// benchSync makes the benchmark and writes what came out, also of one that was interrupted.
func benchSync(ctx context.Context, o options, cfg bench.SyncConfig, file string, cmd *cobra.Command) error {
	if err := requireRoot(); err != nil {
		return err
	}
	entry, err := registry.Open(o.root, "benchmark sync")
	if err != nil {
		return err
	}
	// Twice as many as needed, so that no hash chain is long and no table near its limit.
	room := 2*cfg.Connections() + 1<<18
	if err := errors.Join(entry.Raise(registry.ConntrackMax, room), entry.Raise(registry.ConntrackBuckets, room/2)); err != nil {
		return errors.Join(err, entry.Close())
	}
	cfg.Dir = entry.Dir
	result, err := bench.Sync(ctx, cfg)
	return showMeasures(cmd, file, result, errors.Join(err, entry.Close()))
}

// syncSystems are the systems that are compared.
func syncSystems(o options) []bench.System {
	holdfast := func(extra string) func(*topology.Lab, string) (machine.System, error) {
		return func(lab *topology.Lab, dir string) (machine.System, error) {
			return members.New(lab, members.Options{Binary: binary(o), Dir: dir, Extra: extra})
		}
	}
	rival := func(direct bool) func(*topology.Lab, string) (machine.System, error) {
		return func(lab *topology.Lab, dir string) (machine.System, error) {
			return conntrackd.New(lab, conntrackd.Options{Dir: dir, Advert: syncAdvert, Direct: direct})
		}
	}
	return []bench.System{
		{Name: "holdfast", New: holdfast("")},
		{Name: "conntrackd", New: rival(false)},
		{Name: "conntrackd-direct", New: rival(true)},
		{Name: "holdfast-no-sync", New: holdfast("sync: {enabled: false}\n"), Only: []string{"latency"}},
		{Name: "bare-listener", New: holdfast("sync: {enabled: false}\n"), Only: []string{"latency"}, Heard: true},
		{Name: "keepalived", Only: []string{"latency"}, New: func(lab *topology.Lab, dir string) (machine.System, error) {
			return keepalived.New(lab, keepalived.Options{Name: "keepalived", Dir: dir, Advert: syncAdvert, RealTime: true})
		}},
	}
}
