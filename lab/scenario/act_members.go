// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/lab/machine"
	"github.com/holdfast-project/holdfast/lab/netns"
	"github.com/holdfast-project/holdfast/lab/report"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// harm and heal put what the laboratory does into the timeline, before it is done.
func (r *runner) harm(subject, format string, a ...any) {
	r.add(report.Event{Kind: report.Fault, Subject: subject, Text: fmt.Sprintf(format, a...)})
}

func (r *runner) heal(subject, format string, a ...any) {
	r.add(report.Event{Kind: report.Heal, Subject: subject, Text: fmt.Sprintf(format, a...)})
}

// stepPatience bounds what a step waits for by itself: a daemon that starts or ends.
const stepPatience = 30 * time.Second

type power struct {
	member string
	on     bool
}

func (a power) run(ctx context.Context, r *runner) error {
	if !a.on {
		r.harm(a.member, "power off")
		return r.cluster.PowerOff(a.member)
	}
	r.heal(a.member, "power on")
	ctx, cancel := context.WithTimeout(ctx, stepPatience)
	defer cancel()
	if err := r.cluster.PowerOn(ctx, a.member); err != nil {
		return err
	}
	return r.faults.Replug(a.member)
}

// bootAll switches all members on at the same time that are off.
type bootAll struct{}

func (bootAll) run(ctx context.Context, r *runner) error {
	var off []string
	for _, m := range r.cluster.Members() {
		if !m.Machine().Booted() {
			off = append(off, m.Name())
		}
	}
	r.heal("", "power on %s", strings.Join(off, " "))
	ctx, cancel := context.WithTimeout(ctx, stepPatience)
	defer cancel()
	if err := r.cluster.BootOnly(ctx, off...); err != nil {
		return err
	}
	var errs []error
	for _, name := range off {
		errs = append(errs, r.faults.Replug(name))
	}
	return errors.Join(errs...)
}

type signal struct {
	verb   string
	member string
	part   machine.Part
}

func (a signal) run(_ context.Context, r *runner) error {
	switch a.verb {
	case "kill":
		r.harm(a.member, "SIGKILL to its processes: %s", a.part)
		return r.cluster.Kill(a.member, a.part)
	case "stop":
		r.harm(a.member, "SIGSTOP to its processes: %s", a.part)
		return r.cluster.Stop(a.member, a.part)
	default:
		r.heal(a.member, "SIGCONT to its processes: %s", a.part)
		return r.cluster.Continue(a.member, a.part)
	}
}

type daemon struct {
	member  string
	restart bool
}

func (a daemon) run(ctx context.Context, r *runner) error {
	ctx, cancel := context.WithTimeout(ctx, stepPatience)
	defer cancel()
	if a.restart {
		r.harm(a.member, "restart of its daemon")
		return r.cluster.Restart(ctx, a.member)
	}
	r.heal(a.member, "start of its daemon")
	return r.cluster.Start(ctx, a.member)
}

type failover struct {
	to   string
	hold time.Duration
}

// run gives the order until it is taken: a member whose host has just stood still refuses for a moment, and says why.
func (a failover) run(ctx context.Context, r *runner) error {
	r.add(report.Event{Kind: report.Step, Subject: a.to, Text: "the operator moves the gateway here"})
	said := ""
	for deadline := time.Now().Add(defaultPatience); ; {
		err := r.cluster.FailoverTo(ctx, a.to, a.hold)
		var refusal *control.Error
		if !errors.As(err, &refusal) || refusal.Code != control.CodeRefused || time.Now().After(deadline) {
			return err
		}
		if err.Error() != said {
			said = err.Error()
			r.add(report.Event{Kind: report.Note, Subject: a.to, Text: said})
		}
		if err := sleep(ctx, lookEvery); err != nil {
			return err
		}
	}
}

type admin struct {
	member        string
	up, permanent bool
}

func (a admin) run(ctx context.Context, r *runner) error {
	m, err := r.cluster.Member(a.member)
	if err != nil {
		return err
	}
	word := "down"
	if a.up {
		word = "up"
	}
	r.add(report.Event{Kind: report.Step, Subject: a.member, Text: "admin " + word})
	_, err = m.Client().Admin(ctx, control.AdminRequest{Up: a.up, Permanent: a.permanent})
	return err
}

type pause struct {
	member string
	resume bool
}

func (a pause) run(_ context.Context, r *runner) error {
	if a.resume {
		r.heal(a.member, "the machine runs again")
		return r.faults.Resume(r.cluster, a.member)
	}
	if err := r.faults.Prepare(a.member); err != nil {
		return err
	}
	r.harm(a.member, "the machine stands still")
	return r.faults.Pause(r.cluster, a.member)
}

type execute struct {
	node string
	args []string
}

func (a execute) run(ctx context.Context, r *runner) error {
	if len(a.args) == 0 {
		return fmt.Errorf("exec on %s: no command", a.node)
	}
	cmd, err := r.command(ctx, a.args)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	wait, err := r.startOn(a.node, cmd)
	if err == nil {
		err = wait()
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(a.args, " "), err, strings.TrimSpace(out.String()))
	}
	return nil
}

// command prepares a command of a step; {dir} in its words is the cluster's directory.
func (r *runner) command(ctx context.Context, args []string) (*exec.Cmd, error) {
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = r.cluster.Options().Expand(a)
	}
	path, err := exec.LookPath(words[0])
	if err != nil {
		return nil, err
	}
	return exec.CommandContext(ctx, path, words[1:]...), nil
}

// startOn starts a command on a node: on a member's machine, or in another node's namespace.
func (r *runner) startOn(name string, cmd *exec.Cmd) (wait func() error, err error) {
	n, err := r.lab.Node(name)
	if err != nil {
		return nil, err
	}
	if n.Kind == topology.Member {
		m, err := r.cluster.Machine(name)
		if err != nil {
			return nil, err
		}
		run, err := m.Start(cmd)
		if err != nil {
			return nil, err
		}
		return run.Wait, nil
	}
	return cmd.Wait, netns.Start(netns.Place{Net: n.NS}, cmd)
}
