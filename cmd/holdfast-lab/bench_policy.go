// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/lab/bench"
	"github.com/holdfast-project/holdfast/lab/members"
	"github.com/holdfast-project/holdfast/lab/registry"
)

// The parts of the benchmark of policies.
const (
	partInstall = "install"
	partFleet   = "fleet"
)

// policyBench is what its flags say.
type policyBench struct {
	parts, systems []string
	rounds         int
	file           string
	install        bench.PolicyConfig
	fleet          bench.FleetConfig
}

func benchPolicyCommand(o *options) *cobra.Command {
	var b policyBench
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "How long it takes to install a policy, and what management takes for a whole fleet",
		Long: "How long it takes to install a policy on a cluster, beside plain nft, and what a management server takes while a whole fleet\n" +
			"reports to it, with its store in a file and in etcd. docs/benchmarks/policy.md says how it is measured and how to read the result.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return b.run(cmd.Context(), *o, cmd) },
	}
	f := cmd.Flags()
	f.StringSliceVar(&b.parts, "part", []string{partInstall, partFleet}, "only these parts")
	f.StringSliceVar(&b.systems, "system", nil, fmt.Sprintf("only these systems of %v", slices.Concat(bench.PolicySystemNames(), bench.FleetSystems())))
	f.IntVar(&b.rounds, "rounds", 5, "how often each system is measured")
	f.StringVar(&b.file, "out", "", "write the result as JSON to this file")
	f.IntVar(&b.install.Rules, "rules", 10_000, "install: rules of the ruleset")
	f.IntVar(&b.install.Elements, "elements", 100_000, "install: elements of the set in it")
	f.IntVar(&b.install.Members, "members", 3, "install: size of the cluster")
	f.IntVar(&b.fleet.Clusters, "clusters", 1000, "fleet: how many clusters there are")
	f.IntVar(&b.fleet.Members, "fleet-members", 5, "fleet: size of each cluster")
	f.DurationVar(&b.fleet.Window, "window", 20*time.Second, "fleet: for how long reports are measured, each time")
	f.IntVar(&b.fleet.AtOnce, "at-once", 64, "fleet: installs that are asked for at a time when all clusters get one")
	return cmd
}

// run measures the parts and writes what came out, also of one that was interrupted.
func (b *policyBench) run(ctx context.Context, o options, cmd *cobra.Command) error {
	var results []bench.Result
	var errs []error
	for _, part := range b.parts {
		var known []string
		var measure func(context.Context, options, []string, *cobra.Command) (bench.Result, error)
		switch part {
		case partInstall:
			known, measure = bench.PolicySystemNames(), b.runInstall
		case partFleet:
			known, measure = bench.FleetSystems(), b.runFleet
		default:
			return fmt.Errorf("part %q: there are %s and %s", part, partInstall, partFleet)
		}
		systems, err := b.pick(known)
		if err != nil {
			return err
		}
		if len(systems) == 0 || ctx.Err() != nil {
			continue
		}
		result, err := measure(ctx, o, systems, cmd)
		errs = append(errs, err)
		if len(result.Measures) > 0 {
			results = append(results, result)
		}
	}
	if len(results) == 0 {
		return errors.Join(errs...)
	}
	result, err := bench.Beside(results...)
	errs = append(errs, err)
	out := cmd.OutOrStdout()
	errs = append(errs, result.WriteMetrics(out, styleOf(out)))
	if b.file != "" {
		errs = append(errs, writeResult(b.file, result))
	}
	if n := len(result.Failures); n > 0 {
		errs = append(errs, fmt.Errorf("%d of the measurements could not be made: see above", n))
	}
	return errors.Join(errs...)
}

// pick returns the systems of a part that are wanted.
func (b *policyBench) pick(known []string) (out []string, err error) {
	all := slices.Concat(bench.PolicySystemNames(), bench.FleetSystems())
	for _, name := range b.systems {
		if !slices.Contains(all, name) {
			return nil, fmt.Errorf("system %q: there are %v", name, all)
		}
	}
	for _, name := range known {
		if len(b.systems) == 0 || slices.Contains(b.systems, name) {
			out = append(out, name)
		}
	}
	return out, nil
}

func (b *policyBench) runInstall(ctx context.Context, o options, systems []string, cmd *cobra.Command) (bench.Result, error) {
	if err := requireRoot(); err != nil {
		return bench.Result{}, err
	}
	entry, err := registry.Open(o.root, "benchmark policy")
	if err != nil {
		return bench.Result{}, err
	}
	cfg := b.install
	cfg.Rounds, cfg.Systems, cfg.Log, cfg.Dir, cfg.Binary = b.rounds, systems, cmd.ErrOrStderr(), entry.Dir, binary(o)
	result, err := bench.Policy(ctx, cfg)
	return result, errors.Join(err, entry.Close())
}

func (b *policyBench) runFleet(ctx context.Context, o options, systems []string, cmd *cobra.Command) (_ bench.Result, err error) {
	daemon, err := members.FindBinary(binary(o))
	if err != nil {
		return bench.Result{}, err
	}
	cfg := b.fleet
	cfg.Rounds, cfg.Systems, cfg.Log, cfg.Binary = b.rounds, systems, cmd.ErrOrStderr(), filepath.Join(filepath.Dir(daemon), "holdfast-mgmt")
	// Not the laboratory's directory, which is in memory: the disk is measured.
	if cfg.Dir, err = os.MkdirTemp("", "holdfast-fleet-"); err != nil {
		return bench.Result{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(cfg.Dir)) }()
	return bench.Fleet(ctx, cfg)
}
