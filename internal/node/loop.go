// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"time"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/members/gate"
)

// wordEvery is how often the loop tells the pulse that it lives: well under pulse.WordMax, after which leases are no longer renewed.
const wordEvery = 100 * time.Millisecond

// wordSlack is how much longer the loop waits for the pulse's report, which comes as often: it wakes once for both.
const wordSlack = 50 * time.Millisecond

// loopSlow is how long one turn of the loop may take before it is worth a line in the log: half of what the pulse's patience with the
// loop leaves beside wordEvery.
const loopSlow = 200 * time.Millisecond

// periodic says when what comes back regularly is due next, in boot time.
type periodic struct {
	state    int64 // own gate's state to the machine, metrics
	early    int64 // from when on it may be told with the pulse's report
	watchdog int64
	stop     int64 // end of the patience with a stop, 0 if none is under way
	lingered int64 // end of a stop's linger, 0 before another member serves
	slow     int64 // counters
	host     int64 // the host brought in line again, whoever changed what by hand
	hosted   int64 // when that was done last, or because an address changed
	quiet    int64 // when the last port that only listens has listened, 0 if none does
	lastMove int64 // the hand-over that was put into the history last
}

// loop owns the machine. It returns when the daemon is to end; an error only if it cannot go on.
func (n *node) loop(ctx context.Context) error {
	n.begin()
	w := wake{timer: time.NewTimer(0), ended: ctx.Done()}
	defer w.timer.Stop()
	for n.leave == staying {
		w.timer.Reset(n.untilDue())
		if err := n.turn(&w); err != nil {
			return err
		}
		n.tick()
		n.checkWaits()
		if took := time.Duration(bpf.Boottime() - w.at); took > loopSlow {
			n.log.Warn("the loop was held up", "by", w.source, "for", took)
		}
	}
	return nil
}

// begin tells the machine what is known before anything happens, and the service manager that the member is there.
func (n *node) begin() {
	for _, p := range n.ports {
		n.linkStep(p) // a device that does not exist is an interface that is down, and must be known as such
	}
	for _, r := range n.store.kept() {
		if ev, err := deviceEvent(r); err == nil {
			n.step(ev)
		}
	}
	n.writeDefines()
	n.followMonitors(n.specs())
	n.policyChanged()
	n.step(members.Tick{})
	n.publishConfig()
	if err := n.systemd.Ready("member " + n.local.Self.Name + " of " + n.cfg.Name); err != nil {
		n.log.Warn("tell systemd", "error", err)
	}
}

// wake is why the loop woke last, and what it wakes for beside the channels of node.
type wake struct {
	timer *time.Timer     // what is due
	ended <-chan struct{} // nil once it was heard

	source string
	at     int64
}

func (w *wake) by(source string) { w.source, w.at = source, bpf.Boottime() }

// turn waits for the first source that has something, and handles that.
func (n *node) turn(w *wake) error {
	select {
	// The peers.
	case ev, ok := <-n.pulse.Events():
		w.by("pulse")
		return n.pulseEvents(ev, ok)
	case f := <-n.wire.frames:
		w.by("frame")
		n.wire.received(f)

	// This host: what the kernel tells, and what was found by looking.
	case ev := <-n.watcher.Events():
		w.by("link")
		n.linkEvent(ev)
	case r := <-n.links.Results():
		w.by("link")
		n.linkResult(r)
	case gone := <-n.guard.found:
		w.by("gate")
		n.gateRemoved(gone)
	case news := <-n.ways.found:
		w.by("ways")
		n.waysFound(news)
	case news := <-n.tracking.found:
		w.by("connection tracking")
		n.trackingFound(news)
	case a := <-n.asker.Answers():
		w.by("neighbour")
		n.answer(a)

	// State synchronisation and load sharing.
	case <-n.sync.plane.Changes():
		w.by("state synchronisation")
		n.syncChanged()
		n.shareLooksUp()
	case id := <-n.sync.flushed:
		w.by("state synchronisation")
		n.step(members.Flushed{ID: id})
	case <-n.sync.opening:
		w.by("state synchronisation")
		n.tableReady(false)
	case <-n.share.applied:
		w.by("slots")
		n.shareApplied(false)
	case done := <-n.share.flushed:
		w.by("slots")
		n.shareStep(w.at, done)

	// The policy.
	case <-n.policyChanges():
		w.by("policy")
		n.policyChanged()
	case ev := <-n.policyEvents():
		w.by("policy")
		n.policyRecord(w.at, ev)
	case f := <-n.policy.out:
		w.by("policy")
		n.policySend(w.at, f)

	// What came of work that others do.
	case r := <-n.trace.Reports():
		w.by("history")
		n.historyReport(r)
	case r := <-n.notify.Reports():
		w.by("notifications")
		n.sinkReport(r)
	case r := <-n.monitors.Reports():
		w.by("monitor")
		n.monitorReport(r)
	case e := <-n.commands.ended:
		w.by("command")
		n.commandEnded(e)

	// What is asked of this member.
	case ask := <-n.asks:
		w.by("request")
		ask()
	case <-n.o.Hangup:
		w.by("reload")
		n.hangup()
	case <-w.ended:
		w.by("end")
		w.ended = nil
		n.endAsked()
	case <-n.tasks.ctx.Done():
		w.by("task")
		n.taskFailed()
	case <-w.timer.C:
		w.by("timer")
	}
	return nil
}

// untilDue is how long the loop may sleep.
func (n *node) untilDue() time.Duration {
	now := bpf.Boottime()
	at := n.due.state
	for _, t := range []int64{n.wakeAt, n.due.watchdog, n.due.stop, n.due.lingered, n.due.quiet, n.sync.openBy, n.shareWake()} {
		if t != 0 && t < at {
			at = t
		}
	}
	return max(0, time.Duration(at-now))
}

// tick does what is due.
func (n *node) tick() {
	now := bpf.Boottime()
	if n.wakeAt != 0 && now >= n.wakeAt {
		n.wakeAt = 0
		n.step(members.Tick{})
	}
	n.listened(now)
	n.shareTick(now)
	if n.sync.openBy != 0 && now >= n.sync.openBy {
		n.tableReady(true)
	}
	if now >= n.due.state {
		n.due.state, n.due.early = now+int64(wordEvery+wordSlack), now+int64(wordEvery-wordSlack)
		n.regular(now)
	}
	if every := n.systemd.Interval(); every > 0 && now >= n.due.watchdog {
		n.due.watchdog = now + int64(every)
		if err := n.systemd.Watchdog(); err != nil {
			n.log.Warn("tell systemd", "error", err)
		}
	}
	if n.due.stop != 0 {
		n.leaveWhenRelieved(now)
	}
}

// regular comes back every wordEvery. It tells the pulse that the loop lives, and looks at what events may not have shown.
func (n *node) regular(now int64) {
	n.pulse.Word()
	if n.pulseOwed {
		n.reconfigurePulse()
	}
	if (!n.serve.open || n.serve.announce) && n.words.Serving(gateway, now)&gate.Answer != 0 {
		n.gateOpened(gateway) // an event that came while the gate was closed for a moment did not show it
	}
	n.endRestart(now)
	n.guardUnasked(now)
	n.followSync(now)
	n.followPolicy(now)
	n.step(n.syncReady([]members.Event{n.gateState(gateway)})...)
	for _, p := range n.ports {
		if p.Monitored && !p.carrier {
			n.lookAtLink(p)
		}
	}
	if now >= n.due.slow {
		n.due.slow = now + int64(time.Second)
		n.everySecond(now)
	}
}

// everySecond publishes what is counted, and looks at what the kernel tells nobody of.
func (n *node) everySecond(now int64) {
	n.publish(now)
	n.guardHost(now)
	n.askWays()
	n.askTracking()
	if n.o.EverySecond != nil {
		n.o.EverySecond()
	}
}

// step gives events that came together to the machine and carries out what it wants, in its order, until nothing follows from it any
// more.
func (n *node) step(events ...members.Event) {
	// After a stall the machine must not say what was true before it: the gate comes first.
	if now := bpf.Boottime(); now-n.stepped > int64(loopSlow) && n.stepped != 0 {
		events = append([]members.Event{n.gateState(gateway)}, events...)
	}
	for {
		now := bpf.Boottime()
		n.stepped = now
		for _, e := range n.machine.Step(now, events...) {
			n.perform(now, e)
		}
		if len(n.queue) == 0 {
			n.shareFollow(now)
			return
		}
		events, n.queue = []members.Event{n.queue[0]}, n.queue[1:]
	}
}
