// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/members/gate"
)

// node is one machine: its gate, which lives as long as the machine runs, and its daemon, which may not.
type node struct {
	id               uint8
	name             string
	power            bool
	paused           bool // the whole machine stands still, its clock too
	offset, pausedAt int64

	words  gate.Words
	stored uint32 // the term kept on disk
	admin  bool   // taken down permanently

	daemon     bool // its processes run
	epoch      uint16
	started    int64 // when the daemon started, global
	startLater bool  // its daemon is due, but the machine is paused
	resumed    int64 // when a stall or pause ended, global
	stopping   bool  // told to end for good
	stalled    int64 // when its pulse stalled last, global
	asleep     int64 // when it last ceased to be awake, global
	inc        uint64
	machine    *members.Machine
	events     []members.Event
	inbox      []members.Event
	due        bool  // an evMain is under way
	stopped    bool  // the main loop does not run
	wordAt     int64 // local: when it ran last
	wake       int64 // global: the WakeAt
	wakeSet    int64 // global: the earliest evWake in the heap
	hellos     [MaxMembers]uint64
	helloNo    uint64

	steps    int // within the millisecond stepsAt
	stepsAt  int64
	pulse    pulse
	buffered []int32 // frames that a paused machine will find

	version            uint32 // 0: that of the World
	capabilities       uint64
	digest             byte
	noPolicy, noSync   bool // taken away by a fault
	flushes            bool // it answers questions for its connections
	reporters          []reporter
	generation         uint64  // of the policy that it has in force, or would have
	policyAt           int64   // global: when that changed, or was taken away or given
	agreed             bool    // it has had the policy of one that serves since its daemon started
	failbacks          []int64 // when it took over by itself since its daemon started
	frozenAt, unfrozen int64   // global: the operator's order to freeze, and when it ends

	serving bool // cached; exact right after its gate was touched
	renewed int64
}

func (n *node) init(w *World, id uint8) { n.id, n.name, n.generation = id, memberNames[id], 1 }

// local returns the machine's CLOCK_BOOTTIME at a global time, global the reverse.
func (n *node) local(at int64) int64  { return at - n.offset }
func (n *node) global(at int64) int64 { return at + n.offset }

// handle applies an event of this machine's own.
func (n *node) handle(w *World, e *event) {
	if e.kind == evStart {
		switch {
		case !n.power || n.daemon || e.epoch != n.epoch:
		case n.paused:
			n.startLater = true
		default:
			n.startDaemon(w)
		}
		return
	}
	if !n.power || !n.daemon || e.epoch != n.epoch {
		return
	}
	switch e.kind {
	case evTick:
		if n.paused || n.pulse.stalled {
			n.pulse.ticking = false
			return
		}
		n.pulse.tick(w, n)
	case evCheck:
		if !n.paused && !n.pulse.stalled {
			n.pulse.check(w, n)
		}
	case evMain:
		n.due = false
		n.runMain(w)
	case evReport:
		n.look(w, e.frame)
	case evReady:
		if e.frame == 0 {
			n.recoverPolicy(w)
		}
		n.ready(w, e.frame)
	case evCommit:
		n.commit(w, uint64(e.frame))
	case evWake:
		if e.at != n.wakeSet {
			return // an earlier one was set since
		}
		n.wakeSet = 0
		switch {
		case n.paused || n.stopped:
		case w.now < n.wake:
			n.setWake(w, n.wake)
		default:
			w.inv.woken(w, n)
			n.runMain(w)
		}
	}
}

// startDaemon starts the daemon and its pulse.
func (n *node) startDaemon(w *World) {
	now := n.local(w.now)
	n.daemon, n.started, n.stopped, n.due, n.startLater = true, w.now, false, false, false
	n.epoch++
	n.inc = w.rng.next()
	n.inbox, n.wakeSet, n.wordAt = n.inbox[:0], 0, now
	cfg := w.config(n)
	n.flushes, n.agreed = cfg.WaitSync, n.serving
	n.machine = members.New(cfg, members.Boot{Now: now, Incarnation: n.inc, StoredTerm: n.stored,
		Gate: n.gateState(w, now), AdminDown: n.admin})
	n.pulse.start(w, n)
	for i := range w.cfg.Interfaces {
		n.post(w, w.link(n, uint8(i), true))
	}
	n.post(w, members.PulseHealth{OnTimeSince: now})
	n.startReporters(w)
	n.startReadiness(w)
	n.runMain(w)
	w.logf("%s's daemon starts as %v", n.name, n.machine.View(now).State)
}

// startReadiness lets policy and connection table be there some time after the start, if the member waits for them.
func (n *node) startReadiness(w *World) {
	for what, wait := range [...]bool{w.cfg.WaitPolicy && w.setup.policy, w.cfg.WaitSync && w.setup.sync} {
		if wait {
			w.push(event{at: w.now + w.rng.n(400e6), kind: evReady, node: n.id, epoch: n.epoch, frame: int32(what)})
		}
	}
}

// ready says whether the policy or the connection table is there, or that the others have what there is of it.
func (n *node) ready(w *World, what int32) {
	switch what {
	case 0:
		n.post(w, n.policy())
		w.inv.agree(w)
	case 1:
		n.post(w, members.SyncReady{Ready: !n.noSync})
	default: // numbers of questions are greater
		n.post(w, members.Flushed{ID: uint32(what)})
	}
}

// post puts an event into the main loop's inbox.
func (n *node) post(w *World, ev members.Event) {
	if !n.daemon {
		return
	}
	n.inbox = append(n.inbox, ev)
	if n.stopped || n.paused || n.due {
		return
	}
	n.due = true
	w.push(event{at: w.now + w.rng.n(int64(w.opt.MainDelay)), kind: evMain, node: n.id, epoch: n.epoch})
}

// runMain lets the main loop take all that has arrived.
func (n *node) runMain(w *World) {
	if n.paused || n.stopped {
		return
	}
	n.events, n.inbox = n.inbox, n.events[:0]
	if !w.opt.OneByOne {
		n.step(w, n.events...)
		return
	}
	if len(n.events) == 0 {
		n.step(w)
	}
	for i := range n.events {
		n.step(w, n.events[i])
	}
}

// bits is what the gate says of group 0, with the parts removed that a test of the tests removes.
func (n *node) bits(w *World, now int64) gate.Bits {
	if !w.broken {
		return n.words.Serving(0, now)
	}
	return n.brokenBits(w, now)
}

func (n *node) brokenBits(w *World, now int64) gate.Bits {
	v := n.words
	if w.opt.BreakFence {
		v.Group[0].Fence = gate.Fence{}
	}
	if t := v.Group[0].Lease.Term(); w.opt.BreakLease && t != 0 {
		v.Renew(0, t, now)
	}
	return v.Serving(0, now)
}

// serves reports whether the machine runs and answers for the VIPs now.
func (w *World) serves(n *node) bool {
	return n.power && !n.paused && n.bits(w, n.local(w.now)).Has(gate.Answer)
}

// touched notes that a gate may have changed.
func (w *World) touched(n *node) {
	w.setServing(n, w.serves(n))
}

// gateAnswers notes what the gate of a machine that runs has just said of itself.
func (w *World) gateAnswers(n *node, b gate.Bits) {
	w.setServing(n, b.Has(gate.Answer))
}

func (w *World) setServing(n *node, serves bool) {
	if n.serving == serves {
		return
	}
	n.serving = serves
	if serves {
		w.inv.serving++
	} else {
		w.inv.serving--
		w.inv.before = n.id
	}
	w.inv.turned(w)
	w.inv.agree(w)
}
