// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/usage"
	"github.com/holdfast-project/holdfast/lab/demo"
	"github.com/holdfast-project/holdfast/lab/machine"
	"github.com/holdfast-project/holdfast/lab/members"
	"github.com/holdfast-project/holdfast/lab/registry"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// demoCommand shows a cluster that is broken in every way.
func demoCommand(o *options) *cobra.Command {
	count := 3
	var only []string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show a cluster of three, every fault once, live, and a table",
		Args:  usage.Arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			cases, err := demo.Pick(only)
			if err != nil {
				return err
			}
			if err := requireRoot(); err != nil {
				return err
			}
			entry, err := registry.Open(o.root, "demonstration")
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, entry.Close()) }()
			out := cmd.OutOrStdout()
			_, err = demo.Run(cmd.Context(), demo.Config{
				Members: count, Cases: cases, Out: out, Style: styleOf(out),
				New: func(lab *topology.Lab) (machine.System, error) {
					return members.New(lab, members.Options{Binary: binary(*o), Dir: entry.Dir})
				},
			})
			return err
		},
	}
	cmd.Flags().IntVar(&count, "members", count, "size of the cluster")
	cmd.Flags().StringSliceVar(&only, "case", nil, "only these faults, in this order")
	return cmd
}
