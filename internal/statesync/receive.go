// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/ccp/segment"
	"github.com/holdfast-project/holdfast/dataplane/flow"
)

// received takes in the frames that one interface had.
func (p *Plane) received(t *port, in []segment.Frame) {
	now := boottime()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range in {
		t.receivedFrames++
		t.receivedBytes += uint64(len(f.Bytes))
		p.takeFrame(now, t, f.MAC, f.Bytes)
	}
	p.glance(now)
}

// takeFrame opens one frame and does what its parts say.
func (p *Plane) takeFrame(now int64, t *port, src [6]byte, frame []byte) {
	opened, drop := p.opener.Open(now, frame, p.scratch)
	if drop != ccp.DropNone {
		p.dropped[drop]++
		if drop == ccp.DropReplay || drop == ccp.DropOld {
			p.heardTwin(now, t, frame)
		}
		return
	}
	h := opened.Header
	if h.Source >= p.cfg.Members || h.Type != ccp.TypeSync {
		p.dropped[ccp.DropSource]++
		return
	}
	q := &p.peers[h.Source]
	if opened.Introduce {
		q.say(now, 1)
	}
	// An unbound frame may be a recording: it changes nothing.
	if !opened.Bound {
		return
	}
	if q.gone == h.Incarnation && h.Sequence <= q.goneAt {
		return // it was on its way when the plane ended that sent it
	}
	if q.bound != h.Incarnation {
		p.bind(now, q, h.Incarnation)
	}
	if q.key != h.Key {
		if q.key != 0 {
			q.keyAt = now
		}
		q.key = h.Key
	}
	if q.macs[t.Index] != src {
		q.macs[t.Index] = src
	}
	q.heard, t.heard[h.Source], q.lastSequence = now, now, h.Sequence
	for rest := opened.Body; ; {
		var part ccp.SyncPart
		var err error
		if part, rest, err = ccp.NextSync(rest); err == nil {
			if part.Kind == 0 {
				return
			}
			err = p.takePart(now, q, part)
		}
		if err != nil {
			p.dropped[ccp.DropMalformed]++
			return
		}
		if q.bound == 0 {
			return // that was its goodbye
		}
	}
}

// heardTwin notes that an interface works, from a frame that another one had first. That it is authentic was proved there: the window
// knows its sequence. Sequences are times of the sender's clock, which is none of this member's: by that one it is no older than what says that
// an interface works. A recording of a moment ago may say so too, and then shows as heard what is not; nothing is decided by it.
func (p *Plane) heardTwin(now int64, t *port, frame []byte) {
	h, err := ccp.ParseHeader(frame)
	if err != nil || h.Source >= ccp.MaxMembers {
		return
	}
	if q := &p.peers[h.Source]; q.bound == h.Incarnation && h.Sequence+heardFor > q.lastSequence {
		t.heard[h.Source] = now
	}
}

// bind begins anew with a peer that was started again, or is heard for the first time.
func (p *Plane) bind(now int64, q *peer, incarnation uint64) {
	p.log.Info("state synchronisation with another member begins", "member", q.id)
	p.stopServing(now, q) // whoever asked is gone
	q.rebind(incarnation)
	q.gone = 0
	p.packing()
	p.sender.SetPeer(now, q.id, incarnation)
	p.sets.listAll()
	q.say(now, statusTimes)
	if a := p.askerFrom(q.id); a != nil {
		// What it said before is void, and so is what was asked.
		p.do(now, a, a.setSource(ccp.Nobody))
		a.missed()
	}
}

func (p *Plane) takePart(now int64, q *peer, part ccp.SyncPart) error {
	switch part.Kind {
	case ccp.SyncStatusPart:
		s, err := part.Status()
		if err != nil {
			return err
		}
		p.takeStatus(now, q, s)
	case ccp.SyncAddressesPart:
		list, err := part.Addresses()
		if err != nil {
			return err
		}
		p.takeAddresses(now, q, list)
	case ccp.SyncBatchPart:
		b, err := part.Batch()
		if err != nil {
			return err
		}
		p.takeBatch(now, q, b)
	case ccp.SyncAckPart:
		a, err := part.Ack(p.frames.ranges)
		if err != nil {
			return err
		}
		got := flow.Ack{Lane: flow.Lane(a.Lane), Log: a.Log, Next: a.Next, Ranges: p.flowRanges(a.Ranges)}
		if a.Lane == ccp.LaneDelta {
			p.sender.Acked(now, q.id, q.bound, got)
		} else if q.serving != nil && q.serving.bulk != nil {
			if q.serving.bulk.Acked(now, got) == flow.Taken && got.Next > 1 {
				q.heeds()
			}
			p.servedSome(now, q)
		}
	case ccp.SyncGapPart:
		g, err := part.Gap(p.frames.ranges)
		if err != nil {
			return err
		}
		got := flow.Gap{Lane: flow.Lane(g.Lane), Log: g.Log, Missing: p.flowRanges(g.Ranges)}
		if g.Lane == ccp.LaneDelta {
			p.sender.Requested(now, q.id, q.bound, got)
		} else if q.serving != nil && q.serving.bulk != nil {
			q.serving.bulk.Requested(now, got)
		}
	case ccp.SyncCreditPart:
		c, err := part.Credit()
		if err != nil {
			return err
		}
		if q.serving != nil && q.serving.bulk != nil {
			q.serving.bulk.Credit(now, flow.Credit{Log: c.Log, Limit: c.Limit})
			p.servedSome(now, q)
		}
	case ccp.SyncRequestPart:
		r, err := part.Request()
		if err != nil {
			return err
		}
		p.takeRequest(now, q, r)
	case ccp.SyncAnswerPart:
		a, err := part.Answer()
		if err != nil {
			return err
		}
		p.takeAnswer(now, q, a)
	}
	return nil
}

func (p *Plane) flowRanges(list []ccp.SyncRange) []flow.Range {
	p.flowed = p.flowed[:0]
	for _, r := range list {
		p.flowed = append(p.flowed, flow.Range(r))
	}
	return p.flowed
}

// takeStatus takes what a peer says of itself.
func (p *Plane) takeStatus(now int64, q *peer, s ccp.SyncStatus) {
	if s.Stopping {
		p.left(now, q)
		return
	}
	before := q.status
	q.status = s
	if s.Unpacks != before.Unpacks {
		p.packing()
	}
	if before.Role == ccp.SyncOwner && s.Role != ccp.SyncOwner {
		q.skipped, q.lossy = false, false // its table is made equal to another one's now
	}
	if s.Role != before.Role || s.Term != before.Term || s.Current != before.Current {
		p.log.Debug("a member's part in state synchronisation", "member", q.id, "role", s.Role.String(), "term", s.Term, "current", s.Current)
	}
	if s.Evicted && !before.Evicted {
		p.skip(q)
	}
	if s.Losses != before.Losses {
		if a := p.askerFrom(q.id); a != nil {
			a.missed()
		} else {
			q.lossy = true
		}
	}
	// Batches of a new owner may come in the very next frame.
	if s.Role != before.Role || s.Term != before.Term || s.Table != before.Table {
		if a := p.askerFrom(q.id); a != nil && s.Table == p.share.table() {
			a.hurry(now) // it serves only who goes by the same table
		}
		p.follow(now)
	}
}

// packing has batches packed while all that get them can unpack them.
func (p *Plane) packing() {
	on := true
	for i := range p.peers {
		q := &p.peers[i]
		on = on && (q.bound == 0 || q.status.Unpacks)
	}
	p.sender.SetPacking(on)
}

// skip notes that changes of a peer were not applied here: if its table counts, or comes to count, only a repair makes that good.
func (p *Plane) skip(q *peer) {
	if a := p.askerFrom(q.id); a != nil {
		a.lost(true)
	} else {
		q.skipped = true
	}
}

// takeBatch puts a batch where it belongs in its lane, and what that brings to light into the injector's queue.
func (p *Plane) takeBatch(now int64, q *peer, b ccp.SyncBatch) {
	if b.Sequence != 0 && p.inject.full() {
		p.stats.Overflowed++ // not acknowledged, so it comes again
		return
	}
	in := flow.Batch{Lane: flow.Lane(b.Lane), Log: b.Log, Sequence: b.Sequence, Floor: b.Floor, Payload: b.Records}
	if b.Lane == ccp.LaneBulk {
		got := q.bulkIn.Receive(now, in)
		if got.Verdict == flow.Taken {
			if a := p.askerFrom(q.id); a != nil {
				a.progress(now, b.Log)
			}
			p.verify.progress(now, b.Log)
		}
		for _, r := range got.Ready {
			p.queue(now, lot{kind: lotBulk, peer: q.id, bound: q.bound, log: r.Log, seq: r.Sequence}, r.Payload)
		}
		return
	}
	if b.Log != q.bound {
		p.dropped[ccp.DropMalformed]++ // a delta lane's log is its sender's incarnation
		return
	}
	got := q.receiver.Receive(now, in)
	if got.Missed > 0 {
		p.missed(now, q, got.Missed)
	}
	p.deliver(now, q, got.Ready)
}

// missed notes that changes will never come: only a repair makes it good.
func (p *Plane) missed(now int64, q *peer, batches uint64) {
	p.stats.Lost += batches
	p.skip(q)
	if a := p.askerFrom(q.id); a != nil {
		p.log.Warn("changes of another member's table were lost, its table is copied anew where it differs", "member", q.id, "batches", batches)
		p.do(now, a, a.tick(now))
	}
}

// deliver hands batches of changes, in order, to the injector, if they are to be applied at all.
func (p *Plane) deliver(now int64, q *peer, ready []flow.Batch) {
	for _, b := range ready {
		if b.Sequence == 0 {
			continue
		}
		p.stats.ReceivedBatches++
		kind := lotNews
		switch {
		case p.share.on:
			kind = lotShare
		case p.askerFrom(q.id) != nil:
			kind = lotDelta
		case q.id != p.former || now > p.formerUntil:
			p.stats.Unwanted++
			p.skip(q)
			continue
		}
		p.queue(now, lot{kind: kind, peer: q.id, bound: q.bound, log: b.Log, seq: b.Sequence, owners: p.share.owners}, b.Payload)
	}
}

// queue has the injector apply the records of a batch.
func (p *Plane) queue(now int64, l lot, payload []byte) {
	if err := p.inject.put(now, l, payload); err != nil {
		p.refused["packed records"]++
	}
}
