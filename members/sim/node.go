// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"time"

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
	reporters          []reporter
	failbacks          []int64 // when it took over by itself since its daemon started
	frozenAt, unfrozen int64   // global: the operator's order to freeze, and when it ends

	serving bool // cached; exact right after its gate was touched
	renewed int64
}

func (n *node) init(w *World, id uint8) { n.id, n.name = id, memberNames[id] }

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
		n.ready(w, e.frame)
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
	n.machine = members.New(w.config(n), members.Boot{Now: now, Incarnation: n.inc, StoredTerm: n.stored,
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

// ready says whether the policy or the connection table is there.
func (n *node) ready(w *World, what int32) {
	if what == 0 {
		n.post(w, members.PolicyReady{Ready: !n.noPolicy})
		return
	}
	n.post(w, members.SyncReady{Ready: !n.noSync})
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

// step applies events to the machine and carries its effects out.
func (n *node) step(w *World, events ...members.Event) {
	now := n.local(w.now)
	n.wordAt = now
	w.inv.steps += int64(max(len(events), 1))
	grant := uint32(0)
	for _, e := range n.machine.Step(now, events...) {
		switch e := e.(type) {
		case members.Revoke:
			n.pulse.order(w, n, order{kind: ordRevoke})
		case members.SendYield:
			n.sendYield(w, e)
		case members.GrantOwn:
			grant = e.Term
		case members.Lease:
			n.pulse.order(w, n, order{kind: ordLease, term: e.Term, alone: e.Alone})
		case members.SetAlone:
			n.pulse.order(w, n, order{kind: ordAlone, alone: e.Alone})
		case members.AskVIP:
			n.askVIP(w)
		case members.AskNeighbours:
			n.askNeighbours(w, e.Iface)
		case members.Query:
			n.pulse.order(w, n, order{kind: ordQuery})
		case members.SendHello:
			n.sendHello(w)
		case members.StoreTerm:
			n.stored = max(n.stored, e.Term)
		case members.Record:
			n.record(w, e)
		case members.WakeAt:
			n.setWake(w, n.global(e.At))
		}
	}
	if grant != 0 {
		n.grantOwn(w, grant)
	}
}

func (n *node) setWake(w *World, at int64) {
	n.wake = at
	if n.wakeSet > w.now && n.wakeSet <= at {
		return
	}
	n.wakeSet = at
	w.push(event{at: at, kind: evWake, node: n.id, epoch: n.epoch})
}

// grantOwn asks the own gate and feeds the answer back at once.
func (n *node) grantOwn(w *World, term uint32) {
	fence, ok := n.words.Grant(0, term, n.id)
	w.touched(n)
	r := members.YieldResult{Peer: n.id, Term: term, Result: members.Refused, FenceTerm: fence.Term, Grantee: fence.Grantee}
	if ok {
		r.Result = members.Granted
	}
	n.step(w, r)
}

func (n *node) sendYield(w *World, e members.SendYield) {
	if w.opt.BreakTakeover && w.now < n.unfrozen {
		return
	}
	if w.opt.BreakGrants {
		n.post(w, members.YieldResult{Peer: e.Target, Term: e.Term, Result: members.Granted, FenceTerm: e.Term, Grantee: n.id})
		return
	}
	n.pulse.order(w, n, order{kind: ordYield, term: e.Term, target: e.Target, yield: gate.Kind(e.Kind), minAge: e.MinAge})
}

func (n *node) record(w *World, r members.Record) {
	if w.opt.BreakAttention && r.From == members.StateActive && r.To == members.StateActiveAttention {
		r.To = members.StateDown
	}
	w.inv.recorded(w, n, r)
	if w.opt.OnRecord != nil {
		w.opt.OnRecord(w.now-start, n.id, r)
	}
	if w.opt.Log != nil {
		w.logf("%s %v %v>%v: %s", n.name, r.Code, r.From, r.To, r.Reason)
	}
}

// gateState reads the own gate.
func (n *node) gateState(w *World, now int64) members.GateState {
	g := &n.words.Group[0]
	bits := n.bits(w, now)
	s := members.GateState{LeaseTerm: g.Lease.Term(), FenceTerm: g.Fence.Term, Grantee: g.Fence.Grantee,
		Serving: bits.Has(gate.Answer), Forward: bits.Has(gate.Forward)}
	if g.Lease != 0 {
		s.LeaseAge = time.Duration(g.Lease.Age(now))
	}
	return s
}

// sendHello sends a HELLO to all peers on all interfaces.
func (n *node) sendHello(w *World) {
	h := n.machine.Hello(n.local(w.now))
	n.helloNo++
	for to := range w.nodes {
		for i := range w.cfg.Interfaces {
			if uint8(to) == n.id {
				continue
			}
			k := w.alloc()
			w.frames[k] = frame{kind: frHello, from: n.id, to: uint8(to), iface: uint8(i), hello: &h, helloSeq: n.helloNo}
			w.transmit(k)
		}
	}
}

// helloArrived passes a HELLO up unless a newer one came before.
func (n *node) helloArrived(w *World, f *frame) {
	src := &w.nodes[f.from]
	if !n.daemon || f.hello.Incarnation != src.inc {
		return
	}
	if f.helloSeq <= n.hellos[f.from] { // overtaken by another interface: the way is news where the gate does not answer
		if n.pulse.paths[f.from][f.iface].silent {
			n.post(w, members.CCPIn{Peer: f.from, Iface: f.iface})
		}
		return
	}
	n.hellos[f.from] = f.helloSeq
	n.post(w, members.HelloReceived{From: f.from, Iface: f.iface, Hello: *f.hello})
}

// askVIP: every other machine whose gate is open answers.
func (n *node) askVIP(w *World) {
	for i := range w.cfg.Interfaces {
		if !w.cfg.Interfaces[i].Cluster || w.net.noCable[i][n.id] {
			continue
		}
		if w.net.stranger && !w.net.stranded[i][n.id] {
			n.answerTo(w, frame{kind: frVIPAnswer, from: n.id, to: n.id, iface: uint8(i), by: members.ByStranger})
		}
		for k := range w.nodes {
			o := &w.nodes[k]
			if o == n || !o.power || o.paused || !w.net.passes(uint8(i), n.id, o.id) || !w.serves(o) {
				continue
			}
			n.answerTo(w, frame{kind: frVIPAnswer, from: o.id, to: n.id, iface: uint8(i), by: members.ByVMAC})
		}
	}
}

// askNeighbours: the third stations answer ARP, and echo requests where they do.
func (n *node) askNeighbours(w *World, i uint8) {
	if !w.neighbourThere(n, i) {
		return
	}
	f := frame{kind: frNeighbour, from: n.id, to: n.id, iface: i, asked: n.local(w.now)}
	n.answerTo(w, f)
	if w.net.echo && !w.net.noEcho[i] {
		f.echo = true
		n.answerTo(w, f)
	}
}

// neighbourThere reports whether a third station on the segment and the member reach each other.
func (w *World) neighbourThere(n *node, i uint8) bool {
	there := w.opt.Neighbours && !w.net.silent[i] && !w.net.stranded[i][n.id] && !w.net.noCable[i][n.id]
	if w.opt.BreakProof {
		return there || !n.serving
	}
	return there
}

// answerTo sends an answer that has to get there and back.
func (n *node) answerTo(w *World, f frame) {
	if w.rng.chance(w.net.loss) {
		return
	}
	k := w.alloc()
	w.frames[k] = f
	w.transmit(k)
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
	}
	w.inv.turned(w)
}
