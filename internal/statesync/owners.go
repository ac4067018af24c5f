// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// Slots say which bucket a connection belongs to in load sharing: the slot of its original tuple.
type Slots struct {
	// Rules is a fingerprint of what Of goes by (key kind, hash key, VIPs, ranges, published servers). Members compare and repair their
	// tables only while it is the same on both sides. Never 0.
	Rules uint64
	// Of returns the slot, below record.Buckets. It is called from several goroutines at once, millions of times a second at worst.
	Of func(original record.Tuple) uint16
	// Notes are the gate's, always the same; nil: it keeps none.
	Notes Notes
}

// Owners say whose table counts for which bucket, as the slot table has it.
type Owners struct {
	// Term, Number and Commit order slot tables: Commit is false in the phase "prepare".
	Term, Number uint32
	Commit       bool
	// Takes is the member that takes a bucket, ccp.Nobody for none. Moving are the buckets that are about to move to another member: what
	// the two have of them is not compared for the moment.
	Takes  [record.Buckets]uint8
	Moving [record.Buckets]bool
	// Coming are those of them that move to this member. What its kernel begins there is told once they have moved: deciders that knew of it
	// would send its packets to the member that still takes the bucket, and that one may have heard of it less than they have.
	Coming [record.Buckets]bool
	// Sharing says that this member's share is open, or lingers: what its kernel begins and changes is told to the others.
	Sharing bool
}

// version says by which slot table somebody speaks; the zero value is before the first.
type version struct {
	term, number uint32
	commit       bool
}

func (o *Owners) version() version { return version{o.Term, o.Number, o.Commit} }

func versionOf(m record.Mark) version { return version{m.Term, m.Number, m.Commit} }

// before says whether v is older than w.
func (v version) before(w version) bool {
	switch {
	case v.term != w.term:
		return v.term < w.term
	case v.number != w.number:
		return v.number < w.number
	}
	return !v.commit && w.commit
}

// share is what the plane knows of load sharing.
type share struct {
	on      bool
	slots   Slots
	owners  *Owners // as told last; never changed once it is here
	early   *Owners // told before it was said how connections sort
	version version // of owners
	at      int64   // when they were told
	// By member: the buckets that it owns, those of them that are not about to move, and how many they are.
	takes, scopes [ccp.MaxMembers]ccp.SyncBitmap
	taken         [ccp.MaxMembers]int
	moving        int
	behind        int                    // how often it gained buckets of which what was told is not applied yet
	askers        [ccp.MaxMembers]*asker // nil for this member
}

// open says that this member's share is open.
func (s *share) open() bool { return s.owners != nil && s.owners.Sharing }

// table is the slot table as frames tell it.
func (s *share) table() ccp.SyncTable {
	return ccp.SyncTable{Rules: s.slots.Rules, Term: s.version.term, Number: s.version.number, Commit: s.version.commit}
}

// SetSlots says how connections sort into buckets from now on, and makes the plane one for load sharing, where SetOwners takes the place of
// SetRole. To be called before Serve at best, and again whenever the rules change: then every tally is made anew. Owners that were told before the
// first call count from then on.
func (p *Plane) SetSlots(s Slots) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.share.on && s.Rules == p.share.slots.Rules {
		return
	}
	now := boottime()
	if p.share.on {
		p.resort()
	} else {
		p.beginSharing(now)
	}
	p.share.slots = s
	p.answers.begin(s.Notes, p.log)
	p.answers.resort(s.Of)
	p.rehash(now)
	if o := p.share.early; o != nil {
		p.share.early = nil
		p.takeOwners(now, o)
	}
	if p.share.owners != nil { // others are this member's own now
		p.jobs.sweep, p.jobs.copied = true, allBuckets
		p.jobs.signal()
	}
	p.tellAll(now)
	p.review(now)
}

// resort says of what buckets hold by other rules whether it is as its owners have it: only who had everything knows.
func (p *Plane) resort() {
	all := p.have
	join(&all, &p.share.takes[p.cfg.Self])
	if within(&allBuckets, &all) {
		p.have = allBuckets
		return
	}
	p.have = ccp.SyncBitmap{}
	for _, a := range p.askers {
		a.whole = true
	}
}

// beginSharing takes the plane out of mode ha.
func (p *Plane) beginSharing(now int64) {
	for _, a := range p.askers {
		p.do(now, a, a.setSource(ccp.Nobody))
	}
	p.askers = p.askers[:0]
	for id := range p.share.askers {
		if uint8(id) != p.cfg.Self {
			a := newAsker(ccp.SyncBitmap{}, &p.have, &p.session)
			p.share.askers[id], p.askers = a, append(p.askers, a)
		}
	}
	p.share.on = true
	p.role, p.term, p.roleAt = RoleCopy, 0, now
	p.own = ownKeys{lasting: true}
}

// SetOwners tells who owns what; each member is a copy of what others own. The channel is closed once everything that had come in before
// has been applied to the kernel's table: whoever gains buckets opens its gate for them after that (wait a few ms at most).
func (p *Plane) SetOwners(o Owners) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	done := make(chan struct{})
	if p.share.on {
		now := boottime()
		p.takeOwners(now, &o)
		p.review(now)
	} else {
		p.share.early = &o
	}
	if p.group == nil || !p.share.on {
		close(done)
		return done
	}
	p.whenQuiet(func(int64) { close(done) })
	return done
}

// takeOwners goes by other owners from now on.
func (p *Plane) takeOwners(now int64, o *Owners) {
	s := &p.share
	m := movesTo(s.owners, o, p.cfg.Self)
	if m.orphaned[p.cfg.Self] {
		m.orphaned[p.cfg.Self] = false // its own lane it need not read
	}
	for id, gone := range m.orphaned {
		if gone || m.gainedFrom[id] {
			p.drainFrom(now, &p.peers[id], lotShare) // by the owners of before, under whom it came
		}
	}
	wasOpen := s.open()
	before := s.version
	s.owners, s.version = o, o.version()
	p.opened(now, wasOpen)
	if m.none && before == s.version {
		return
	}
	s.at = now
	for i := range p.peers {
		p.speaks(now, &p.peers[i], p.peers[i].table)
	}
	if !m.none {
		p.rescope(now, o, &m)
	}
	role := RoleCopy
	if s.taken[p.cfg.Self] > 0 {
		role = RoleOwner
	}
	if role != p.role {
		p.roleAt = now
		p.log.Info("this member's part in the connection table", "role", role.String(), "buckets", s.taken[p.cfg.Self], "term", o.Term, "number", o.Number)
		if role == RoleOwner {
			p.jobs.auditOld()
		}
	}
	p.role, p.term = role, o.Term
	p.hearMore()
	p.releaseMoving(now, &m)
	if count(&m.gained) > 0 {
		p.catchUp()
	}
	if p.group != nil && p.heardAnybody() {
		p.mark(now) // from here on the lane speaks by this table
		p.sender.Flush()
	}
	for _, a := range p.askers {
		a.hurry(now)
	}
	p.tellAll(now)
	if role != RoleOwner {
		p.stopServingRepairs(now)
	}
	p.sets.signal()
}

// catchUp has this member's marks say nothing until what former owners told of the buckets that it gained is applied, and counted: others
// may have done so already.
func (p *Plane) catchUp() {
	p.share.behind++
	p.whenQuiet(func(now int64) {
		p.share.behind--
		if p.share.behind == 0 && p.marks.blank && p.group != nil && p.heardAnybody() {
			p.mark(now)
			p.sender.Flush()
		}
	})
}

// opened takes note of whether the share is open.
func (p *Plane) opened(now int64, was bool) {
	switch is := p.share.open(); {
	case is && !was:
		p.lingerUntil = 0
		p.hear()
	case was && !is:
		p.lingerUntil = now + stepBackLinger // settle ends it
	}
}

// hearMore listens to what the role needs, unless what it needed lately goes on for a moment.
func (p *Plane) hearMore() {
	if p.lingerUntil == 0 {
		p.hear()
	}
}

// rescope takes other owners of buckets.
func (p *Plane) rescope(now int64, o *Owners, m *moves) {
	s := &p.share
	old := s.scopes
	s.takes, s.scopes, s.taken, s.moving = m.takes, m.scopes, m.taken, m.moving
	flushed := now-p.flushedAt <= flushedFor
	leave(&p.have, &m.lost) // until a mark was equal
	if flushed {            // before they were given away
		join(&p.have, &m.handed)
	}
	for id, a := range s.askers {
		if a == nil {
			continue
		}
		// What it gains and nobody has told this member of, it must tell whole.
		lacking := s.scopes[id]
		leave(&lacking, &old[id])
		leave(&lacking, &p.have)
		mine := lacking
		meet(&mine, &m.lost)
		leave(&lacking, &m.lost)
		a.setScope(s.scopes[id], count(&lacking) > 0, count(&mine) > 0)
	}
	if count(&m.gained) > 0 || count(&m.lost) > 0 {
		p.jobs.sweep = true
		join(&p.jobs.copied, &m.gained)
		join(&p.jobs.away, &m.lost)
		p.sweepLater(&m.gained) // what was being applied meanwhile is by the owners of before
		p.jobs.ownTally = p.jobs.ownTally || m.unplanned
		p.jobs.signal()
		p.log.Info("buckets of the connection table have moved", "gained", count(&m.gained), "lost", count(&m.lost), "flushed", flushed, "term", o.Term,
			"number", o.Number, "commit", o.Commit)
	}
}

// releaseMoving sends what is held back of connections that others are to go on with, and of those that began before their bucket was this
// member's.
func (p *Plane) releaseMoving(now int64, m *moves) {
	if p.held.Len() == 0 {
		return
	}
	for _, e := range p.held.Take(func(key uint64) bool {
		b := record.Identity{Key: key}.Bucket()
		return m.lost.Has(b) || m.came.Has(b) || p.share.owners.Moving[b] && p.owns(b)
	}) {
		p.release(now, e)
	}
}
