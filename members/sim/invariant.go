// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"time"
)

// The invariants, and what physics allows.
//
// Two never serve: two machines whose gates answer while some segment joins them (frames pass both ways)
// break it, except for
//   - grace after a segment was joined again, a cable was put in, or a paused machine woke: the two could
//     not know of each other, and the first authentic probe closes one. A verdict of silence may be under
//     way in that moment. Who can send no probe then (its pulse is stalled, its daemon is gone) does so
//     when it is back: the grace counts from there. A pulse that slept through the whole time of being cut
//     off renews its lease when it wakes;
//   - lossy while frames are being lost: as many probe intervals as it takes to get one through;
//   - oneWay if frames pass in one direction only: who hears the other's HELLOs closes with the first that comes after it opened, and
//     they come every third of their interval, since the other one serves and hears nobody. Loss allows no more: of a run's frames at
//     most 30.5 % are lost, and for two to serve this long nine HELLOs in a row must be lost before the second one opens and nine after,
//     which happens once in 2*10^9 times (TestOneWayUnderLoss);
//   - foreign if the two do not accept each other's frames (a wrong key): they find each other by ARP only.
//
// Nobody stuck: a gate does not answer when its lease was not renewed for the hard expiry.
//
// Somebody serves: when nothing has disturbed the cluster for absent, and there is a machine that could
// serve, one does.
//
// No busy loop: a machine does not ask to be woken more than a hundred times within a millisecond.
//
// Of moves: see promise.go. The last one stays: a serving member that nobody relieves is not taken down by its own problems, it
// becomes ACTIVE(!). Nothing moves back by itself unless the recovery mode says so, nor while an operator has frozen voluntary
// moves, nor more often than the flap budget allows. When calm has come, one member is ACTIVE and every other one STANDBY, or
// READY for a known cause. What holds of a cluster that is whole and suffers one thing: see coda.go.
type invariants struct {
	broken    error
	steps     int64                         // events given to any machine
	disturbed int64                         // when anything was done to the cluster
	woke      int64                         // when segments or machines that could not see each other were joined again
	dual      [MaxMembers][MaxMembers]int64 // since when two serve, 0 if they do not
	excused   [MaxMembers][MaxMembers]bool  // they began to when they could not know
	served    int64                         // when somebody served last
	due       int64                         // when something may break by itself at the earliest
	serving   int                           // how many gates answered when they were touched last
	moves     int
	failbacks int   // among the moves
	before    uint8 // who ceased to serve last
	absentAt  int64 // since when nobody serves, 0 if somebody does
	gap       int64 // the longest time without anybody, since ResetGap
	grace     int64
	oneWay    int64
	foreign   int64
	lossTime  int64
	absent    int64
}

func (v *invariants) init(w *World) {
	delay, main := int64(w.opt.DelayMax), int64(w.opt.MainDelay)
	v.disturbed, v.woke, v.served = w.now, w.now, w.now
	v.grace = w.dead + 3*w.probe + 4*delay + 2*main
	v.lossTime = v.grace + 25*w.probe
	v.oneWay = v.grace + 3*int64(w.opt.Timers.Hello)
	v.foreign = int64(3500 * time.Millisecond)
	v.absent = int64(3 * time.Second)
}

func (v *invariants) errOrNil() error { return v.broken }

func (v *invariants) fail(w *World, format string, args ...any) {
	if v.broken == nil {
		v.broken = fmt.Errorf("at %v: "+format, append([]any{w.Now()}, args...)...)
		w.logf("BROKEN %v", v.broken)
	}
}

// check checks all invariants after an event. Whether two serve is looked at whenever two do. What can break by the
// passing of time has a time before which it cannot, which is kept: due. It comes a millisecond from now at the latest.
func (v *invariants) check(w *World) {
	if v.serving < 2 && w.now < v.due {
		return
	}
	v.checkAll(w)
}

func (v *invariants) checkAll(w *World) {
	due := w.now >= v.due
	if due {
		v.due = w.now + 1e6
	}
	serving := v.look(w)
	if serving > 1 {
		v.checkDual(w)
	}
	if !due {
		return
	}
	switch serving {
	case 0:
		v.checkAbsent(w)
		v.dual = [MaxMembers][MaxMembers]int64{}
	case 1:
		v.dual = [MaxMembers][MaxMembers]int64{}
	}
}

// look brings up to date who serves. A gate closes by itself as time passes, but does not open.
func (v *invariants) look(w *World) (serving int) {
	for i := range w.nodes {
		n := &w.nodes[i]
		if !n.serving {
			continue
		}
		if w.touched(n); !n.serving {
			continue
		}
		serving++
		v.served = w.now
		if stuck := n.renewed + int64(w.hard) + 1e6; w.now <= stuck {
			v.due = min(v.due, stuck+1)
		} else {
			v.fail(w, "nobody stuck: %s answers with a lease that was not renewed for %v", n.name, time.Duration(w.now-n.renewed))
		}
	}
	return serving
}

// turned notes for how long nobody serves.
func (v *invariants) turned(w *World) {
	for i := range w.nodes {
		if !w.nodes[i].serving {
			continue
		}
		if v.absentAt != 0 {
			v.gap = max(v.gap, w.now-v.absentAt)
		}
		v.absentAt = 0
		return
	}
	v.absentAt = w.now
}

// checkDual: two never serve.
func (v *invariants) checkDual(w *World) {
	for i := range w.nodes {
		for k := i + 1; k < len(w.nodes); k++ {
			a, b := &w.nodes[i], &w.nodes[k]
			both := a.serving && b.serving
			if !both || !joinedOneWay(w, a.id, b.id) {
				v.dual[i][k] = 0
				continue
			}
			if v.dual[i][k] == 0 {
				v.dual[i][k] = w.now
				v.excused[i][k] = w.now-v.woke <= v.grace || !joined(w, a.id, b.id) || !understood(w, a.id, b.id) ||
					v.slept(w, a) || v.slept(w, b) || v.dormant(w, a) && v.dormant(w, b) || w.net.loss != 0
				w.logf("%s and %s both answer", a.name, b.name)
			}
			v.judge(w, a, b, v.dual[i][k], v.excused[i][k])
		}
	}
}

// slept reports whether the machine's pulse has just woken from a stall during which it was cut off for a
// time: it renews a lease that others could not ask for.
func (v *invariants) slept(w *World, n *node) bool {
	return w.now-n.resumed <= v.grace && v.woke >= n.stalled
}

// dormant reports whether the machine has not been awake since it was joined again with another, but for the last moment. If that is
// true of two that serve, the split goes on: each gate opened when it could not know of the other, and no frame has passed since.
//
// That they may begin to serve side by side again in this moment, as the one that had claimed last closes and opens, is the design's:
// the first probe of the one that wakes ends the time of being single for the other's gate (docs/decisions/008), which closes, its lease
// being late; the next one says that its sender hears it, and the gate opens, being watched. The lease lies above the fence all the
// while, and above that of the other, whom the answer to that probe closes. From waking this takes a probe interval to the first probe,
// one to the second, and an answer: less than the grace.
func (v *invariants) dormant(w *World, n *node) bool {
	return n.asleep <= v.woke && w.now-n.awake(w) <= v.grace
}

// judge compares how long two have served with what is allowed.
func (v *invariants) judge(w *World, a, b *node, since int64, excused bool) {
	allowed := v.grace
	switch {
	case !understood(w, a.id, b.id):
		allowed = v.foreign
	case !joined(w, a.id, b.id):
		allowed = v.oneWay
	case w.net.loss != 0:
		allowed = v.lossTime
	case !excused:
		v.fail(w, "two serve: %s (term %d) and %s (term %d) are joined and undisturbed", a.name, a.words.Group[0].Lease.Term(),
			b.name, b.words.Group[0].Lease.Term())
		return
	}
	awake := max(a.awake(w), b.awake(w))
	if understood(w, a.id, b.id) && joined(w, a.id, b.id) { // one is enough: its probes close the other's gate, or the answers its own
		awake = min(a.awake(w), b.awake(w))
	}
	from := max(since, v.woke, w.net.changed, awake)
	if w.now-from > allowed {
		v.fail(w, "two serve: %s and %s for %v, %v after they could know", a.name, b.name, time.Duration(w.now-since), time.Duration(w.now-from))
	}
}

// awake returns since when the machine's daemon and pulse run undisturbed; now if they do not.
func (n *node) awake(w *World) int64 {
	if !n.daemon || n.pulse.stalled || n.stopped {
		return w.now
	}
	return max(n.started, n.resumed)
}

func joined(w *World, a, b uint8) bool {
	for i := range w.cfg.Interfaces {
		if w.net.passes(uint8(i), a, b) && w.net.passes(uint8(i), b, a) {
			return true
		}
	}
	return false
}

func joinedOneWay(w *World, a, b uint8) bool {
	for i := range w.cfg.Interfaces {
		if w.net.passes(uint8(i), a, b) || w.net.passes(uint8(i), b, a) {
			return true
		}
	}
	return false
}

func understood(w *World, a, b uint8) bool { return w.net.understood(a, b) }

// checkAbsent: somebody serves.
func (v *invariants) checkAbsent(w *World) {
	allowed := v.absent
	if w.net.loss != 0 {
		allowed *= 3
	}
	if late := max(v.served, v.disturbed, w.net.changed) + allowed; w.now <= late {
		v.due = min(v.due, late+1)
		return
	}
	for i := range w.nodes {
		n := &w.nodes[i]
		boot := n.started + int64(w.opt.Timers.BootWait)
		if n.power && !n.paused && n.daemon && !n.stopped && !n.pulse.stalled && !n.stopping && w.now-boot > allowed && w.reachable(n) &&
			!n.noPolicy {
			v.fail(w, "somebody serves: nobody does for %v, and %s could: %s", time.Duration(w.now-v.served), n.name, n.machine.Why())
			return
		}
	}
}

// reachable reports whether the member has a cluster interface with carrier, and where there are
// neighbours, one that it reaches.
func (w *World) reachable(n *node) bool {
	for i := range w.cfg.Interfaces {
		if w.cfg.Interfaces[i].Cluster && !w.net.noCable[i][n.id] &&
			(!w.opt.Neighbours || !w.net.stranded[i][n.id] && !w.net.silent[i]) {
			return true
		}
	}
	return false
}

// woken: no busy loop.
func (v *invariants) woken(w *World, n *node) {
	if n.stepsAt != w.now/1e6 {
		n.stepsAt, n.steps = w.now/1e6, 0
	}
	if n.steps++; n.steps > 100 {
		v.fail(w, "no busy loop: %s is woken a hundred times in a millisecond: %s", n.name, n.machine.Why())
	}
}
