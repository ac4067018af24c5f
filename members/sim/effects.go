// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"time"

	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/members/gate"
)

// This file carries out what a machine wants done.

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
		case members.Flush: // which takes longer than it is waited for, now and then
			w.push(event{at: w.now + w.rng.n(int64(60*time.Millisecond)), kind: evReady, node: n.id, epoch: n.epoch, frame: int32(e.ID)})
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
	fence, ok := n.words.Grant(0, term, n.id, n.local(w.now))
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
	h.Flushes = n.flushes
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
