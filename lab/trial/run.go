// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/holdfast-project/holdfast/lab/machine"
	"github.com/holdfast-project/holdfast/lab/observe"
)

// Outcome is what came of one trial.
type Outcome struct {
	Case   string `json:"case"`
	System string `json:"system"`
	// Before and After are the servers before the harm and when the measurement ended (empty if there was not just one).
	Before string `json:"before"`
	After  string `json:"after,omitempty"`
	// At is when the harm began, Took how long the doing of it took.
	At   time.Time     `json:"at"`
	Took time.Duration `json:"took_ns"`
	// Window is from just before the harm until the gateway had come to rest.
	Window observe.Window `json:"window"`
	// Aftermath is from the end of Window until the harm was undone and all members were ready again: a member that comes back
	// must not serve beside the one that took over.
	Aftermath observe.Window `json:"aftermath"`
	// Changes are the members' changes of state in the window.
	Changes []machine.Change `json:"changes,omitempty"`
	// Moved is how often the gateway moved by itself as the trial was to begin, so that it began anew.
	Moved int `json:"moved,omitempty"`
	// Unsettled says why the gateway did not come to rest; empty if it did, or did not have to.
	Unsettled string `json:"unsettled,omitempty"`
}

// Options say how a trial is made.
type Options struct {
	// Spread is the time over which the moment of the harm is spread at random, so that it hits any phase of the timers.
	Spread time.Duration
	// Told is called with what is about to be done and to whom; Preparing before that, if the case has to be prepared. Both may
	// be nil.
	Told, Preparing func(c Case, server string)
}

// Margins of a window.
const (
	// before the harm: the last arrival is in the window, whatever was queued
	before = 20 * time.Millisecond
	// after it: a packet that was sent in the window has arrived by then, or never will
	after = 350 * time.Millisecond
	// readyWithin bounds the wait for all members to be well before and after a trial.
	readyWithin = 60 * time.Second
)

// Contested returns how many probes found two members answering, in the aftermath too.
func (o Outcome) Contested() int { return o.Window.Contested() + o.Aftermath.Contested() }

// Twice returns how many packets two members forwarded, likewise.
func (o Outcome) Twice() int { return o.Window.Twice() + o.Aftermath.Twice() }

// Dual returns the longest time in which two members answered for one address, likewise.
func (o Outcome) Dual() time.Duration { return max(o.Window.Dual(), o.Aftermath.Dual()) }

// Two tells whether two members ever served at once.
func (o Outcome) Two() bool { return o.Contested() > 0 || o.Twice() > 0 }

// Run makes one trial, undoes the harm and waits until all members are ready again.
func (st *Stage) Run(ctx context.Context, c Case, o Options) (Outcome, error) {
	out := Outcome{Case: c.Name, System: st.System.Name()}
	if err := st.begin(ctx, c, o, &out); err != nil {
		return out, err
	}
	out.At = time.Now()
	undo, err := c.Harm(ctx, st, out.Before)
	out.Took = time.Since(out.At)
	if err != nil {
		return out, fmt.Errorf("%s: %w", c.Name, err)
	}
	if err := st.look(ctx, c, &out); err != nil {
		return out, fmt.Errorf("%s: %w", c.Name, err)
	}
	if undo != nil {
		if err := undo(ctx); err != nil {
			return out, fmt.Errorf("%s: undo: %w", c.Name, err)
		}
	}
	return out, st.recover(ctx, c, &out)
}

// begins is how often a trial is begun on a system that moves the gateway by itself.
const begins = 5

// begin waits until the trial can begin and for the moment of the harm. A system may move the gateway in that time by itself (one with short
// timers does on a host that stands still for a moment): then the one that is to be harmed does not serve any more, and it begins anew.
func (st *Stage) begin(ctx context.Context, c Case, o Options, out *Outcome) error {
	for ; ; out.Moved++ {
		if err := st.ready(ctx, c, o, out); err != nil {
			return err
		}
		if o.Spread > 0 {
			if err := pause(ctx, rand.N(o.Spread)); err != nil {
				return err
			}
		}
		serving := st.System.Serving(ctx)
		if slices.Equal(serving, []string{out.Before}) {
			return nil
		}
		if out.Moved+1 == begins {
			return fmt.Errorf("%s: before: %v say that they serve, a moment ago %s did; so it was %d times", c.Name, serving, out.Before, begins)
		}
	}
}

// ready waits until the trial can begin, and fills in who serves then.
func (st *Stage) ready(ctx context.Context, c Case, o Options, out *Outcome) error {
	await := st.Ready
	if c.Prepare != nil && out.Moved > 0 { // what was prepared then stays so: a member may be off
		await = func(ctx context.Context) (string, error) { return st.Observer.Steady(ctx, st.quiet) }
	}
	server, err := within(ctx, readyWithin, await)
	if err != nil {
		return fmt.Errorf("%s: before: %w", c.Name, err)
	}
	if c.Prepare != nil {
		if o.Preparing != nil {
			o.Preparing(c, server)
		}
		if server, err = c.Prepare(ctx, st, server); err != nil {
			return fmt.Errorf("%s: prepare: %w", c.Name, err)
		}
	}
	out.Before = server
	if o.Told != nil {
		o.Told(c, server)
	}
	return nil
}

// recover waits until all members are ready again after the harm was undone, and fills in the aftermath.
func (st *Stage) recover(ctx context.Context, c Case, out *Outcome) error {
	if _, err := st.ReadyWithin(ctx, readyWithin); err != nil {
		return fmt.Errorf("%s: after: %w", c.Name, err)
	}
	out.Aftermath = st.Observer.Window(out.Window.To, time.Now().Add(-after))
	return nil
}

// look observes until the case is over and fills in the window.
func (st *Stage) look(ctx context.Context, c Case, out *Outcome) error {
	if err := pause(ctx, c.Hold); err != nil {
		return err
	}
	if c.Within != nil {
		if err := c.Within(ctx, st, out.Before); err != nil {
			return err
		}
		if err := pause(ctx, c.After); err != nil {
			return err
		}
	}
	if c.Settle {
		patient, cancel := context.WithTimeout(ctx, c.Patience)
		server, err := st.Observer.Steady(patient, 300*time.Millisecond)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			out.Unsettled = err.Error()
		}
		out.After = server
	}
	to := time.Now()
	if err := pause(ctx, after); err != nil {
		return err
	}
	out.Window = st.Observer.Window(out.At.Add(-before), to)
	out.Changes = st.Changes(out.At.Add(-before), to)
	if out.After == "" {
		out.After, _ = st.Observer.Window(to.Add(-after), to).Server() // none is an answer too
	}
	return nil
}

// ReadyWithin is Ready with a bound of time.
func (st *Stage) ReadyWithin(ctx context.Context, d time.Duration) (string, error) {
	return within(ctx, d, st.Ready)
}

func within(ctx context.Context, d time.Duration, await func(context.Context) (string, error)) (string, error) {
	bounded, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	server, err := await(bounded)
	if err != nil && ctx.Err() != nil {
		return "", errors.Join(ctx.Err(), err)
	}
	return server, err
}

// pause waits for d or until ctx ends, with its error then.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
