// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/members/gate"
)

// network is what joins the machines: one segment per interface.
type network struct {
	cut       [MaxInterfaces][MaxMembers][MaxMembers]bool // frames from one to another are lost
	noCable   [MaxInterfaces][MaxMembers]bool             // no carrier
	stranded  [MaxInterfaces][MaxMembers]bool             // the member and the neighbour do not reach each other
	shortBond [MaxInterfaces][MaxMembers]bool             // carrier, but too few links
	silent    [MaxInterfaces]bool                         // the neighbour does not answer
	wrongKey  [MaxMembers]bool                            // authentic to nobody, and nobody to it
	echo      bool                                        // third stations answer echo requests as well as ARP
	noEcho    [MaxInterfaces]bool                         // but not on this interface now: something answers ARP in their place
	late      int64                                       // how much later than others their answers may come
	loss      uint32                                      // frames in 65536 lost
	dup       uint32                                      // frames in 65536 that come twice
	stranger  bool                                        // some machine answers for the VIPs
	changed   int64                                       // when any of these changed last
}

func (n *network) init(w *World) { n.changed = w.now }

// passes reports whether frames get from one member to another on a segment, loss aside.
func (n *network) passes(i, from, to uint8) bool {
	return !n.cut[i][from][to] && !n.noCable[i][from] && !n.noCable[i][to]
}

// understood reports whether the members accept each other's frames.
func (n *network) understood(a, b uint8) bool { return !n.wrongKey[a] && !n.wrongKey[b] }

type frameKind uint8

const (
	frProbe frameKind = iota
	frReply
	frYield
	frYieldReply
	frHello
	frVIPAnswer
	frNeighbour
)

// frame is a frame on its way. Only the part of its kind is in use.
type frame struct {
	kind     frameKind
	from, to uint8
	iface    uint8
	probe    gate.Probe
	yield    gate.Yield
	reply    gate.Reply
	hello    *members.Hello
	helloSeq uint64
	asked    int64 // local time of an asker
	echo     bool
	by       members.Answerer
}

// alloc returns the index of an unused frame.
func (w *World) alloc() int32 {
	if n := len(w.free); n > 0 {
		i := w.free[n-1]
		w.free = w.free[:n-1]
		return i
	}
	w.frames = append(w.frames, frame{})
	return int32(len(w.frames) - 1)
}

// transmit puts a frame on the wire, or frees it if it is lost.
func (w *World) transmit(i int32) {
	f := &w.frames[i]
	ours := f.kind != frVIPAnswer && f.kind != frNeighbour
	passes := w.net.passes(f.iface, f.from, f.to) || w.opt.BreakProof && f.kind == frNeighbour
	if !passes || ours && !w.net.understood(f.from, f.to) || w.rng.chance(w.net.loss) {
		w.free = append(w.free, i)
		return
	}
	at := w.now + w.delay()
	if f.kind == frNeighbour {
		at += w.rng.n(w.net.late)
	}
	w.push(event{at: at, kind: evFrame, frame: i})
	if w.rng.chance(w.net.dup) {
		c := w.alloc()
		w.frames[c] = w.frames[i]
		w.push(event{at: w.now + w.delay(), kind: evFrame, frame: c})
	}
}

func (w *World) delay() int64 {
	return w.rng.between(int64(w.opt.DelayMin), int64(w.opt.DelayMax))
}

// arrive hands a frame to the machine that it is for. A paused machine may find it when it wakes.
func (w *World) arrive(i int32) {
	n := &w.nodes[w.frames[i].to]
	if n.power && n.paused {
		if len(n.buffered) < 16 && w.rng.chance(16384) {
			n.buffered = append(n.buffered, i)
			return
		}
	} else if n.power {
		n.receive(w, i)
		return
	}
	w.free = append(w.free, i)
}

// receive handles a frame at a machine that runs: the gate answers in place, all else goes up.
func (n *node) receive(w *World, i int32) {
	f := &w.frames[i]
	now := n.local(w.now)
	switch f.kind {
	case frProbe:
		f.reply = n.words.Probe(now, f.probe)
		w.answer(n, i, frReply)
		return
	case frYield:
		f.reply = n.words.Yield(now, f.yield)
		if f.reply.Result == gate.Granted {
			w.logf("%s's gate grants term %d to %s", n.name, f.yield.Term, memberNames[f.from])
		}
		w.answer(n, i, frYieldReply)
		return
	case frReply, frYieldReply:
		if n.daemon && now-f.reply.EchoStamp < 1e9 && f.reply.EchoIncarnation == n.words.Incarnation {
			if n.pulse.stalled && len(n.pulse.queue) < 256 {
				n.pulse.queue = append(n.pulse.queue, i)
				return
			}
			if !n.pulse.stalled {
				n.pulse.reply(w, n, f)
			}
		}
	case frHello:
		n.helloArrived(w, f)
	case frVIPAnswer:
		n.post(w, members.VIPAnswer{Iface: f.iface, By: f.by, MAC: "02:48:00:01:00:00"})
	case frNeighbour:
		n.post(w, members.NeighbourAnswer{Iface: f.iface, Answered: true, Asked: f.asked, Echo: f.echo})
	}
	w.free = append(w.free, i)
}

// answer sends a reply of the gate of n back in the frame that asked.
func (w *World) answer(n *node, i int32, kind frameKind) {
	f := &w.frames[i]
	f.kind = kind
	if w.broken {
		f.reply.Bits = n.bits(w, n.local(w.now))
	}
	w.gateAnswers(n, f.reply.Bits)
	f.from, f.to = f.to, f.from
	w.transmit(i)
}
