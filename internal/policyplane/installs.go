// SPDX-License-Identifier: Apache-2.0

package policyplane

import (
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/install"
	"github.com/holdfast-project/holdfast/policy/recovery"
)

// install gives the machine of installs an event.
func (l *loop) install(e install.Event) { l.perform(l.ins.Step(l.now(), e)) }

// perform does what the machine of installs wants, in order. What follows a state that cannot be written to the disk waits until it is, but for
// what keeps the guard going: a full disk is no reason to stay cut off. A crash meanwhile is no harm: the machine compares the disk with the
// kernel then, and asks.
func (l *loop) perform(effects []install.Effect) {
	for _, e := range effects {
		s, save := e.(install.Save)
		if save {
			l.nowDurable(s.Durable)
		}
		switch {
		case l.unsaved && save: // the newest is what is written
		case l.unsaved:
			l.meanwhile(e)
		case !save:
			l.effect(e)
		case !l.p.at("save") || !l.save():
			l.unsaved = true
			l.in("blocked", time.Second, l.unblock)
		default:
			l.written()
		}
	}
}

// meanwhile is what happens while the state cannot be written.
func (l *loop) meanwhile(e install.Effect) {
	switch e.(type) {
	case install.WakeAt, install.Revert, install.AskPeers, install.AskManagement:
		l.effect(e)
	case install.Tell: // the peer asks again
	default:
		if n := len(l.blocked); n == 0 || l.blocked[n-1] != e {
			l.blocked = append(l.blocked, e)
		}
	}
}

// unblock tries again to write down what could not be, and goes on from there.
func (l *loop) unblock() {
	if !l.p.at("save") || !l.save() {
		l.in("blocked", time.Second, l.unblock)
		return
	}
	effects := l.blocked
	l.blocked, l.unsaved = nil, false
	l.written()
	l.perform(effects)
}

// nowDurable takes in what is to be written down.
func (l *loop) nowDurable(d install.Durable) {
	was := l.state.Install
	l.state.Install = d
	l.state.HighestAttempt = max(l.state.HighestAttempt, d.Ended, d.Prepared.Number)
	if !slices.Equal(was.Declined, d.Declined) {
		l.recover(recovery.Declined{All: d.Declined, Local: l.local(), InForce: l.inForce()})
		l.kept()
	}
}

// written follows what the disk says now.
func (l *loop) written() {
	l.promote()
	l.rematch()
}

// promote makes the policy in force one that stays, once it does.
func (l *loop) promote() {
	d := l.state.Install
	if l.held == nil || l.held.sealed == nil || l.held.offer.Digest != d.InForce.Digest || d.Unconfirmed.Policy.Digest == d.InForce.Digest {
		return
	}
	if _, good := l.disk.has(d.InForce); good {
		return
	}
	if err := l.keep(l.held.sealed, false); err != nil {
		l.in("promote", l.o.Times.Retry, l.promote)
	}
}

// keep puts a policy on the disk. What was damaged there since it was opened is set aside first if it stands in the way.
func (l *loop) keep(s *policy.Sealed, staged bool) error {
	err := l.put(s, staged)
	if err != nil && !l.disk.whole() {
		l.reopen()
		err = l.put(s, staged)
	}
	return l.wrote(s, err)
}

func (l *loop) put(s *policy.Sealed, staged bool) error {
	d := l.state.Install
	return l.disk.put(s, staged, d.InForce.Generation, d.Previous.Generation, d.Prepared.Policy.Generation, l.inForce().Generation)
}

// wrote tells what became of a put.
func (l *loop) wrote(s *policy.Sealed, err error) error {
	if err == nil {
		l.saw(s.Head().Generation, 0)
		return nil
	}
	kind := Failed
	if isFull(err) {
		kind = DiskFull
	}
	l.event(Event{Kind: kind, Policy: s.Head().Offer(""), Text: err.Error()})
	return err
}

func (l *loop) effect(e install.Effect) {
	if w, is := e.(install.WakeAt); is {
		l.at("install", w.Time, func() { l.install(install.Tick{}) })
		return
	}
	if !l.p.at(fmt.Sprintf("%T", e)) {
		return
	}
	switch e := e.(type) {
	case install.Load:
		l.load(e.Attempt)
	case install.Switch:
		l.switchTo(e.Attempt)
	case install.Revert:
		l.revert(e.Attempt, e.To)
	case install.Unload:
		l.unloadAttempt(e.Attempt)
	case install.Reply:
		l.reply(e)
	case install.AskPeers:
		for id := range l.peers {
			l.send(id, ccp.PolicyAsked{Attempt: wire(e.Attempt)})
		}
	case install.AskManagement:
		l.decision(e.Attempt)
	case install.Tell:
		if id, known := l.ids[e.To]; known {
			w := e.What
			l.send(id, ccp.PolicyTold{Attempt: wire(w.Attempt), Decision: ccp.PolicyDecision(w.Decision), Generation: w.InForce.Generation, Digest: w.InForce.Digest})
		}
	}
}

func wire(a install.Attempt) ccp.PolicyAttempt {
	return ccp.PolicyAttempt{Number: a.Number, Generation: a.Policy.Generation, Digest: a.Policy.Digest}
}

func unwire(a ccp.PolicyAttempt) install.Attempt {
	return install.Attempt{Number: a.Number, Policy: policy.Offer{Generation: a.Generation, Digest: a.Digest}}
}

// reply keeps what management is to hear, and tells operators what is new of it.
func (l *loop) reply(r install.Reply) {
	if r.State == install.Prepared {
		l.in("undecided", l.o.Times.Doubt/2, l.undecided)
	}
	was := l.attempt
	if r.Attempt.Number < was.Number {
		return // management asks of the newest
	}
	l.attempt = Attempt{Number: r.Attempt.Number, Policy: r.Attempt.Policy, State: r.State, Why: r.Why}
	if was.Number == r.Attempt.Number {
		l.attempt.Committed = was.Committed
	}
	l.attempt.Confirmed = r.State == install.Confirmed
	l.attempt.RolledBack = r.State == install.RolledBack
	if was.Number == r.Attempt.Number && was.State == r.State {
		return
	}
	e := Event{Policy: r.Attempt.Policy, Attempt: r.Attempt.Number, Source: "management", Text: r.Why}
	switch r.State {
	case install.Committed:
		l.attempt.Committed = time.Now().UnixNano()
	case install.Confirmed:
		if l.attempt.Committed == 0 {
			l.attempt.Committed = time.Now().UnixNano()
		}
		e.Kind = Confirmed
	case install.Refused:
		l.count.Refused++
		e.Kind = Refused
	case install.Aborted:
		l.count.Aborted++
		e.Kind = Aborted
	case install.RolledBack:
		l.count.RolledBack++
		e.Kind = RolledBack
	}
	if e.Kind != 0 {
		l.event(e)
	}
	if r.State != install.Prepared && r.State != install.Committing && r.State != install.RollingBack {
		l.thaw()
	}
}

// undecided tells a member that gave its word that management is there, and has not decided: it need not ask.
func (l *loop) undecided() {
	s, a := l.ins.State()
	if s != install.Prepared || l.o.Management == nil {
		return
	}
	l.in("undecided", l.o.Times.Doubt/2, l.undecided)
	if ok, _ := l.o.Management.Reachable(); ok && l.orders.Attempt.Number == a.Number && l.orders.Attempt.Phase == PhasePrepare {
		l.install(install.Decided{Attempt: a, Decision: install.Unknown})
	}
}

// freeze asks for voluntary moves to wait until the install is over, and no longer than it may take.
func (l *loop) freeze() {
	l.frozen = l.now() + int64(l.o.Times.Freeze)
	l.at("freeze", l.frozen, l.thaw)
}

func (l *loop) thaw() {
	l.frozen = 0
	l.at("freeze", 0, nil)
}
