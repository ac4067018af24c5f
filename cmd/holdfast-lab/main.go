// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/build"
	"github.com/holdfast-project/holdfast/internal/usage"
	"github.com/holdfast-project/holdfast/lab/registry"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	var o options
	err := root(&o).ExecuteContext(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = interrupted(o.root, err)
	}
	stop()
	var code exitCode
	var misused *usage.Error
	switch {
	case err == nil:
	case errors.As(err, &misused):
		fmt.Fprintln(os.Stderr, "holdfast-lab:", err)
		os.Exit(2)
	case errors.As(err, &code):
		os.Exit(int(code))
	default:
		fmt.Fprintln(os.Stderr, "holdfast-lab:", err)
		os.Exit(1)
	}
}

// exitCode is an error that has been told already.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// options are what most commands share.
type options struct {
	bin  string // directory with holdfastd
	root string // where laboratories have their directories
}

// errInterrupted is what a command says whose laboratory was ended by a signal.
var errInterrupted = errors.New("interrupted; nothing is left behind")

// interrupted is the error of a command that a signal has ended, which has said so in many words.
func interrupted(root string, err error) error {
	all, listErr := registry.List(root)
	if listErr == nil && !slices.ContainsFunc(all, func(r registry.Record) bool { return r.PID == os.Getpid() }) {
		return errInterrupted
	}
	return fmt.Errorf("interrupted; holdfast-lab clean removes what is left: %w", errors.Join(err, listErr))
}

func root(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:           "holdfast-lab",
		Short:         "Break gateways in a laboratory and see what comes of it",
		Version:       build.Version,
		Args:          usage.Arguments(cobra.NoArgs),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.SetFlagErrorFunc(usage.Flags)
	cmd.PersistentFlags().StringVar(&o.bin, "bin", "", "directory with holdfastd (default: beside holdfast-lab, ./bin, PATH)")
	cmd.PersistentFlags().StringVar(&o.root, "root", registryRoot, "directory of all laboratories; keep it short")
	cmd.AddCommand(runCommand(o), upCommand(o), holdCommand(o), doCommand(o), stepsCommand(), execCommand(o), downCommand(o), listCommand(o), cleanCommand(o))
	cmd.AddCommand(more(o)...)
	return cmd
}

func requireRoot() error {
	if os.Geteuid() != 0 {
		return errors.New("a laboratory needs root (namespaces, BPF): run it with sudo")
	}
	return nil
}
