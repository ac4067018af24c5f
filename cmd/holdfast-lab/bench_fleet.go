// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/lab/bench"
)

func benchFleetCommand() *cobra.Command {
	cfg := bench.FleetConfig{Clusters: 1000, Members: 5, Rounds: 3, Window: 20 * time.Second, AtOnce: 8}
	file := ""
	cmd := &cobra.Command{
		Use:   "fleet",
		Short: "What a management server takes while a whole fleet reports to it, and how long installs take then",
		Long: "What a management server takes while a whole fleet reports to it, and how long installs take then, with the store in a file and in\n" +
			"etcd. The members are real as far as management sees them: each has a certificate and connections of its own. docs/benchmarks/policy.md\n" +
			"says how to read the result.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			cfg.Log = cmd.ErrOrStderr()
			if cfg.Binary == "" {
				if cfg.Binary, err = findManagement(); err != nil {
					return err
				}
			}
			if cfg.Dir, err = os.MkdirTemp("", "holdfast-fleet-"); err != nil {
				return err
			}
			defer func() { err = errors.Join(err, os.RemoveAll(cfg.Dir)) }()
			result, err := bench.Fleet(cmd.Context(), cfg)
			if len(result.Rows) == 0 && err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			err = errors.Join(err, result.WriteMetrics(out, styleOf(out)))
			if file != "" {
				err = errors.Join(err, writeResult(file, result))
			}
			if n := len(result.Failures); n > 0 && err == nil {
				return fmt.Errorf("%d of the systems could not be measured: see above", n)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.IntVar(&cfg.Rounds, "rounds", cfg.Rounds, "how often it is measured")
	f.DurationVar(&cfg.Window, "window", cfg.Window, "for how long each time")
	f.IntVar(&cfg.Clusters, "clusters", cfg.Clusters, "how many clusters there are")
	f.IntVar(&cfg.Members, "members", cfg.Members, "size of each cluster")
	f.IntVar(&cfg.AtOnce, "at-once", cfg.AtOnce, "installs that are asked for at a time when all clusters get one")
	f.StringSliceVar(&cfg.Systems, "system", bench.FleetSystems(), "only these systems")
	f.StringVar(&cfg.Binary, "mgmt", "", "path of holdfast-mgmt; default beside this program")
	f.StringVar(&file, "out", "", "write the result as JSON to this file")
	return cmd
}

// findManagement finds holdfast-mgmt where a build leaves it.
func findManagement() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	name := filepath.Join(filepath.Dir(self), "holdfast-mgmt")
	if _, err := os.Stat(name); err != nil {
		return "", fmt.Errorf("%w: build it (make build), or name it with --mgmt", err)
	}
	return name, nil
}
