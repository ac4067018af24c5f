// SPDX-License-Identifier: Apache-2.0

package policyplane

import (
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/install"
	"github.com/holdfast-project/holdfast/policy/recovery"
)

// recover gives recovery an event.
func (l *loop) recover(e recovery.Event) { l.followed(l.rec.Step(l.now(), e)) }

// followed does what recovery wants. What an effect brings about at once comes back as an event later: effects are done in order.
func (l *loop) followed(effects []recovery.Effect) {
	for _, e := range effects {
		switch e := e.(type) {
		case recovery.Ask:
			l.asked = true
			l.answer()
		case recovery.Fetch:
			l.fetch(e.What)
		case recovery.Use:
			l.use(e.What)
		case recovery.Problem:
			l.problem, l.pending = e.Reason, e.Pending
			l.verdict = e.Reason != "" && (l.verdict || !e.Pending)
		case recovery.WakeAt:
			l.at("recovery", e.Time, func() { l.recover(recovery.Tick{}) })
		}
	}
}

// answer tells recovery what management says, if it waits for that; if management has not said anything yet, it is looked again.
func (l *loop) answer() {
	if !l.asked {
		return
	}
	m := l.o.Management
	if m == nil {
		l.asked = false
		l.p.tell(recovery.Event(recovery.Unreachable{Why: "there is no management"}))
		return
	}
	ok, why := m.Reachable()
	switch {
	case ok && l.ordered:
		l.asked = false
		l.p.tell(recovery.Event(recovery.Answered{Has: l.orders.Current}))
	case !ok && why != "":
		l.asked = false
		l.p.tell(recovery.Event(recovery.Unreachable{Why: why}))
	default:
		l.in("answer", 100*time.Millisecond, l.answer)
	}
}

// order takes in what management wants.
func (l *loop) order(o Orders) {
	o.Current.Source, o.Attempt.Policy.Source = recovery.Management, recovery.Management
	l.orders, l.ordered = o, true
	l.kept()
	l.answer()
	l.offered()
	a := o.Attempt
	if a.Number == 0 {
		return
	}
	l.saw(0, a.Number)
	at := install.Attempt{Number: a.Number, Policy: a.Policy, Confirm: a.ConfirmWithin}
	if a.Phase == PhasePrepare {
		l.install(install.Prepare{Attempt: at})
		return
	}
	if d := decisionOf(a.Phase); d != install.Unknown {
		l.install(install.Decided{Attempt: at, Decision: d})
	}
}

// kept tells the machine of installs what management still has after a newer attempt. Attempts come one after the other, so that it was confirmed;
// one of an older generation is one that this member had not come to the end of, and says nothing of what came after it.
func (l *loop) kept() {
	o := l.orders
	if !o.Current.None() && o.Attempt.Policy.Generation > o.Current.Generation {
		l.p.tell(install.Event(install.Kept{Policy: o.Current}))
	}
}

// offered lets recovery know of what management has, unless an install of just that is not over: then it is the install's to bring.
func (l *loop) offered() {
	o := l.orders
	open := o.Attempt.Phase != PhaseNone && o.Attempt.Phase != PhaseConfirmed
	if o.Current.None() || open && o.Current.Digest == o.Attempt.Policy.Digest || l.unloaded {
		return
	}
	if o.Current.Generation > l.inForce().Generation && l.held != nil {
		l.recover(recovery.Answered{Has: o.Current})
	}
}

func decisionOf(p Phase) install.Decision {
	switch p {
	case PhaseCommit:
		return install.Commit
	case PhaseAbort:
		return install.Abort
	case PhaseConfirmed:
		return install.Confirm
	case PhaseRolledBack:
		return install.RollBack
	}
	return install.Unknown
}

// decision asks management how an attempt ended: its newest orders say so.
func (l *loop) decision(a install.Attempt) {
	if l.o.Management == nil || !l.ordered {
		return
	}
	if ok, _ := l.o.Management.Reachable(); !ok {
		return
	}
	o := l.orders
	d := install.Unknown
	switch {
	case o.Attempt.Number == a.Number:
		d = decisionOf(o.Attempt.Phase)
	case o.Attempt.Number > a.Number && o.Current.Digest == a.Policy.Digest:
		// Over, and still what management has: it was confirmed, unless it is the newer one that has just brought that policy.
		d = install.Confirm
		if o.Attempt.Policy.Digest == a.Policy.Digest && o.Attempt.Phase != PhaseConfirmed {
			d = install.Commit
		}
	case o.Attempt.Number > a.Number:
		// That one is over, or there would be no newer one, and its policy is not what management has: it was not, or is not any more.
		d = install.Abort
	}
	l.p.tell(install.Event(install.Decided{Attempt: a, Decision: d}))
}

// peerHeard takes in a HELLO.
func (l *loop) peerHeard(id uint8, s PeerState) {
	name, known := l.names[id]
	if !known {
		return
	}
	l.peers[id] = s
	has := s.InForce(name)
	l.recover(recovery.Peer{Name: name, Active: s.Active, Has: has})
	l.install(install.Told{From: name, Attempt: unwire(s.View.Attempt), InForce: has, Decision: install.Decision(s.View.Decision)})
	l.conflict(name, has)
}

func (l *loop) peerGone(id uint8) {
	if _, heard := l.peers[id]; !heard {
		return
	}
	delete(l.peers, id)
	l.recover(recovery.PeerGone{Name: l.names[id]})
	l.peerLost(l.names[id])
}

// conflict tells of two policies of one generation, once each.
func (l *loop) conflict(from string, has policy.Offer) {
	own := l.inForce()
	if own.None() || has.None() {
		return
	}
	own.Source = l.selfName()
	if _, err := policy.Compare(own, has); err != nil && !l.told[has.Digest] {
		l.told[has.Digest] = true
		l.count.Conflicts++
		l.event(Event{Kind: Conflict, Policy: has, Source: from, Text: err.Error()})
	}
}

func (l *loop) selfName() string {
	for _, m := range l.cfg.Members {
		if m.ID == l.o.Self {
			return m.Name
		}
	}
	return "this member"
}

// send gives a peer something.
func (l *loop) send(to uint8, parts ...ccp.PolicyPart) {
	l.count.FramesOut++
	l.o.Send(to, ccp.Policy(parts))
}

// frame takes in what a peer sent.
func (l *loop) frame(from uint8, parts ccp.Policy) {
	name, known := l.names[from]
	if !known {
		return
	}
	l.count.FramesIn++
	for _, part := range parts {
		switch part := part.(type) {
		case ccp.PolicyAsked:
			l.install(install.Asked{From: name, Attempt: unwire(part.Attempt)})
		case ccp.PolicyTold:
			in := policy.Offer{Source: name, Generation: part.Generation, Digest: part.Digest}
			l.install(install.Told{From: name, Attempt: unwire(part.Attempt), InForce: in, Decision: install.Decision(part.Decision)})
		}
	}
	l.transfer(from, name, parts)
}
