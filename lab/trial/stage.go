// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-project/holdfast/lab/fault"
	"github.com/holdfast-project/holdfast/lab/machine"
	"github.com/holdfast-project/holdfast/lab/observe"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// Stage is a running cluster under observation, on which trials are made one after the other. Its methods are not safe for
// concurrent use, those for reading are.
type Stage struct {
	System   machine.System
	Faults   *fault.Faults
	Observer *observe.Observer

	quiet time.Duration // for how long nothing may have changed before it is at rest

	mu      sync.Mutex
	changes []machine.Change
	states  map[string]string

	resumed func() // takes the mark of the member that is stopped away
}

// NewStage begins to listen to the members' changes of state, until ctx ends. Call it before System.Boot, so that none is missed.
func NewStage(ctx context.Context, s machine.System, f *fault.Faults) *Stage {
	st := &Stage{System: s, Faults: f, states: map[string]string{}, quiet: quiet}
	if r, ok := s.(rester); ok {
		st.quiet = r.Rest()
	}
	s.Watch(ctx, func(c machine.Change) {
		st.mu.Lock()
		defer st.mu.Unlock()
		st.changes = append(st.changes, c)
		st.states[c.Member] = c.To
	})
	return st
}

// Changes returns the members' changes of state from from until to.
func (st *Stage) Changes(from, to time.Time) []machine.Change {
	st.mu.Lock()
	defer st.mu.Unlock()
	var out []machine.Change
	for _, c := range st.changes {
		if !c.At.Before(from) && c.At.Before(to) {
			out = append(out, c)
		}
	}
	return out
}

// States returns each member's state as it was last told, or what was done to it since: "off", "killed", "stopped".
func (st *Stage) States() map[string]string {
	st.mu.Lock()
	defer st.mu.Unlock()
	out := map[string]string{}
	for m, s := range st.states {
		out[m] = s
	}
	return out
}

// Members lists the members' names in order.
func (st *Stage) Members() []string {
	var names []string
	for _, n := range st.System.Lab().OfKind(topology.Member) {
		names = append(names, n.Name)
	}
	return names
}

// Other returns a member that is not name: the first one that is ready to take over.
func (st *Stage) Other(name string) (string, error) {
	states := st.States()
	for _, m := range st.Members() {
		if m != name && standing(states[m]) {
			return m, nil
		}
	}
	return "", fmt.Errorf("no member but %s is ready: %v", name, states)
}

// Times of Ready.
const (
	readyPoll = 50 * time.Millisecond
	// quiet is for how long nothing may usually have changed: Holdfast's own rules keep a second between two moves.
	quiet = 1500 * time.Millisecond
)

// rester is a system that knows better than quiet how long after its last change it is at rest.
type rester interface{ Rest() time.Duration }

// Ready waits until every member is ready, one of them serves, and nothing has changed for 1.5 s, or what the system says; it returns the server.
func (st *Stage) Ready(ctx context.Context) (string, error) {
	ticker := time.NewTicker(readyPoll)
	defer ticker.Stop()
	for {
		reason := st.unready()
		if reason == nil {
			break
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("%s is not ready: %w (%w)", st.System.Name(), reason, ctx.Err())
		case <-ticker.C:
		}
	}
	return st.Observer.Steady(ctx, 200*time.Millisecond)
}

// unready tells why the cluster is not ready.
func (st *Stage) unready() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	servers := 0
	for _, m := range st.Members() {
		switch state := st.states[m]; {
		case serving(state):
			servers++
		case !standing(state):
			return fmt.Errorf("%s is %q", m, state)
		}
	}
	if servers != 1 {
		return fmt.Errorf("%d members serve: %v", servers, st.states)
	}
	last := slices.MaxFunc(st.changes, func(a, b machine.Change) int { return a.At.Compare(b.At) })
	if age := time.Since(last.At); age < st.quiet {
		return fmt.Errorf("%s became %s %v ago", last.Member, last.To, age.Round(time.Millisecond))
	}
	return nil
}

// mark says what was done to a member that cannot tell any more: until it tells something new, or the function that is returned is called,
// its state is that word.
func (st *Stage) mark(member, word string) (back func()) {
	st.mu.Lock()
	defer st.mu.Unlock()
	was := st.states[member]
	st.states[member] = word
	return func() {
		st.mu.Lock()
		defer st.mu.Unlock()
		if st.states[member] == word {
			st.states[member] = was
		}
	}
}

// forget drops what is known of a member's state: it has to tell anew.
func (st *Stage) forget(member string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	delete(st.states, member)
}

// serving and standing know the words of Holdfast and of VRRP.
func serving(state string) bool { return strings.HasPrefix(state, "ACTIVE") || state == "MASTER" }

func standing(state string) bool { return state == "STANDBY" || state == "BACKUP" }
