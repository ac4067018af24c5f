// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"context"
	"errors"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// SetRole tells whether this member is the owner (its gate serves), and under which term. The channel is closed once everything that
// had come in before has been applied to the kernel's table: a new owner opens its gate after that (wait a few ms at most).
func (p *Plane) SetRole(owner bool, term uint32) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	done := make(chan struct{})
	if p.share.on { // SetOwners tells
		close(done)
		return done
	}
	now := boottime()
	role := RoleCopy
	if owner {
		role = RoleOwner
	}
	changed := role != p.role
	if changed || term != p.term {
		p.role, p.term, p.roleAt = role, term, now
		p.tellAll(now)
	}
	switch {
	case changed && owner:
		p.takeOver(now)
	case changed:
		p.stepBack(now)
	}
	p.review(now)
	if p.group == nil {
		close(done)
		return done
	}
	p.whenQuiet(func(int64) { close(done) })
	return done
}

// takeOver makes a copy the table that counts. What is held behind a gap is applied: whoever could fill it may be gone. What comes of it after
// all, while the former owner's news count, is applied where nothing later was about the same.
func (p *Plane) takeOver(now int64) {
	p.lingerUntil = 0
	p.hear()
	a := p.askers[0]
	p.former, p.formerUntil = a.source, now+linger
	p.own = ownKeys{until: now + linger}
	if a.source != ccp.Nobody {
		p.drainFrom(now, &p.peers[a.source], lotDelta)
	}
	p.do(now, a, a.setSource(ccp.Nobody))
	a.counts()
	p.jobs.ownTally, p.jobs.sweep, p.jobs.lengthen = true, true, false
	p.marks.at = 0
	p.jobs.signal()
	p.sets.listAll()
	p.log.Info("this member's table counts now", "term", p.term, "entries", p.tally.Sum().Entries)
}

// drainFrom applies what is held of a member's changes behind a gap.
func (p *Plane) drainFrom(now int64, q *peer, kind lotKind) {
	if q.through >= q.drained.end || !p.share.on {
		q.drained = drained{}
	}
	if q.bound == 0 {
		return
	}
	ready, missing := q.receiver.Drain(now)
	if missing > 0 {
		p.log.Warn("some of the former owner's changes have not come yet", "member", q.id, "batches", missing)
	}
	for _, b := range ready {
		p.stats.ReceivedBatches++
		q.drained.end = b.Sequence
		p.queue(now, lot{kind: kind, drained: true, peer: q.id, bound: q.bound, log: b.Log, seq: b.Sequence, owners: p.share.owners}, b.Payload)
	}
}

// settle ends what lasts for a while after a change of role.
func (p *Plane) settle(now int64) {
	p.own.turn(now)
	if p.lingerUntil != 0 && now >= p.lingerUntil {
		p.lingerUntil = 0
		p.hear()
	}
	if p.jobs.again && now >= p.formerUntil {
		// What the former owner still told has the copies' time-out.
		join(&p.jobs.copied, &p.jobs.copiedLater)
		p.jobs.copiedLater = ccp.SyncBitmap{}
		p.jobs.again, p.jobs.sweep = false, p.role == RoleOwner || p.share.on
		p.jobs.signal()
	}
}

// settleWake is when settle has something to do.
func (p *Plane) settleWake() int64 {
	at := p.own.wake()
	if p.lingerUntil != 0 {
		at = min(at, p.lingerUntil)
	}
	if p.jobs.again {
		at = min(at, p.formerUntil)
	}
	return at
}

// stepBack makes the table a copy.
func (p *Plane) stepBack(now int64) {
	p.dropHeld()
	if now-p.flushedAt > flushedFor {
		p.askers[0].unsure()
	}
	p.former, p.formerUntil, p.lingerUntil = ccp.Nobody, 0, now+stepBackLinger
	p.jobs.lengthen, p.jobs.sweep, p.jobs.away = true, false, allBuckets
	p.jobs.signal()
	p.sets.signal()
	p.stopServingRepairs(now)
	p.log.Info("this member's table is a copy now", "term", p.term)
}

// dropHeld has nothing be held back any more: to a copy, what its kernel has counts.
func (p *Plane) dropHeld() {
	for _, e := range p.held.due {
		p.tally.Add(record.Identity{Key: e.key, Print: e.print})
	}
	p.held.Clear()
}

// Flush returns when all events up to now have been sent and every peer that is not evicted has acknowledged them, or ctx ends. In load
// sharing it fails at once if a peer is evicted: what moves to that one would not be known there.
func (p *Plane) Flush(ctx context.Context) error {
	p.mu.Lock()
	serving := p.group != nil && p.ctx.Err() == nil
	p.mu.Unlock()
	if !serving {
		return nil
	}
	if err := p.drainEvents(ctx); err != nil {
		return err
	}
	ticker := time.NewTicker(500 * time.Microsecond)
	defer ticker.Stop()
	for {
		done, err := p.settled()
		if err != nil {
			return err
		}
		if done {
			p.mu.Lock()
			p.flushedAt = boottime()
			p.mu.Unlock()
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// errEvicted says that a peer needs a repair before it has what this member has.
var errEvicted = errors.New("statesync: a peer was too slow, and lacks records: it has to be repaired first")

// settled says whether all peers that are waited for have everything.
func (p *Plane) settled() (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := boottime()
	p.sender.Flush()
	p.transmit(now)
	for i := range p.peers {
		switch q := &p.peers[i]; {
		case !q.reached(now):
		case q.evicted && p.share.on:
			return false, errEvicted
		case !q.evicted && !p.sender.Settled(q.id):
			return false, nil
		}
	}
	return true, nil
}
