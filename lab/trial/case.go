// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-project/holdfast/lab/fault"
	"github.com/holdfast-project/holdfast/lab/machine"
)

// Case is one kind of fault.
type Case struct {
	// Name is the case's name in results ("power-off"); Title says to a person what happens, with %s for the member.
	Name, Title string
	// Prepare brings about what the case starts from, and returns who serves then; nil if nothing has to be done.
	Prepare func(ctx context.Context, st *Stage, server string) (string, error)
	// Harm does it to the member that serves. What Harm returns undoes it, and is called after the measurement; nil if nothing has
	// to be undone.
	Harm func(ctx context.Context, st *Stage, server string) (Undo, error)
	// Hold is how long to look at the least. With Settle the trial goes on until the gateway is at rest again, which
	// must be within Patience.
	Hold     time.Duration
	Settle   bool
	Patience time.Duration
	// Within are further acts during the measurement, after Hold, which is followed by After then (SIGCONT after SIGSTOP).
	Within func(ctx context.Context, st *Stage, server string) error
	After  time.Duration
}

// Undo takes a fault back.
type Undo func(ctx context.Context) error

const (
	// patience is how long the slowest system may take to come to rest: keepalived at its defaults needs 3.6 s.
	patience = 15 * time.Second
	// hold is how long a fault is looked at that nobody may notice. Both sides of a split must get the time to show it.
	hold = 5 * time.Second
)

// Cases returns all cases by name, in a good order to show them.
func Cases() []Case {
	return []Case{
		PowerOff("power-off"),
		{
			Name: "sigkill", Title: "SIGKILL of every process of %s; nobody restarts it", Hold: hold,
			Harm: func(_ context.Context, st *Stage, server string) (Undo, error) {
				if err := st.System.Kill(server, machine.AllParts); err != nil {
					return nil, err
				}
				st.mark(server, "killed")
				return st.start(server), nil
			},
		},
		{
			Name: "sigstop", Title: "SIGSTOP of every process of %s for 5 s, then SIGCONT", Hold: hold, After: 2 * time.Second,
			Harm: func(_ context.Context, st *Stage, server string) (Undo, error) {
				if err := st.System.Stop(server, machine.AllParts); err != nil {
					return nil, err
				}
				st.resumed = st.mark(server, "stopped")
				return nil, nil
			},
			Within: func(_ context.Context, st *Stage, server string) error {
				st.resumed()
				return st.System.Continue(server, machine.AllParts)
			},
		},
		cable("cable-pull", "cable of %s out of the switch", fault.AtSwitch),
		cable("cable-pull-member", "cable out of %s", fault.AtNode),
		{
			Name: "graceful", Title: "graceful hand-over from %s", Hold: time.Second, Settle: true, Patience: patience,
			Harm: func(ctx context.Context, st *Stage, server string) (Undo, error) {
				to, err := st.Other(server)
				if err != nil {
					return nil, err
				}
				return nil, st.System.Handover(ctx, to)
			},
		},
		{
			Name: "restart", Title: "restart of the daemon of %s", Hold: 2 * time.Second, Settle: true, Patience: patience,
			Harm: func(ctx context.Context, st *Stage, server string) (Undo, error) {
				return nil, st.System.Restart(ctx, server)
			},
		},
	}
}

// Find returns the case of that name.
func Find(name string) (Case, error) {
	var names []string
	for _, c := range Cases() {
		if c.Name == name {
			return c, nil
		}
		names = append(names, c.Name)
	}
	return Case{}, fmt.Errorf("no case %q: there are %v", name, names)
}

// PowerOff is a case of its own for each topology that it is tried on.
func PowerOff(name string) Case {
	return Case{
		Name: name, Title: "power of %s off", Settle: true, Patience: patience,
		Harm: func(_ context.Context, st *Stage, server string) (Undo, error) {
			if err := st.System.PowerOff(server); err != nil {
				return nil, err
			}
			st.mark(server, "off")
			return func(ctx context.Context) error {
				st.forget(server)
				if err := st.System.PowerOn(ctx, server); err != nil {
					return err
				}
				return st.Faults.Replug(server)
			}, nil
		},
	}
}

// cable pulls the server's cable out of the first segment, where the clients are.
func cable(name, title string, end fault.End) Case {
	return Case{
		Name: name, Title: title, Settle: true, Patience: patience,
		Harm: func(_ context.Context, st *Stage, server string) (Undo, error) {
			segment := st.System.Lab().Spec.Segments[0].Name
			if err := st.Faults.Unplug(server, segment, end); err != nil {
				return nil, err
			}
			return func(context.Context) error { return st.Faults.Plug(server, segment, end) }, nil
		},
	}
}

// start returns what starts a member's software again.
func (st *Stage) start(member string) Undo {
	return func(ctx context.Context) error {
		st.forget(member)
		return st.System.Start(ctx, member)
	}
}

// Failback is the way back to the member with the highest priority after its power was off: by itself, if the system does that
// (keepalived preempts), else by a graceful hand-over as soon as the member is ready. Measured from its power-on.
func Failback(first string) Case {
	return Case{
		Name: "failback", Title: "power of " + first + " on again, and back to it from %s", Settle: true, Patience: patience,
		Prepare: func(ctx context.Context, st *Stage, server string) (string, error) {
			if server != first {
				return server, nil
			}
			if err := st.System.PowerOff(first); err != nil {
				return "", err
			}
			st.mark(first, "off")
			return st.Observer.Steady(ctx, st.quiet)
		},
		Harm: func(ctx context.Context, st *Stage, _ string) (Undo, error) {
			m, err := st.System.Machine(first)
			if err != nil {
				return nil, err
			}
			if !m.Booted() {
				st.forget(first)
				if err := errors.Join(st.System.PowerOn(ctx, first), st.Faults.Replug(first)); err != nil {
					return nil, err
				}
			}
			now, err := st.ReadyWithin(ctx, readyWithin)
			if err != nil || now == first {
				return nil, err
			}
			return nil, st.System.Handover(ctx, first)
		},
	}
}
