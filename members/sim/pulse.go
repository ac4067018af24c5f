// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"time"

	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/members/gate"
	"github.com/holdfast-project/holdfast/members/liveness"
)

// word is how long the main loop may be silent before the pulse renews no lease any more.
const word = int64(500 * time.Millisecond)

// pulse models the pulse process: it renews the lease, probes, reads answers and reports.
type pulse struct {
	stalled bool
	ticking bool
	tickAt  int64 // global
	orders  []order
	queue   []int32 // replies that wait for a stalled pulse

	leasing bool
	term    uint32
	renewed int64 // local: when the lease was renewed last, or asked for
	nonce   uint64
	paths   [MaxMembers][MaxInterfaces]path
	known   [MaxMembers]known
	told    members.GateState
	toldAt  int64
	onTime  int64 // local: since when its ticks are on time
}

// path is one peer on one interface.
type path struct {
	det            liveness.Detector
	missed, silent bool
	told           told
	toldAt         int64
	answered       bool
}

// known is what the pulse knows of a peer's gate.
type known struct {
	incarnation uint64
	stamp       int64 // newest Sequence of its replies
	heardAt     int64 // local
}

type orderKind uint8

const (
	ordRevoke orderKind = iota
	ordLease
	ordAlone
	ordQuery
	ordYield
)

// order is what the main loop tells the pulse.
type order struct {
	kind   orderKind
	term   uint32
	alone  bool
	asked  int64 // local
	target uint8
	yield  gate.Kind
	minAge time.Duration
}

// start begins anew, as a fresh process does.
func (p *pulse) start(w *World, n *node) {
	*p = pulse{orders: p.orders[:0], queue: p.queue[:0], nonce: w.rng.next() &^ 1}
	for k := range w.nodes {
		for i := range w.cfg.Interfaces {
			p.paths[k][i].det = liveness.New(time.Duration(w.probe), time.Duration(w.dead))
		}
	}
	p.onTime = n.local(w.now)
	p.schedule(w, n, w.now+w.rng.n(w.probe))
}

func (p *pulse) schedule(w *World, n *node, at int64) {
	p.ticking, p.tickAt = true, at
	w.push(event{at: at, kind: evTick, node: n.id, epoch: n.epoch})
}

// resume takes up again after a stall: what waited is read first.
func (p *pulse) resume(w *World, n *node) {
	p.stalled = false
	for _, i := range p.queue {
		p.reply(w, n, &w.frames[i])
		w.free = append(w.free, i)
	}
	p.queue = p.queue[:0]
	for _, o := range p.orders {
		p.obey(w, n, o)
	}
	p.orders = p.orders[:0]
	if !p.ticking {
		p.schedule(w, n, w.now)
	}
}

// tick is one probe interval.
func (p *pulse) tick(w *World, n *node) {
	now := n.local(w.now)
	if late := w.now - p.tickAt; late > w.probe/2 {
		p.onTime = now
	}
	p.renew(w, n, now)
	doubt := p.anyMissed()
	p.probeAll(w, n, false)
	p.gateChanged(w, n, now)
	p.check(w, n)
	p.judgeSingle(w, n, now)
	if doubt {
		w.push(event{at: w.now + min(w.probe/5, 2e6) + 1, kind: evCheck, node: n.id, epoch: n.epoch})
	}
	w.push(event{at: w.now + w.probe/2 + 1, kind: evCheck, node: n.id, epoch: n.epoch})
	next := p.tickAt + w.probe
	if next <= w.now {
		next = w.now + w.probe
	}
	p.schedule(w, n, next+w.rng.n(w.probe/50))
	p.tickAt = next
}

// anyMissed reports whether some peer was found to miss a probe.
func (p *pulse) anyMissed() bool {
	for k := range p.paths {
		for i := range p.paths[k] {
			if p.paths[k][i].missed {
				return true
			}
		}
	}
	return false
}

// renew renews the lease while the main loop lives. One that lay for the hard expiry, or that the fence no
// longer permits, is given up: every opening is a claim, which is main's to make.
func (p *pulse) renew(w *World, n *node, now int64) {
	if !p.leasing {
		return
	}
	if now-p.renewed >= int64(w.hard) || !w.opt.BreakFence && !n.words.Group[0].Fence.Permits(p.term, n.id) {
		p.lose(n)
		w.touched(n)
		return
	}
	if now-n.wordAt < word {
		n.words.Renew(0, p.term, now)
		p.renewed, n.renewed = now, w.now
		w.touched(n)
	}
}

func (p *pulse) lose(n *node) {
	p.leasing, n.words.Group[0].Alone = false, 0
	n.words.Revoke(0)
}

// probeAll sends a probe to every peer on every interface with carrier.
func (p *pulse) probeAll(w *World, n *node, query bool) {
	now := n.local(w.now)
	probe := gate.Probe{Source: n.id, Incarnation: n.words.Incarnation, Sequence: now, Term: n.words.Group[0].Lease.Term()}
	bits := n.bits(w, now)
	for k := range w.nodes {
		if uint8(k) == n.id {
			continue
		}
		peer := &p.known[k]
		probe.Bits, probe.EchoIncarnation, probe.EchoStamp = bits, peer.incarnation, peer.stamp
		if peer.heardAt != 0 && now-peer.heardAt < w.dead {
			probe.Bits |= gate.HearsYou
		}
		for i := range w.cfg.Interfaces {
			if w.net.noCable[i][n.id] {
				continue
			}
			p.nonce += 2
			probe.Nonce = p.nonce
			if query {
				probe.Nonce |= 1
			}
			p.paths[k][i].det.Sent(now, probe.Nonce)
			f := w.alloc()
			fr := &w.frames[f]
			fr.kind, fr.from, fr.to, fr.iface, fr.probe = frProbe, n.id, uint8(k), uint8(i), probe
			w.transmit(f)
		}
	}
}

// reply takes an answer in, and reports what is worth it.
func (p *pulse) reply(w *World, n *node, f *frame) {
	now, r := n.local(w.now), &f.reply
	if f.kind == frYieldReply {
		n.post(w, members.YieldResult{Peer: f.from, Term: f.yield.Term, Result: members.Result(r.Result),
			FenceTerm: r.Fence.Term, Grantee: r.Fence.Grantee})
		return
	}
	t := &p.paths[f.from][f.iface]
	rtt, ok := t.det.Answered(now, r.Nonce)
	if !ok {
		return
	}
	k := &p.known[f.from]
	if k.incarnation != r.Incarnation {
		*k = known{incarnation: r.Incarnation}
	}
	k.stamp, k.heardAt = max(k.stamp, r.Sequence), now
	serving := r.Bits.Has(gate.Answer)
	if !p.worth(w, t, r, serving, now) {
		return
	}
	h := members.Heard{Peer: f.from, Iface: f.iface, At: now, RTT: time.Duration(rtt), Incarnation: r.Incarnation,
		Term: r.Term, LeaseAge: time.Duration(r.LeaseAgeMs) * time.Millisecond, Serving: serving,
		Forward: r.Bits.Has(gate.Forward), Alone: r.Bits.Has(gate.Alone), Restarting: r.Bits.Has(gate.Restarting),
		Watched: r.Bits.Has(gate.Watched), FenceTerm: r.Fence.Term, Grantee: r.Fence.Grantee, Heard: r.Heard, Closed: r.Closed}
	if r.LeaseAgeMs == gate.NoLease {
		h.LeaseAge = 0
	}
	t.answered, t.missed, t.silent, t.told, t.toldAt = true, false, false, toldOf(r), now
	n.post(w, h)
}

// told is what was reported of an answer last, as far as a change of it is worth a report.
type told struct {
	incarnation uint64
	fence       gate.Fence
	term        uint32
	closed      uint32
	bits        gate.Bits
}

func toldOf(r *gate.Reply) told {
	return told{incarnation: r.Incarnation, fence: r.Fence, term: r.Term, closed: r.Closed, bits: r.Bits}
}

// worth says whether an answer is reported.
func (p *pulse) worth(w *World, t *path, r *gate.Reply, serving bool, now int64) bool {
	return r.Nonce&1 != 0 || !t.answered || t.missed || t.silent || now-t.toldAt >= int64(w.opt.Timers.Hello) ||
		serving && r.LeaseAgeMs != gate.NoLease && int64(r.LeaseAgeMs)*1e6 > int64(w.opt.Timers.CourtesyAge/2) || toldOf(r) != t.told
}

// check reports what the detectors find.
func (p *pulse) check(w *World, n *node) {
	now := n.local(w.now)
	for k := range w.nodes {
		if uint8(k) == n.id {
			continue
		}
		for i := range w.cfg.Interfaces {
			t := &p.paths[k][i]
			if !t.missed && !t.silent && t.det.Missed(now) {
				t.missed = true
				n.post(w, members.Missed{Peer: uint8(k), Iface: uint8(i), Since: t.det.LastAnswered()})
			}
			if !t.silent && t.det.Dead(now) {
				t.silent = true
				n.post(w, members.Silent{Peer: uint8(k), Iface: uint8(i), Since: t.det.LastAnswered()})
			}
		}
	}
}

// judgeSingle marks in the words that no other member is there.
func (p *pulse) judgeSingle(w *World, n *node, now int64) {
	patience := w.dead
	for k := range w.nodes {
		for i := range w.cfg.Interfaces {
			if uint8(k) != n.id && !p.paths[k][i].silent {
				patience = int64(w.hard)
			}
		}
	}
	if words := &n.words; (words.Single == 0 || words.Probed > words.Single) && now-words.Probed >= patience && len(w.nodes) > 1 {
		words.Single = now
		w.touched(n)
	}
}

// gateChanged reports the own gate when its fence or bits changed, and every HELLO interval.
func (p *pulse) gateChanged(w *World, n *node, now int64) {
	s := n.gateState(w, now)
	if s.FenceTerm == p.told.FenceTerm && s.Serving == p.told.Serving && s.LeaseTerm == p.told.LeaseTerm &&
		now-p.toldAt < int64(w.opt.Timers.Hello) {
		return
	}
	p.told, p.toldAt = s, now
	n.post(w, s)
	n.post(w, members.PulseHealth{OnTimeSince: p.onTime})
}

// order passes an order on; a stalled pulse obeys later.
func (p *pulse) order(w *World, n *node, o order) {
	o.asked = n.local(w.now)
	if p.stalled {
		p.orders = append(p.orders, o)
		return
	}
	p.obey(w, n, o)
}

func (p *pulse) obey(w *World, n *node, o order) {
	now := n.local(w.now)
	g := &n.words.Group[0]
	switch o.kind {
	case ordRevoke:
		p.lose(n)
	case ordLease:
		if g.Lease.Term() == o.term {
			o.asked = now - g.Lease.Age(now)
		}
		p.leasing, p.term, p.renewed = true, o.term, o.asked
		p.setAlone(g, o.alone, now)
		p.renew(w, n, now)
	case ordAlone:
		p.setAlone(g, o.alone, now)
	case ordQuery:
		p.probeAll(w, n, true)
	case ordYield:
		p.yield(w, n, o, now)
	}
	w.touched(n)
}

func (p *pulse) setAlone(g *gate.Group, alone bool, now int64) {
	g.Alone = 0
	if alone {
		g.Alone = now
	}
}

func (p *pulse) yield(w *World, n *node, o order, now int64) {
	for i := range w.cfg.Interfaces {
		if w.net.noCable[i][n.id] {
			continue
		}
		f := w.alloc()
		w.frames[f] = frame{kind: frYield, from: n.id, to: o.target, iface: uint8(i), yield: gate.Yield{
			Source: n.id, Incarnation: n.words.Incarnation, Sequence: now, EchoIncarnation: p.known[o.target].incarnation,
			Term: o.term, Kind: o.yield, MinAgeMs: uint32(o.minAge / time.Millisecond)}}
		w.transmit(f)
	}
}
