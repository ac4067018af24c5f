// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/usage"
	"github.com/holdfast-project/holdfast/lab/netns"
)

func execCommand(o *options) *cobra.Command {
	var lab string
	cmd := &cobra.Command{
		Use:     "exec NODE -- COMMAND ARGS...",
		Short:   "Run a command on a node of an open laboratory",
		Example: "  holdfast-lab exec client1 -- ping 10.2.1.1\n  holdfast-lab exec switch -- ip -br link",
		Args:    usage.Arguments(cobra.MinimumNArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			command := args[1:]
			if command[0] == "--" {
				command = command[1:]
			}
			if len(command) == 0 {
				return errors.New("exec: no command: holdfast-lab exec NODE -- COMMAND")
			}
			rec, err := find(o.root, labArg(lab))
			if err != nil {
				return err
			}
			a, err := ask(cmd.Context(), rec.Socket, order{Where: args[0]}, func(string) {})
			if err != nil {
				return err
			}
			env := os.Environ()
			if a.Control != "" {
				env = append(env, "HOLDFAST_SOCKET="+a.Control) // where the operator's command finds the daemon
			}
			return enter(cmd.Context(), args[0], a.place, command, env)
		},
	}
	cmd.Flags().StringVar(&lab, "lab", "", "which laboratory, if several are open")
	cmd.Flags().SetInterspersed(false)
	return cmd
}

// lookPath finds a command on PATH, or beside this program: holdfast is there when nothing is installed.
func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if !errors.Is(err, exec.ErrNotFound) {
		return path, err
	}
	self, e := os.Executable()
	if e != nil {
		return "", err
	}
	if beside, e := exec.LookPath(filepath.Join(filepath.Dir(self), name)); e == nil {
		return beside, nil
	}
	return "", err
}

// enter runs a command in a place, with this terminal, and ends with its exit code.
func enter(ctx context.Context, node string, at place, args, env []string) error {
	path, err := lookPath(args[0])
	if err != nil {
		return err
	}
	ns, err := netns.Open(node, at.Net)
	if err != nil {
		return err
	}
	defer ns.Close()
	to := netns.Place{Net: ns}
	for _, f := range []struct {
		path string
		file **os.File
	}{{at.Mount, &to.Mount}, {at.PID, &to.PID}} {
		if f.path == "" {
			continue
		}
		if *f.file, err = os.Open(f.path); err != nil {
			return err
		}
		defer (*f.file).Close()
	}
	cmd := exec.CommandContext(ctx, path, args[1:]...)
	cmd.Args[0] = args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = os.Stdin, os.Stdout, os.Stderr, env
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if err := netns.Start(to, cmd); err != nil {
		return err
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return exitCode(exit.ExitCode())
	}
	return err
}
