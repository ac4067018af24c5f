// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"time"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/internal/pulse"
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

// stopWithin bounds a stop: the member leaves even when nobody could take over.
const stopWithin = 3 * time.Second

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
	timer := time.NewTimer(0)
	defer timer.Stop()
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
	events, ended := n.pulse.Events(), ctx.Done()
	woke := bpf.Boottime()
	for n.leave == staying {
		timer.Reset(n.untilDue())
		what := "timer"
		select {
		case <-ended:
			ended = nil
			if n.due.stop == 0 { // a stop under way goes on: whoever sends signals wants the same
				n.beginRestart()
			}
		case <-n.tasks.ctx.Done(): // a task failed; its error is the supervisor's
			if n.due.stop != 0 {
				n.leave = stopping
			} else {
				n.beginRestart()
			}
		case ev, ok := <-events:
			what = "pulse"
			woke = bpf.Boottime()
			if died, is := ev.(pulse.Died); !ok || is {
				n.died = &died
			} else {
				n.pulseEvents(ev, events)
			}
			if n.died != nil {
				died := *n.died
				n.died = nil
				if err := n.pulseDied(died); err != nil {
					return err
				}
				events = n.pulse.Events()
			}
		case f := <-n.wire.frames:
			what = "frame"
			woke = bpf.Boottime()
			n.wire.received(f)
		case ev := <-n.watcher.Events():
			what = "link"
			woke = bpf.Boottime()
			n.linkEvent(ev)
		case r := <-n.links.Results():
			what = "link"
			woke = bpf.Boottime()
			n.linkResult(r)
		case gone := <-n.guard.found:
			what = "gate"
			woke = bpf.Boottime()
			n.gateRemoved(gone)
		case news := <-n.ways.found:
			what = "ways"
			woke = bpf.Boottime()
			n.waysFound(news)
		case why := <-n.tracking.found:
			what = "connection tracking"
			woke = bpf.Boottime()
			n.trackingFound(why)
		case a := <-n.asker.Answers():
			what = "neighbour"
			woke = bpf.Boottime()
			n.answer(a)
		case r := <-n.trace.Reports():
			what = "history"
			woke = bpf.Boottime()
			n.historyReport(r)
		case r := <-n.notify.Reports():
			what = "notifications"
			woke = bpf.Boottime()
			n.sinkReport(r)
		case r := <-n.monitors.Reports():
			what = "monitor"
			woke = bpf.Boottime()
			n.monitorReport(r)
		case <-n.sync.plane.Changes():
			what = "state synchronisation"
			woke = bpf.Boottime()
			n.syncChanged()
		case id := <-n.sync.flushed:
			what = "state synchronisation"
			woke = bpf.Boottime()
			n.step(members.Flushed{ID: id})
		case <-n.share.applied:
			what = "slots"
			woke = bpf.Boottime()
			n.shareApplied(false)
		case done := <-n.share.flushed:
			what = "slots"
			woke = bpf.Boottime()
			n.shareStep(woke, done)
		case <-n.sync.opening:
			what = "state synchronisation"
			woke = bpf.Boottime()
			n.tableReady(false)
		case <-n.policyChanges():
			what = "policy"
			woke = bpf.Boottime()
			n.policyChanged()
		case ev := <-n.policyEvents():
			what = "policy"
			woke = bpf.Boottime()
			n.policyRecord(woke, ev)
		case f := <-n.policy.out:
			what = "policy"
			woke = bpf.Boottime()
			n.policySend(woke, f)
		case e := <-n.commands.ended:
			what = "command"
			woke = bpf.Boottime()
			n.commandEnded(e)
		case ask := <-n.asks:
			what = "request"
			woke = bpf.Boottime()
			ask()
		case <-n.o.Hangup:
			what = "reload"
			woke = bpf.Boottime()
			n.hangup()
		case <-timer.C:
			woke = bpf.Boottime()
		}
		n.tick()
		n.checkWaits()
		if took := time.Duration(bpf.Boottime() - woke); took > loopSlow {
			n.log.Warn("the loop was held up", "by", what, "for", took)
		}
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
		n.pulse.Word()
		if n.pulseOwed {
			n.reconfigurePulse()
		}
		if (!n.serve.open || n.serve.announce) && n.words.Serving(gateway, now)&gate.Answer != 0 {
			n.gateOpened(gateway) // an event that came while the gate was closed for a moment did not show it
		}
		n.endRestart(now)
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
			n.publish(now)
			n.guardHost(now)
			n.askWays()
			n.askTracking()
			if n.o.EverySecond != nil {
				n.o.EverySecond()
			}
		}
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

// beginRestart leaves the gate serving for the daemon that follows.
func (n *node) beginRestart() {
	_ = n.systemd.Stopping()
	n.words.SetRestarting(bpf.Boottime() + int64(n.cfg.Timers.Restarting))
	n.leave = restarting
	n.step(members.Restart{})
}

// setBackBy is by how much a peer must have heard this daemon later than its own clock says it is. What takes turns within a burst of frames is ns.
const setBackBy = time.Second

// setBack ends a daemon that a peer has heard say what it has not said yet: its machine was set back to an earlier state, as to the snapshot of a
// virtual machine. Until its clock is where it was, others would take all of it for replays, its gate's answers too, and it would seal anew
// under numbers that were used. Another daemon, with a new gate, knows nothing of that life.
func (n *node) setBack(from uint8, by time.Duration) {
	if n.leave != staying {
		return
	}
	n.log.Error("this machine was set back to an earlier state, as to a snapshot: gate and daemon begin anew", "heard by", n.name(from), "ahead", by)
	_ = n.systemd.Stopping()
	n.leave, n.again = stopping, true
}

// beginStop hands over and then ends the daemon for good.
func (n *node) beginStop() {
	if n.due.stop != 0 {
		return
	}
	_ = n.systemd.Stopping()
	now := bpf.Boottime()
	n.due.stop = now + int64(stopWithin)
	n.leaveOrderly(now, func() { n.step(members.Stop{}) })
}

// leaveWhenRelieved ends a stop once another member serves and what was on its way has been forwarded, or when patience ends.
func (n *node) leaveWhenRelieved(now int64) {
	if n.due.lingered == 0 && n.machine.View(now).Stopped {
		n.due.lingered = now + int64(n.cfg.Timers.Linger)
	}
	if n.due.lingered != 0 && now >= n.due.lingered || now >= n.due.stop {
		n.leave = stopping
	}
}

// pulseDied starts another pulse: the gate serves on meanwhile while peers watch it.
func (n *node) pulseDied(died pulse.Died) error {
	n.log.Error("pulse ended, starting another", "error", died.Err)
	n.metrics.PulseRestarted()
	_ = n.pulse.Close()
	// The next one is there in a moment: nobody shall ask this gate to yield for it.
	n.words.SetRestarting(bpf.Boottime() + int64(n.cfg.Timers.Restarting))
	p, err := pulse.Start(context.Background(), n.o.Exe, n.pulseConfig(), n.log)
	if err != nil {
		return err
	}
	n.pulse = p
	clear(n.paths) // it counts from zero
	n.stats = pulse.Stats{}
	p.Word()
	n.words.SetRestarting(0)
	var errs []error
	if l := n.serve.lease; l.Term != 0 && n.sync.opening == nil {
		errs = append(errs, p.Lease(l.Group, l.Term, l.Alone))
	}
	if s := &n.share; s.share != 0 {
		errs = append(errs, p.Share(s.share, s.table.Number))
	}
	return errors.Join(errs...)
}
