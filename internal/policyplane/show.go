// SPDX-License-Identifier: Apache-2.0

package policyplane

import (
	"cmp"
	"slices"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/install"
	"github.com/holdfast-project/holdfast/policy/nft"
)

// publish shows what the plane is now, and reports it to management.
func (l *loop) publish() {
	l.standing()
	l.harm()
	defer l.settle() // whoever waits for an order reads the snapshot then
	s := l.snapshot()
	was := l.p.shown.Load()
	l.p.shown.Store(s)
	if s.Status == StatusProblem && was.Status != StatusProblem && !s.Unloaded {
		l.event(Event{Kind: NoPolicy, Policy: l.inForce(), Text: s.Reason})
	}
	if s.InDoubt && l.doubted != s.Attempt.Number {
		l.doubted = s.Attempt.Number
		l.event(Event{Kind: InDoubt, Policy: s.Attempt.Policy, Attempt: s.Attempt.Number, Text: "nothing is heard of the decision: peers and management are asked"})
	}
	l.report(s) // who is heard is in it, and is no part of the snapshot
	calm := *was
	// Frames that come and go are no news.
	calm.Counters.FramesIn, calm.Counters.FramesOut = s.Counters.FramesIn, s.Counters.FramesOut
	if equal(&calm, s) {
		return
	}
	select {
	case l.p.changed <- struct{}{}:
	default:
	}
}

// standing makes the attempt that is shown the one under way, where it is: not all that a member does is a reply, after a crash for example.
func (l *loop) standing() {
	s, a := l.ins.State()
	switch {
	case l.unsaved: // what is not on the disk is not so
	case s == install.Idle || a.Number < l.attempt.Number:
	case a.Number > l.attempt.Number:
		l.attempt = Attempt{Number: a.Number, Policy: a.Policy, State: s}
	case s != l.attempt.State:
		l.attempt.State, l.attempt.Why = s, ""
	}
}

// mendWithin is how long the boot filter may hold beside a policy while that is put back, or the filter taken away, before others should serve.
const mendWithin = time.Second

// harm notes since when the policy in force does not do its work, or the boot filter drops what it would let pass.
func (l *loop) harm() {
	switch {
	case l.held == nil || l.broken == "" && !l.filter:
		l.harmed = 0
	case l.harmed == 0:
		l.harmed = l.now()
		l.in("harmed", mendWithin, func() {}) // to be shown
	}
}

func (l *loop) snapshot() *Snapshot {
	d := l.state.Install
	s := &Snapshot{
		Attempt: l.attempt, Unloaded: l.unloaded, Highest: l.state.Highest, HighestAttempt: l.state.HighestAttempt,
		Drift: l.drift, Frozen: l.frozen, BootFilter: l.filter, Last: l.last, Counters: l.count,
	}
	if l.ins != nil {
		s.InDoubt, _ = l.ins.InDoubt()
	}
	good, staged := l.disk.entries()
	for _, e := range slices.Concat(good, staged) {
		if slices.ContainsFunc(s.History, func(g Generation) bool { return g.Digest == e.Digest }) {
			continue
		}
		g := l.disk.describe(e)
		g.Declined = l.declined(g.Digest)
		if l.held != nil && l.held.offer.Digest == g.Digest {
			g.Since = l.held.since
		}
		s.History = append(s.History, g)
	}
	slices.SortStableFunc(s.History, func(a, b Generation) int { return cmp.Compare(b.Generation, a.Generation) })
	find := func(o policy.Offer) *Generation {
		if o.None() {
			return nil
		}
		for _, g := range s.History {
			if g.Digest == o.Digest {
				return &g
			}
		}
		return &Generation{Offer: o}
	}
	s.InForce = find(l.inForce())
	s.Previous = find(d.Previous)
	if !d.Prepared.None() {
		s.Prepared = find(d.Prepared.Policy)
	}
	if l.held != nil && l.held.sealed != nil {
		b := l.held.sealed.Bundle()
		s.Services, s.Keep = b.Sync, b.Keep
		if l.held.policy != nil {
			s.Tables = tableNames(l.held.policy)
		}
	}
	s.Status, s.Reason = l.status()
	if l.o.Management != nil {
		s.Management, s.ManagementWhy = l.o.Management.Reachable()
	}
	s.View = l.view()
	return s
}

// status is that of the critical device.
func (l *loop) status() (Status, string) {
	switch {
	case l.unloaded:
		return StatusProblem, "the policy was unloaded by an operator: holdfast policy load"
	case l.held == nil && !l.verdict:
		return StatusInit, l.problem
	case l.held == nil:
		return StatusProblem, l.problem
	case l.broken != "" && (!l.cfg.Enforce || l.restoreFailed):
		return StatusProblem, "somebody took " + l.broken + " of the policy out of force: holdfast policy load puts it back"
	case l.broken != "" && l.restore.waits:
		return StatusProblem, "somebody takes " + l.broken + " of the policy out of force again and again: it is put back in a while, at once by holdfast policy load"
	case l.harmed != 0 && l.now()-l.harmed >= int64(mendWithin) && l.broken != "":
		return StatusProblem, "somebody took " + l.broken + " of the policy out of force: it is being put back"
	case l.harmed != 0 && l.now()-l.harmed >= int64(mendWithin):
		return StatusProblem, "the boot filter drops what the policy in force would let pass: it is taken away once that is known to be as it was installed"
	}
	return StatusOK, ""
}

// view is what HELLO says.
func (l *loop) view() ccp.PolicyView {
	v := ccp.PolicyView{Digest: l.inForce().Digest, Highest: l.state.Highest}
	if l.ins != nil {
		a, state, decision := l.ins.Said()
		v.Attempt, v.State, v.Decision = wire(a), ccp.PolicyState(state), ccp.PolicyDecision(decision)
	}
	return v
}

// tableNames are the policy's tables, "FAMILY NAME", each once.
func tableNames(p *nft.Policy) (all []string) {
	for _, t := range p.Ruleset.Tables {
		if n := t.Family + " " + t.Name; !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	return all
}

// report tells management.
func (l *loop) report(s *Snapshot) {
	if l.o.Management == nil {
		return
	}
	r := Report{
		Member: l.described, InForce: l.inForce(), Previous: l.state.Install.Previous, Highest: s.Highest, HighestAttempt: s.HighestAttempt,
		Attempt: s.Attempt, Status: s.Status, Reason: s.Reason, Drift: s.Drift,
	}
	for _, m := range l.cfg.Members {
		if m.ID == l.o.Self {
			continue
		}
		p, heard := l.peers[m.ID]
		r.Peers = append(r.Peers, PeerReport{Name: m.Name, Heard: heard, Generation: p.Generation})
	}
	if !equal(r, l.reported) {
		l.reported = r
		l.o.Management.Report(r)
	}
}
