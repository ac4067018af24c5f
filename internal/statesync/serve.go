// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/flow"
)

// serving is what one peer asked for, and how far it has got.
type serving struct {
	request  ccp.SyncRequest
	bulk     *flow.BulkSender
	answer   ccp.SyncAnswer
	began    int64
	saidAt   int64 // when it was accepted, or that was said again
	ended    int64 // when all was acknowledged, 0 before
	records  uint64
	entries  uint64 // of them connections
	news     uint64 // connections that had begun, by the counter, when the dump began
	dumping  bool   // the dumper has begun with it
	fed      bool   // everything was offered
	fresh    bool   // waits for the own tally to be made anew
	heeded   bool   // the first batch was acknowledged
	progress Progress
}

// active says whether something is still to be sent.
func (s *serving) active() bool { return s != nil && s.ended == 0 }

// acceptedAgain is how often in ns a member that waits for its turn is told that it does: it gives up who says nothing for three seconds.
const acceptedAgain = 1e9

// waits says whether the one who asked gets nothing because others have their turn.
func (s *serving) waits() bool { return s.active() && !s.dumping && !s.fed }

// sayAccepted tells those who wait for their turn that they do.
func (p *Plane) sayAccepted(now int64, q *peer) {
	if s := q.serving; s.waits() && now-s.saidAt >= acceptedAgain {
		answer := s.answer
		q.answer, s.saidAt = &answer, now
	}
}

// servedTimeout is how long in ns a peer may take nothing of what it asked for.
const servedTimeout = 10e9

// vainAfter is how long in ns nothing of what is sent may be acknowledged before it was sent in vain: a peer gives up after giveUpAfter. vainFor
// is how long after the last time that is said: as long as a peer may wait before it asks again, and what it needs to ask and give up.
const (
	vainAfter = giveUpAfter / 2
	vainFor   = mostBackoff + 15e9
)

// vain reports whether batches were sent and the first, a long frame unless all fits into a short one, was not acknowledged for some time. The
// last one may be short, and come through.
func (s *serving) vain(now int64) bool {
	return !s.heeded && s.bulk.Counters().Batches > 0 && s.bulk.Silent(now) >= vainAfter
}

// heeds notes that a peer has acknowledged the first of what it asked for. Long frames come through if most were long: words and records
// may be packed into short ones.
func (q *peer) heeds() {
	q.serving.heeded = true
	if n := q.serving.bulk.Counters(); n.BatchedBytes > n.Batches*ccp.MaxSyncRecords/2 {
		q.vain = 0
	}
}

// inVain reports whether a peer that asked twice or more, by short frames, has acknowledged none of the long ones that it was sent.
func (q *peer) inVain(now int64) bool { return q.vain > 1 && now-q.vainAt < vainFor }

// takeRequest takes what a peer asks for.
func (p *Plane) takeRequest(now int64, q *peer, r ccp.SyncRequest) {
	if s := q.serving; s != nil && r.Log <= s.request.Log {
		switch {
		case r.Log < s.request.Log:
		case r.Want == ccp.SyncWantNothing:
			p.stopServing(now, q)
		case s.answer.Result != 0:
			answer := s.answer
			q.answer = &answer // it did not hear it
		}
		return
	}
	if r.Want == ccp.SyncWantNothing {
		return
	}
	p.stopServing(now, q)
	result := p.mayServe(q, r.Want, r.Table)
	if result != ccp.SyncAccepted {
		q.answer = &ccp.SyncAnswer{Log: r.Log, Result: result}
		return
	}
	lane := flow.BulkConfig{Session: r.Log, Payload: ccp.MaxSyncRecords}
	if q.status.Unpacks {
		lane.Packer = &ccp.SyncPacker{}
	}
	bulk, err := flow.NewBulkSender(now, lane)
	if err != nil {
		p.log.Error("serve another member", "member", q.id, "error", err)
		return
	}
	bulk.Credit(now, flow.Credit{Log: r.Log, Limit: r.Limit})
	s := &serving{request: r, bulk: bulk, began: now, saidAt: now, answer: ccp.SyncAnswer{Log: r.Log, Result: ccp.SyncAccepted}}
	q.serving = s
	switch r.Want {
	case ccp.SyncWantWords:
		p.serveWords(now, q)
	case ccp.SyncWantFresh:
		s.fresh = true
		p.jobs.ownTally = true
		p.jobs.signal()
	case ccp.SyncWantSets:
		token(p.sets.asked)
	case ccp.SyncWantRepair, ccp.SyncWantRead:
		buckets, entries := p.wanted(&r.Buckets)
		s.answer.Records = uint32(min(entries, 1<<32-1))
		s.progress = Progress{Running: true, Full: buckets >= p.ownBuckets(), Peer: q.id, Stage: "sending", Buckets: buckets, Total: entries}
		p.log.Info("sending records that another member asked for", "member", q.id, "buckets", buckets, "entries", entries)
		// From before the dump to the end of the session a deletion must not vanish with a creation that the dump may have told.
		p.sender.KeepDeletes(true)
		p.jobs.signal()
	}
	answer := s.answer
	q.answer = &answer
}

// mayServe says whether what is wanted can be had here.
func (p *Plane) mayServe(q *peer, want ccp.SyncWant, by ccp.SyncTable) ccp.SyncResult {
	switch want {
	case ccp.SyncWantWords, ccp.SyncWantRepair:
		switch {
		case p.role != RoleOwner:
			return ccp.SyncUnfit
		case !p.tallyGood || p.share.behind > 0 || q.evicted || by != p.share.table():
			return ccp.SyncBusy // it may ask for what another member owns
		}
	case ccp.SyncWantFresh, ccp.SyncWantRead, ccp.SyncWantSets:
	default:
		return ccp.SyncUnfit
	}
	if q.key != p.cfg.UseKey || by.Rules != p.share.slots.Rules {
		return ccp.SyncBusy // it sorts entries into other buckets until it has this key, and these rules, too
	}
	return ccp.SyncAccepted
}

// wanted counts buckets, and about how many entries they have.
func (p *Plane) wanted(m *ccp.SyncBitmap) (buckets int, entries uint64) {
	words := p.tally.Words()
	for i := range words {
		if m.Has(i) {
			buckets++
			entries += uint64(words[i].Count)
		}
	}
	return buckets, entries
}

// serveWords sends the words of the tally, as they are at a mark that is made for it.
func (p *Plane) serveWords(now int64, q *peer) {
	s := q.serving
	if s.request.Want == ccp.SyncWantWords {
		p.mark(now)
	}
	end := ccp.SyncEnd{Position: p.sender.Position(now), Complete: true}
	words := p.tally.Words()
	var list [ccp.SyncBuckets]ccp.SyncWord
	for i, w := range words {
		list[i] = ccp.SyncWord{Xor: w.Xor, Count: w.Count}
	}
	buf := make([]byte, 0, ccp.MaxSyncRecord)
	for i := 0; i < len(list); i += ccp.MaxSyncWords {
		buf = ccp.AppendSyncWords(buf[:0], i, list[i:min(i+ccp.MaxSyncWords, len(list))])
		if ok, err := s.bulk.Offer(now, buf); !ok || err != nil {
			p.stopServing(now, q) // no honest asker gives so little credit
			return
		}
	}
	p.finish(now, q, end)
}

// finish offers the end of a session.
func (p *Plane) finish(now int64, q *peer, end ccp.SyncEnd) bool {
	s := q.serving
	end.Records = uint32(min(s.records, 1<<32-1))
	if ok, err := s.bulk.Offer(now, end.Append(make([]byte, 0, 64))); !ok || err != nil {
		return false
	}
	s.bulk.Close()
	s.fed = true
	return true
}

// servedSome looks whether a session is over, after an acknowledgement or a credit.
func (p *Plane) servedSome(now int64, q *peer) {
	s := q.serving
	if s.active() && s.fed && s.bulk.Done() {
		p.stopServing(now, q)
	}
	p.roomFor(s)
}

// roomFor tells whoever offers s its records that there may be room for more.
func (p *Plane) roomFor(s *serving) {
	if s.request.Want == ccp.SyncWantSets {
		token(p.sets.roomFor)
	} else {
		token(p.jobs.roomFor)
	}
}

// stopServingRepairs ends all that others copy from this member: its table does not count any more.
func (p *Plane) stopServingRepairs(now int64) {
	for i := range p.peers {
		if s := p.peers[i].serving; s.active() && s.request.Want <= ccp.SyncWantRepair {
			p.stopServing(now, &p.peers[i])
		}
	}
}

// stopServing ends what is being sent to q, whether it is complete or not.
func (p *Plane) stopServing(now int64, q *peer) {
	s := q.serving
	if !s.active() {
		return
	}
	if s.vain(now) {
		q.vain, q.vainAt = q.vain+1, now
	}
	s.ended = now
	s.progress.Running, s.progress.Took = false, nanoseconds(now-s.began)
	s.progress.Stage = "done"
	if !s.fed || !s.bulk.Done() {
		s.progress.Stage = "given up"
	}
	s.bulk = nil
	p.roomFor(s)
	for i := range p.peers {
		if o := p.peers[i].serving; o.active() && o.request.Want == ccp.SyncWantRepair {
			return
		}
	}
	p.sender.KeepDeletes(false)
}
