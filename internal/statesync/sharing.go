// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// What follows is asked in both modes: in ha one member owns all buckets.

// owns says whether this member's table counts for a bucket.
func (p *Plane) owns(bucket int) bool {
	if p.share.on {
		return p.share.owners != nil && p.share.owners.Takes[bucket] == p.cfg.Self
	}
	return p.role == RoleOwner
}

// comes says whether a bucket is about to move to this member.
func (p *Plane) comes(bucket int) bool {
	return p.share.on && p.share.owners != nil && p.share.owners.Coming[bucket]
}

// comesWithin is for how long in ns what begins in such a bucket waits at most: a change that is stuck ends, or it is time to tell.
const comesWithin = 300e6

// ownBuckets is how many there are of those, for judging whether somebody wants all.
func (p *Plane) ownBuckets() int {
	if p.share.on {
		return max(1, p.share.taken[p.cfg.Self])
	}
	return ccp.SyncBuckets
}

// ownsSets says whether this member's nftables sets are those that count: in load sharing those of the first member that owns anything.
func (p *Plane) ownsSets() bool {
	if !p.share.on {
		return p.role == RoleOwner
	}
	for id, n := range p.share.taken {
		if n > 0 {
			return uint8(id) == p.cfg.Self
		}
	}
	return false
}

// askerFrom returns the asker whose source is the member: nil if what it has does not count here.
func (p *Plane) askerFrom(id uint8) *asker {
	for _, a := range p.askers {
		if a.source == id {
			return a
		}
	}
	return nil
}

// askerOf returns the asker that a bucket belongs to; nil if it is this member's own, or nobody's.
func (p *Plane) askerOf(bucket int) *asker {
	if !p.share.on {
		return p.askers[0]
	}
	if o := p.share.owners; o != nil && o.Takes[bucket] < ccp.MaxMembers {
		return p.share.askers[o.Takes[bucket]]
	}
	return nil
}

// owner is a member whose table counts: in load sharing this one if it is, otherwise the first that is reached.
func (p *Plane) owner() uint8 {
	if p.share.on && p.role == RoleOwner {
		return p.cfg.Self
	}
	for _, a := range p.askers {
		if a.source != ccp.Nobody {
			return a.source
		}
	}
	return ccp.Nobody
}

// copies says whether this member has copies of what others own.
func (p *Plane) copies() bool { return p.role == RoleCopy || p.share.on }

// owned says whether an owner other than this member is reached.
func (p *Plane) owned() bool {
	for _, a := range p.askers {
		if a.source != ccp.Nobody {
			return true
		}
	}
	return false
}

// asking says whether a repair of this member is under way.
func (p *Plane) asking() bool {
	for _, a := range p.askers {
		if a.stage != stageIdle {
			return true
		}
	}
	return false
}

// removing says whether one has come so far that the own table is to be dumped for what is stale.
func (p *Plane) removing() bool {
	for _, a := range p.askers {
		if a.stage == stageRemoving {
			return true
		}
	}
	return false
}

// stale returns the asker by which an own entry is to go, nil if it may stay.
func (p *Plane) stale(id record.Identity) *asker {
	for _, a := range p.askers {
		if a.stale(id.Key, id.Bucket()) {
			return a
		}
	}
	return nil
}

// touch notes for the repairs under way that a change was about a connection.
func (p *Plane) touch(key uint64) {
	for _, a := range p.askers {
		if a.tracking() {
			a.touch(key)
		}
	}
}

// progress is what to show of all repairs: one that a full sync waits for if there is one, then one that runs, then the last.
func (p *Plane) progress(now int64) Progress {
	best := p.askers[0]
	for _, a := range p.askers {
		rank := func(a *asker) [3]bool { return [3]bool{!a.current(), a.stage != stageIdle, a.began > best.began} }
		if is, was := rank(a), rank(best); is != was && better(is, was) {
			best = a
		}
	}
	return best.progressNow(now)
}

// better compares what counts most first.
func better(is, was [3]bool) bool {
	for i := range is {
		if is[i] != was[i] {
			return is[i]
		}
	}
	return false
}

// followOwners turns to those members that own something now, by this member's slot table and by their own word.
func (p *Plane) followOwners(now int64) {
	for id, a := range p.share.askers {
		if a == nil {
			continue
		}
		q := &p.peers[id]
		source := ccp.Nobody
		if p.share.taken[id] > 0 && q.isOwner() && !p.cfg.Disabled {
			source = q.id
		}
		if source == a.source {
			continue
		}
		q.equal, q.compared = false, false
		p.do(now, a, a.setSource(source))
		if source != ccp.Nobody {
			p.log.Info("copying the buckets of another member", "member", source, "buckets", p.share.taken[id], "term", q.status.Term, "skipped", q.skipped)
			if q.skipped {
				a.lost(true)
			} else if q.lossy {
				a.missed()
			}
			q.skipped, q.lossy = false, false
			if a.blind() { // its next mark may be seconds away
				p.do(now, a, a.begin(now))
			}
		}
		p.do(now, a, a.tick(now))
	}
}

// shared says whether a change that another member told, in lot l, is to be applied. What it owns, by the newer of both slot tables, is. Of
// what another one owns it may have begun or changed something, with packets that came to it while slots moved; what ends there may go
// on here. This member's own is left as its own packets have made it.
func (p *Plane) shared(l *lot, op record.Op, table record.Table, id record.Identity) bool {
	q := &p.peers[l.peer]
	if q.drained.newer(l.seq, id.Key) {
		return false
	}
	if l.drained {
		q.drained.keys.Add(id.Key)
	}
	b := id.Bucket()
	if o := l.owners; o != nil && o.Takes[b] != l.peer && !o.version().before(q.table) {
		if op == record.OpDelete || q.belated(boottime()) {
			return false
		}
		// The one that a bucket moves to has met its newer packets.
		if table == record.TableConnections && p.owns(b) && !o.Moving[b] && p.own.has(id.Key) {
			return false
		}
	}
	if table == record.TableConnections && op != record.OpDelete && p.owns(b) {
		var one ccp.SyncBitmap
		one.Add(b)
		p.sweepLater(&one)
	}
	return true
}

// speaks notes by which slot table a peer's lane speaks, and since when that is an older one than this member's.
func (p *Plane) speaks(now int64, q *peer, by version) {
	switch {
	case !by.before(p.share.version):
		q.behind = 0
	case by != q.table || q.behind == 0:
		q.behind = now
	}
	q.table = by
}

// belated says that a peer's lane speaks by a table that the others have left some time ago: the peer hung, and tells now what it met before.
// What went on meanwhile elsewhere it does not know. A lane that has named no table yet is a new daemon's.
func (q *peer) belated(now int64) bool {
	return q.behind != 0 && q.table != (version{}) && now > q.behind+linger
}

// sweepLater has entries that came with the time-out that their owners, or copies, give them be given the right one, soon and not too often;
// own, if given, are the buckets of this member's own that may have such entries.
func (p *Plane) sweepLater(own *ccp.SyncBitmap) {
	if own != nil {
		join(&p.jobs.copiedLater, own)
	}
	if !p.jobs.again {
		p.jobs.again = true
		p.formerUntil = boottime() + max(linger, 100*p.jobs.swept)
	}
}

// shareMark is the digest mark of load sharing.
func (p *Plane) shareMark() record.Mark {
	s := &p.share
	return record.Mark{Sum: p.tally.SumOf((*[record.Buckets / 8]byte)(&s.scopes[p.cfg.Self])), Rules: s.slots.Rules,
		Term: s.version.term, Number: s.version.number, Commit: s.version.commit, Blank: !p.tallyGood || p.share.behind > 0}
}

// awayFor is for how long in ns a member that owns buckets by the slot table, and by its own word none, is waited for: the table changes
// in a moment if it is dead, and if it does not synchronise there is nothing to wait for.
const awayFor = 2e9

// lacks says whether this member has not got what another one owns, and since when it has nothing to wait for in this, 0 if it has.
func (p *Plane) lacks(id int) (lacks bool, since int64) {
	if uint8(id) == p.cfg.Self || within(&p.share.takes[id], &p.have) {
		return false, 0
	}
	q := &p.peers[id]
	if q.ownerSince != 0 {
		return true, 0
	}
	return true, max(p.share.at, q.idleSince)
}

// shareCurrent says whether this member has everything that others own.
func (p *Plane) shareCurrent() bool {
	if p.share.owners == nil {
		return p.knowPeers && !p.ownerTold()
	}
	now := boottime()
	for id := range p.peers {
		if lacks, since := p.lacks(id); lacks && (since == 0 || now < since+awayFor) {
			return false
		}
	}
	return true
}

// shareShowAt is when that changes by time alone.
func (p *Plane) shareShowAt(now int64) int64 {
	at := int64(never)
	if !p.share.on || p.share.owners == nil {
		return at
	}
	for id := range p.peers {
		if lacks, since := p.lacks(id); lacks && since != 0 && now < since+awayFor {
			at = min(at, since+awayFor)
		}
	}
	return at
}

// shareState adds what there is to say of load sharing.
func (p *Plane) shareState(s *State) {
	if p.share.on {
		s.Sharing, s.Buckets, s.Moving = true, p.share.taken[p.cfg.Self], p.share.moving
		s.TableTerm, s.TableNumber = p.share.version.term, p.share.version.number
		s.Noted, s.Unnoted = len(p.answers.noted), p.answers.short
	}
}
