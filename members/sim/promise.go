// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"time"

	"github.com/holdfast-project/holdfast/members"
)

// This file holds the invariants of moves: what members may do by themselves.

// recorded looks at a change of a member's own state.
func (v *invariants) recorded(w *World, n *node, r members.Record) {
	if r.Code == members.CodeActive {
		v.moves++
		v.opened(w, n)
	}
	if !r.From.Serves() || r.To.Serves() || r.Peer != members.Nobody || n.stopping {
		return
	}
	switch r.Code {
	case members.CodeConflict:
		return
	case members.CodeLeaseLost, members.CodeIsolated: // it could not help it; but nothing may have been wrong for a while
	default:
		v.fail(w, "the last one stays: %s went from %v to %v, and nobody took over: %s", n.name, r.From, r.To, r.Reason)
	}
	for i := range w.nodes {
		if o := &w.nodes[i]; o != n && o.power {
			return
		}
	}
	if w.now-v.disturbed > int64(time.Second) {
		v.fail(w, "the last one stays: %s went from %v to %v with nobody else there: %s", n.name, r.From, r.To, r.Reason)
	}
}

// opened looks at an opening that its member chose.
func (v *invariants) opened(w *World, n *node) {
	cause := n.machine.OpenedFor()
	v.policed(w, n, cause)
	if cause != members.CauseFailback && cause != members.CauseForced {
		return
	}
	if o := v.freezes(w, n); o != nil {
		v.fail(w, "freeze stops voluntary moves: %s took over (%v), frozen by %s for %v", n.name, cause, o.name, time.Duration(w.now-o.frozenAt))
	}
	if cause == members.CauseForced {
		return
	}
	v.failbacks++
	if w.cfg.Recovery != members.RecoveryHighestPriority {
		v.fail(w, "nothing moves back by itself: %s took over (%v), the cluster maintains the current one", n.name, cause)
	}
	budget, window := w.cfg.FlapBudget, w.cfg.FlapWindow
	if budget == 0 {
		budget, window = members.DefaultFlapBudget, members.DefaultFlapWindow
	}
	n.failbacks = append(n.failbacks, w.now)
	for len(n.failbacks) > 0 && n.failbacks[0] <= w.now-int64(window) {
		n.failbacks = n.failbacks[1:]
	}
	if len(n.failbacks) > budget {
		v.fail(w, "the flap budget: %s has taken over by itself %d times within %v, more than %d", n.name, len(n.failbacks), window, budget)
	}
}

// freezes returns a member whose operator has frozen voluntary moves long enough for the other to know, nil if none.
func (v *invariants) freezes(w *World, n *node) *node {
	if w.net.loss != 0 || w.now-max(w.net.changed, n.awake(w)) < newsTime {
		return nil
	}
	for i := range w.nodes {
		o := &w.nodes[i]
		if o.daemon && w.now < o.unfrozen && w.now-max(o.frozenAt, o.awake(w)) >= newsTime && !o.paused &&
			(o == n || understood(w, o.id, n.id) && joined(w, o.id, n.id)) {
			return o
		}
	}
	return nil
}

// froze notes an operator's order about voluntary moves.
func (n *node) froze(w *World, a members.Admin) {
	switch {
	case !n.daemon || n.stopped || n.paused:
	case a.Kind == members.AdminUnfreeze:
		n.unfrozen = 0
	case a.Kind == members.AdminFreeze:
		length := w.opt.Timers.Freeze
		if a.For > 0 {
			length = a.For
		}
		n.frozenAt, n.unfrozen = w.now, w.now+int64(length)
	}
}

// whole reports whether, after the calm, one member serves, all agree which, and every other one is STANDBY, or READY for a
// cause that is known.
func (w *World) whole() error {
	s := w.Serving()
	if len(s) != 1 {
		return fmt.Errorf("whole again: at the end %d members serve", len(s))
	}
	for i := range w.nodes {
		v, ok := w.View(uint8(i))
		if !ok {
			return fmt.Errorf("whole again: %s does not run", memberNames[i])
		}
		want := members.StateStandby
		switch {
		case uint8(i) == s[0]:
			want = members.StateActive
		case w.ahead(&w.nodes[i], &w.nodes[s[0]]):
			want = members.StateReady
		}
		if v.State != want || v.Active != s[0] {
			return fmt.Errorf("whole again: %s serves, but %s", memberNames[s[0]], w.nodes[i].machine.Why())
		}
	}
	return nil
}

// ahead reports whether a member runs what the one that serves does not.
func (w *World) ahead(n, server *node) bool {
	return n.version > server.version || n.version == server.version && n.capabilities&^server.capabilities != 0
}
