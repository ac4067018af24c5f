// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"time"

	"github.com/holdfast-project/holdfast/ccp"
)

// receive takes in an Ethernet frame that came in on the interface at this position, and reports whether it was of use.
func (e *engine) receive(now int64, iface int, frame []byte) bool {
	reason := e.accept(now, iface, frame)
	if reason != DropCount {
		e.stats.Dropped[reason]++
	}
	return reason == DropCount
}

// accept checks a frame and uses it. It returns why it did not, or DropCount if it did. The gate has checked most of this; the
// pulse does not depend on it, for the fence follows from what answers say.
func (e *engine) accept(now int64, iface int, frame []byte) Drop {
	if len(frame) < ethernetLen+ccp.GateFrameLen || iface >= len(e.cfg.Interfaces) {
		return DropMalformed
	}
	b := frame[ethernetLen:]
	h, err := ccp.ParseHeader(b)
	if err != nil || (h.Type != ccp.TypeReply && h.Type != ccp.TypeYieldReply) {
		return DropMalformed
	}
	if h.Cluster != e.cfg.Cluster || h.Target != e.cfg.Self {
		return DropCluster
	}
	key := &e.keys[h.Key&3]
	if !key.known || key.number != h.Key {
		return DropKey
	}
	if !ccp.VerifyTag(b, key.key) {
		return DropTag
	}
	if h.Source >= MaxMembers || e.linkOf[iface][h.Source] < 0 {
		return DropSource
	}
	r, err := ccp.ParseReply(h.Body(b))
	if err != nil || r.Group >= MaxGroups {
		return DropMalformed
	}
	if h.EchoIncarnation != e.words.Incarnation() {
		return DropNonce
	}
	l := &e.links[e.linkOf[iface][h.Source]]
	if h.Type == ccp.TypeYieldReply {
		return e.yielded(now, l, &h, &r)
	}
	return e.answered(now, l, &h, &r, [6]byte(frame[6:12]))
}

// answered uses the answer to a probe.
func (e *engine) answered(now int64, l *link, h *ccp.Header, r *ccp.Reply, from [6]byte) Drop {
	rtt, ok := l.detector.Answered(now, r.Nonce)
	if !ok {
		return DropNonce
	}
	e.learn(h)
	e.peers[l.peer].heardAt = now
	l.mac, l.macKnown, l.unanswered = from, true, 0
	l.stats.Answered++
	l.stats.AnswersLastSecond++
	if rtt > int64(e.cfg.Probe) {
		l.stats.SlowAnswers++
	}
	l.stats.RTT.observe(&RTTBounds, time.Duration(rtt))
	query := l.queried && l.query == r.Nonce
	l.queried = l.queried && !query
	l.answered = max(l.answered, l.detector.LastAnswered())
	if e.resume(l, now) {
		e.heard(now, l, h, r, time.Duration(rtt), query)
	}
	return DropCount
}

// heard tells main of an answer if it is news. What could not be told is still news at the next answer.
func (e *engine) heard(now int64, l *link, h *ccp.Header, r *ccp.Reply, rtt time.Duration, query bool) {
	t := &l.told[r.Group]
	c := content{
		incarnation: h.Incarnation, term: r.Term, fence: r.FenceTerm, closed: r.Closed, bits: r.Bits, grantee: r.Grantee,
	}
	aged := r.LeaseAgeMs > oldLease && (r.Bits&ccp.BitAnswer != 0 || r.Bits&ccp.BitForward != 0 && r.LeaseAgeMs != ccp.NoLease)
	news := query || aged || l.resumed || c != t.what || t.at == 0
	if due := e.telling || now-t.at >= int64(heardInterval+e.cfg.Probe); !news && !due { // or the answer that was due was lost
		return
	}
	event := Heard{Peer: l.peer, Slot: l.slot, Query: query, At: now, RTT: rtt, Incarnation: h.Incarnation, Stamp: h.Sequence, Reply: *r}
	msg := appendHeard(e.message[:0], &event)
	if news && e.say(msg) || !news && e.sayLater(msg) {
		t.at, t.what, l.resumed = now, c, false
	}
}

// yielded hands on the answer to a YIELD. If main has no room for it, it is lost as on any wire: main asks again.
func (e *engine) yielded(now int64, l *link, h *ccp.Header, r *ccp.Reply) Drop {
	for i := range e.asked {
		a := &e.asked[i]
		if !a.open || a.nonce != r.Nonce || a.peer != l.peer || a.iface != l.iface {
			continue
		}
		a.open = false
		e.learn(h)
		event := YieldReply{
			Peer: l.peer, Slot: l.slot, Group: a.group, Kind: a.kind, Term: a.term, At: now,
			RTT: time.Duration(now - a.at), Incarnation: h.Incarnation, Reply: *r,
		}
		e.say(appendYielded(e.message[:0], &event))
		return DropCount
	}
	return DropNonce
}

// learn notes the incarnation and the stamp of a peer's gate from an answer that a nonce vouches for.
func (e *engine) learn(h *ccp.Header) {
	p := &e.peers[h.Source]
	if p.incarnation != h.Incarnation {
		p.incarnation, p.stamp = h.Incarnation, 0
	}
	p.stamp = max(p.stamp, h.Sequence)
}
