// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/internal/usage"
	"github.com/holdfast-project/holdfast/lab/cgroup"
	"github.com/holdfast-project/holdfast/lab/registry"
	"github.com/holdfast-project/holdfast/lab/report"
	"github.com/holdfast-project/holdfast/lab/scenario"
)

// ready is what a holder says when its laboratory is open; anything else that it says is why it is not.
const ready = "ready "

func upCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "up FILE",
		Short: "Build a scenario's topology and cluster and keep them open",
		Args:  usage.Arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := scenario.Load(args[0]); err != nil {
				return err
			}
			if err := requireRoot(); err != nil {
				return err
			}
			return up(cmd.Context(), *o, args[0], cmd.OutOrStdout())
		},
	}
}

// up starts a process that holds the laboratory: namespaces live as long as somebody holds them.
func up(ctx context.Context, o options, file string, out io.Writer) error {
	file, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd := exec.Command("/proc/self/exe", "hold", file, "--root", o.root)
	if o.bin != "" {
		bin, err := filepath.Abs(o.bin)
		if err != nil {
			return err
		}
		cmd.Args = append(cmd.Args, "--bin", bin)
	}
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	w.Close()
	if err != nil {
		return err
	}
	// It is in a session of its own: a Ctrl-C at this terminal does not reach it.
	pass := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer pass()
	said, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	id, ok := strings.CutPrefix(string(said), ready)
	if !ok {
		_ = cmd.Wait() // it says why on the pipe
		if ctx.Err() != nil {
			return errInterrupted
		}
		return fmt.Errorf("%s: %s", filepath.Base(file), said)
	}
	fmt.Fprintf(out, "%s is open: holdfast-lab exec fw1 -- holdfast state; holdfast-lab do power-off fw1; holdfast-lab down\n", id)
	return cmd.Process.Release()
}

func holdCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:    "hold FILE",
		Short:  "Hold a laboratory for up",
		Hidden: true,
		Args:   usage.Arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			unix.CloseOnExec(3) // the members' daemons must not hold it open
			pipe := os.NewFile(3, "up")
			err := hold(cmd.Context(), *o, args[0], pipe)
			if err != nil {
				fmt.Fprint(pipe, err) // fails, as it should, when the laboratory had been open
			}
			return err
		},
	}
}

func hold(ctx context.Context, o options, file string, pipe io.WriteCloser) error {
	sc, err := scenario.Load(file)
	if err != nil {
		return err
	}
	entry, err := registry.Open(o.root, "up "+sc.Name)
	if err != nil {
		return err
	}
	defer entry.Close()
	timeline := new(report.Timeline)
	session, err := scenario.Open(ctx, sc, scenario.Options{Dir: entry.Dir, Binary: binary(o), Timeline: timeline, AllowClockStep: true})
	if err != nil {
		return err
	}
	err = func() error {
		s, err := listen(entry.Socket, session, timeline)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprint(pipe, ready+entry.ID); err != nil {
			return fmt.Errorf("nobody waits for the laboratory: %w", err) // whoever asked for it was killed
		}
		pipe.Close()
		return s.serve(ctx)
	}()
	return errors.Join(err, session.Close())
}

func downCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "down [ID]",
		Short: "End an open laboratory, and remove what killed ones left",
		Args:  usage.Arguments(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			swept, err := sweep(o.root, cmd.OutOrStdout())
			if err != nil {
				return err
			}
			rec, err := find(o.root, args)
			if err != nil && swept > 0 && len(args) == 0 {
				return nil // that is what there was to end
			}
			if err != nil {
				return err
			}
			return end(cmd.Context(), rec)
		},
	}
}

// endPatience is how long a holder has to take its laboratory down before it is killed.
const endPatience = 15 * time.Second

// end asks the holder to end and waits for it. A holder that does not is killed; its laboratory goes with it.
func end(ctx context.Context, rec registry.Record) error {
	fd, err := unix.PidfdOpen(rec.PID, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", rec.ID, err)
	}
	defer unix.Close(fd)
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("%s: %w", rec.ID, err)
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(endPatience.Milliseconds()))
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if n > 0 {
			_, err := registry.Sweep(filepath.Dir(rec.Dir))
			return err
		}
	}
	return fmt.Errorf("%s: process %d does not end", rec.ID, rec.PID)
}

// find returns the open laboratory of that name, or the only one.
func find(root string, args []string) (registry.Record, error) {
	all, err := registry.List(root)
	if err != nil {
		return registry.Record{}, err
	}
	var open []registry.Record
	var ids []string
	for _, r := range all {
		if r.Running && strings.HasPrefix(r.What, "up ") && (len(args) == 0 || args[0] == r.ID) {
			open, ids = append(open, r), append(ids, r.ID)
		}
	}
	switch {
	case len(open) == 1:
		return open[0], nil
	case len(open) == 0 && len(args) > 0:
		return registry.Record{}, fmt.Errorf("no open laboratory %s: see holdfast-lab list", args[0])
	case len(open) == 0:
		return registry.Record{}, errors.New("no laboratory is open: holdfast-lab up FILE")
	default:
		return registry.Record{}, fmt.Errorf("several laboratories are open: name one with --lab (to down as its argument): %s", strings.Join(ids, " "))
	}
}

func listCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List laboratories on this host",
		Args:  usage.Arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := registry.List(o.root)
			if err != nil {
				return err
			}
			out := bufio.NewWriter(cmd.OutOrStdout())
			for _, r := range all {
				state := "running"
				if !r.Running {
					state = "killed; holdfast-lab clean removes what it left"
				}
				fmt.Fprintf(out, "%s  pid %d  since %s  %s  %s\n", r.ID, r.PID, r.Since.Format(time.DateTime), r.What, state)
			}
			return out.Flush()
		},
	}
}

func cleanCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "clean",
		Short: "Remove what killed laboratories left",
		Args:  usage.Arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := cmd.OutOrStdout()
			_, err := sweep(o.root, out)
			groups, groupsErr := cgroup.SweepDead()
			for _, path := range groups {
				fmt.Fprintf(out, "removed %s (of a process that has ended)\n", path)
			}
			return errors.Join(err, groupsErr)
		},
	}
}

// sweep removes what killed laboratories left, says so, and returns how many they were.
func sweep(root string, out io.Writer) (int, error) {
	swept, err := registry.Sweep(root)
	for _, r := range swept {
		fmt.Fprintf(out, "removed %s (%s)\n", r.Dir, r.What)
	}
	return len(swept), err
}
