// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/ccp/segment"
)

// yieldAsked is a YIELD whose answer is awaited.
type yieldAsked struct {
	open        bool
	nonce       uint64
	at          int64
	peer, group uint8
	iface       int
	kind        ccp.YieldKind
	term        uint32
}

// tick probes every peer on every interface. A tick that comes later than a whole interval passes the missed ones over: probes
// in a burst prove no more than one.
func (e *engine) tick(now int64) {
	probe := int64(e.cfg.Probe)
	late := now - e.nextTick
	e.late(now, time.Duration(late))
	over := late / probe
	e.nextTick += (over + 1) * probe
	e.stats.Ticks++
	if e.telling = now >= e.nextTell; e.telling {
		e.nextTell = now + int64(heardInterval) - probe/2 // the tick after that many, however late each is
	}
	e.stats.Skipped += uint64(over)
	for i := range e.links {
		l := &e.links[i]
		e.probe(l, 0, false)
		for g := range uint8(MaxGroups) {
			// Peers settle a conflict over a group by its own probes.
			if g != 0 && e.groups[g].term != 0 {
				e.probe(l, g, false)
			}
		}
	}
}

// probe sends one probe to a peer on an interface.
func (e *engine) probe(l *link, group uint8, query bool) {
	now := e.kernel.now()
	nonce := e.nonces.Uint64()
	h := e.header(now, l.peer)
	if query {
		h.Flags = ccp.FlagQuery
	}
	to := e.destination(l)
	l.unanswered++
	e.ethernet(l.iface, to)
	b := ccp.AppendProbe(e.frame[:ethernetLen], h, ccp.Probe{
		Nonce: nonce, Term: e.words.Lease(group).Term(), Group: group, Bits: e.bits(now, group, l.peer),
	}, e.cfg.Key)
	e.probed(l, now, nonce, e.kernel.transmit(l.iface, b))
	if query {
		l.query, l.queried = nonce, true
	}
}

// yield asks a peer's gate on every interface for a term.
func (e *engine) yield(c *command) {
	for i := range e.links {
		l := &e.links[i]
		if l.peer != c.target {
			continue
		}
		now := e.kernel.now()
		a := &e.asked[e.askedNext]
		e.askedNext = (e.askedNext + 1) % len(e.asked)
		*a = yieldAsked{
			open: true, nonce: e.nonces.Uint64(), at: now, peer: l.peer, group: c.group, iface: l.iface, kind: c.yield, term: c.term,
		}
		e.ethernet(l.iface, e.destination(l))
		b := ccp.AppendYield(e.frame[:ethernetLen], e.header(now, l.peer), ccp.Yield{
			Nonce: a.nonce, Term: c.term, Group: c.group, Bits: e.bits(now, c.group, l.peer), Kind: c.yield, MinAgeMs: c.minAgeMs,
		}, e.cfg.Key)
		a.open = e.kernel.transmit(l.iface, b) == left
	}
}

// header returns the header of a gate frame to a peer.
func (e *engine) header(now int64, to uint8) ccp.Header {
	p := &e.peers[to]
	return ccp.Header{
		Key: e.cfg.KeyNumber, Cluster: e.cfg.Cluster, Source: e.cfg.Self, Target: to,
		Incarnation: e.words.Incarnation(), Sequence: e.nextSequence(now), EchoIncarnation: p.incarnation, EchoStamp: p.stamp,
	}
}

// bits describes this member to a peer.
func (e *engine) bits(now int64, group, to uint8) ccp.Bits {
	b := ccp.Bits(e.words.Serving(group, now)) // the numbers are those of the frame
	if at := e.peers[to].heardAt; at != 0 && now-at < int64(e.cfg.Dead) {
		b |= ccp.BitHearsYou
	}
	return b
}

// destination returns the MAC address for the next frame of a link.
func (e *engine) destination(l *link) [6]byte {
	switch {
	case e.cfg.Transport == Broadcast:
		return segment.Broadcast
	case e.cfg.Transport == Multicast, !l.macKnown, l.unanswered%regroup == regroup-1:
		return segment.Group(e.cfg.Cluster)
	}
	return l.mac
}
