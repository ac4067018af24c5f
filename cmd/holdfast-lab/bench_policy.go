// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/lab/bench"
	"github.com/holdfast-project/holdfast/lab/registry"
)

func benchPolicyCommand(o *options) *cobra.Command {
	cfg := bench.PolicyConfig{Rounds: 5, Rules: 10_000, Elements: 100_000, Members: 3}
	var file string
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "How long it takes to install a policy on a cluster, beside plain nft",
		Long:  "How long it takes to install a policy on a cluster, beside plain nft. docs/benchmarks/policy.md says how it is measured and\nhow to read the result.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.Log = cmd.ErrOrStderr()
			return benchPolicy(cmd.Context(), *o, cfg, file, cmd)
		},
	}
	f := cmd.Flags()
	f.IntVar(&cfg.Rounds, "rounds", cfg.Rounds, "how often each system is measured")
	f.StringVar(&file, "out", "", "write the result as JSON to this file")
	f.StringSliceVar(&cfg.Systems, "system", nil, fmt.Sprintf("only these systems of %v", bench.PolicySystemNames()))
	f.IntVar(&cfg.Rules, "rules", cfg.Rules, "rules of the ruleset")
	f.IntVar(&cfg.Elements, "elements", cfg.Elements, "elements of the set in it")
	f.IntVar(&cfg.Members, "members", cfg.Members, "size of the cluster")
	return cmd
}

// benchPolicy makes the benchmark and writes what came out, also of one that was interrupted.
func benchPolicy(ctx context.Context, o options, cfg bench.PolicyConfig, file string, cmd *cobra.Command) error {
	if err := requireRoot(); err != nil {
		return err
	}
	entry, err := registry.Open(o.root, "benchmark policy")
	if err != nil {
		return err
	}
	cfg.Dir, cfg.Binary = entry.Dir, binary(o)
	result, err := bench.Policy(ctx, cfg)
	err = errors.Join(err, entry.Close())
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
