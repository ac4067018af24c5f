// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/lab/members"
)

// view is what all members that answer say: of themselves, and of the others.
type view map[string]control.State

// own returns what a member says of itself; ok is false when it does not answer.
func (v view) own(member string) (control.MemberState, bool) {
	for _, m := range v[member].Members {
		if m.Local {
			return m, true
		}
	}
	return control.MemberState{}, false
}

// state is a member's state as it says, or as the others see it: LOST|STANDBY if they do not agree, ? if nobody says.
func (v view) state(member string) string {
	if m, ok := v.own(member); ok {
		return m.State
	}
	seen := map[string]bool{}
	for _, s := range v {
		for _, m := range s.Members {
			if m.Name == member {
				seen[m.State] = true
			}
		}
	}
	if len(seen) == 0 {
		return "?"
	}
	return strings.Join(slices.Sorted(maps.Keys(seen)), "|")
}

func serves(m control.MemberState) bool { return strings.HasPrefix(m.State, "ACTIVE") }

type active struct{ member string }

func (c active) check(ctx context.Context, r *runner) (bool, string, error) {
	v := view(r.cluster.States(ctx))
	var all []string
	for _, m := range r.cluster.Members() {
		if own, ok := v.own(m.Name()); ok && serves(own) {
			all = append(all, m.Name())
		}
	}
	if len(all) == 0 {
		return false, "nobody is active", nil
	}
	got := strings.Join(all, " and ")
	return got == c.member, got, nil
}

// attention holds while one member (this one, if named) serves as ACTIVE(!), and all others that are on are DOWN.
type attention struct{ member string }

func (c attention) check(ctx context.Context, r *runner) (bool, string, error) {
	v := view(r.cluster.States(ctx))
	serving, ok := "", true
	var got []string
	for _, m := range r.cluster.Members() {
		if !m.Machine().Booted() {
			continue
		}
		own, _ := v.own(m.Name())
		got = append(got, m.Name()+"="+own.State)
		switch {
		case own.State == "ACTIVE(!)" && serving == "":
			serving = m.Name()
		case own.State != "DOWN":
			ok = false
		}
	}
	return ok && serving != "" && (c.member == "" || c.member == serving), strings.Join(got, " "), nil
}

type memberState struct{ member, state string }

type states []memberState

func (c states) check(ctx context.Context, r *runner) (bool, string, error) {
	v := view(r.cluster.States(ctx))
	ok := true
	var got []string
	for _, s := range c {
		is := v.state(s.member)
		ok = ok && is == s.state
		got = append(got, s.member+"="+is)
	}
	return ok, strings.Join(got, " "), nil
}

// since returns the changes of state after a time, of one member or all.
func (r *runner) since(at time.Time, member string) []members.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []members.Event
	for _, e := range r.changes {
		if e.At.After(at) && (member == "" || e.On == member) {
			out = append(out, e)
		}
	}
	return out
}

func describe(changes []members.Event) string {
	if len(changes) == 0 {
		return "none"
	}
	var out []string
	for _, e := range changes {
		out = append(out, fmt.Sprintf("%s %s->%s", e.On, e.From, e.To))
	}
	return fmt.Sprintf("%d: %s", len(out), strings.Join(out, ", "))
}

// lookQuiet is how often a quiet time is looked at, so that it fails early.
const lookQuiet = 50 * time.Millisecond

type quiet struct{ d time.Duration }

func (c quiet) check(ctx context.Context, r *runner) (bool, string, error) {
	r.judged = time.Time{} // time passes here: what comes next is judged with it
	begin := time.Now()
	for time.Since(begin) < c.d {
		if err := sleep(ctx, min(lookQuiet, c.d)); err != nil {
			return false, "", err
		}
		if changes := r.since(begin, ""); len(changes) > 0 {
			return false, describe(changes), nil
		}
	}
	return true, "none", nil
}

type transitions struct {
	member string
	want   compare
}

func (c transitions) check(_ context.Context, r *runner) (bool, string, error) {
	changes := r.since(r.marked, c.member)
	return c.want.holds(float64(len(changes))), describe(changes), nil
}

type moves struct{ want compare }

func (c moves) check(_ context.Context, r *runner) (bool, string, error) {
	var to []members.Event
	for _, e := range r.since(r.marked, "") {
		if strings.HasPrefix(e.To, "ACTIVE") && !strings.HasPrefix(e.From, "ACTIVE") {
			to = append(to, e)
		}
	}
	return c.want.holds(float64(len(to))), describe(to), nil
}

type event struct {
	code, member, reason string
	negative             bool
}

func (c event) check(_ context.Context, r *runner) (bool, string, error) {
	for _, e := range r.cluster.Events() {
		if e.On != c.member || e.Code != c.code || !e.At.After(r.marked) || !strings.Contains(e.Reason, c.reason) {
			continue
		}
		return !c.negative, fmt.Sprintf("%s (%s)", e.Code, e.Reason), nil
	}
	return c.negative, "none", nil
}

// counterSet is one member's counters.
type counterSet map[string]map[string]uint64

// readCounters asks all members that answer.
func (r *runner) readCounters(ctx context.Context) map[string]counterSet {
	out := map[string]counterSet{}
	for _, m := range r.cluster.Members() {
		if !m.Answering() {
			continue
		}
		ask, cancel := context.WithTimeout(ctx, time.Second)
		if c, err := m.Client().Counters(ask); err == nil {
			out[m.Name()] = c.Groups
		}
		cancel()
	}
	return out
}

// counter compares how much a counter has grown, of one member or, if that is empty, of all that answer.
type counter struct {
	group, name, member string
	want                compare
}

func (c counter) check(ctx context.Context, r *runner) (bool, string, error) {
	all := r.readCounters(ctx)
	if _, answers := all[c.member]; !answers && c.member != "" {
		return false, c.member + " does not answer", nil
	}
	sum := 0.0
	for member, now := range all {
		if c.member != "" && c.member != member {
			continue
		}
		grown, err := c.growth(r, member, now)
		if err != nil {
			return false, "", err
		}
		sum += grown
	}
	return c.want.holds(sum), fmt.Sprintf("%.0f", sum), nil
}

// growth is that of one member's, which has now.
func (c counter) growth(r *runner, member string, now counterSet) (float64, error) {
	value := func(s counterSet) (sum uint64, known bool) {
		for name, n := range s[c.group] {
			if match, err := path.Match(c.name, name); err == nil && match {
				sum, known = sum+n, true
			}
		}
		return sum, known
	}
	have, known := value(now)
	if !known {
		names := slices.Sorted(maps.Keys(now[c.group]))
		return 0, fmt.Errorf("%s has no counter %s.%s: there are groups %v, in this one %v", member, c.group, c.name,
			slices.Sorted(maps.Keys(now)), names)
	}
	before, _ := value(r.counters[member])
	return float64(have) - float64(before), nil
}
