// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
	"github.com/holdfast-project/holdfast/dataplane/flow"
)

// Times in ns.
const (
	// markBusy and markRest are how often an owner marks its delta lane: while something changed, and otherwise.
	markBusy = 1e9
	markRest = 5e9
	// rekeyed is for how long after a change of keys, on either side, nothing is compared: what was said under the old one may be heard
	// under the new one.
	rekeyed = 5e9
)

// marks is what an owner knows of its marks.
type marks struct {
	at    int64 // of the last one
	added uint64
	blank bool // it said nothing
	attrs []byte
	buf   []byte
}

// mark puts a digest mark into the delta lane.
func (p *Plane) mark(now int64) {
	if !p.share.on && (p.role != RoleOwner || !p.tallyGood) {
		return
	}
	m := record.Mark{Sum: p.tally.Sum()}
	if p.share.on {
		m = p.shareMark()
	}
	r := record.AppendMark(p.marks.attrs[:0], m)
	p.marks.buf = r.Append(p.marks.buf[:0])
	if err := p.sender.Add(now, flow.Item{Class: flow.Mark, Data: p.marks.buf}); err != nil {
		p.log.Error("mark", "error", err)
		return
	}
	p.marks.at, p.marks.added, p.marks.blank = now, p.stats.Records, m.Blank
	if m.Blank && p.share.behind == 0 {
		p.marks.at = 0 // as soon as it is known
	}
}

// markWake is when the next mark is due.
func (p *Plane) markWake() int64 {
	if p.role != RoleOwner || !p.tallyGood || !p.heardAnybody() {
		return never
	}
	if p.stats.Records != p.marks.added {
		return p.marks.at + markBusy
	}
	return p.marks.at + markRest
}

func (p *Plane) heardAnybody() bool {
	for i := range p.peers {
		if p.peers[i].bound != 0 {
			return true
		}
	}
	return false
}

// sameRules says whether a peer's entries have the identities, and are in the buckets, that this member gives them: what was said under a
// key of before may be heard under the one of now for a while.
func (p *Plane) sameRules(now int64, q *peer, rules uint64) bool {
	return q.key == p.cfg.UseKey && now >= max(p.keyAt, q.keyAt)+rekeyed && rules == p.share.slots.Rules
}

// words are the source's, while they come, and one's own at the marks that came meanwhile.
type words struct {
	session uint64
	theirs  [ccp.SyncBuckets]ccp.SyncWord
	ended   bool
	end     ccp.SyncEnd
	own     map[uint64]*record.Words // by the sequence of the batch that the mark came in
}

// snapshots is how many of one's own are kept: the mark that words belong to is made when they are asked for.
const snapshots = 8

// compare takes a mark of the source's: everything that its sender added before is applied.
func (p *Plane) compare(now int64, l *lot, m record.Mark) {
	q := &p.peers[l.peer]
	if q.bound != l.bound {
		return
	}
	p.speaks(now, q, versionOf(m))
	a := p.askerFrom(l.peer)
	if a == nil || m.Blank {
		return
	}
	q.mark, q.marked = m.Sum, true
	if !p.tallyGood || !p.sameRules(now, q, m.Rules) {
		return
	}
	if a.stage == stageWords && a.words.session == a.session {
		if len(a.words.own) < snapshots {
			w := p.tally.Words()
			a.words.own[l.seq] = &w
		}
	}
	if q.table != p.share.version {
		p.matchWords(now, a)
		return // it speaks of other buckets
	}
	own := p.tally.SumOf((*[record.Buckets / 8]byte)(&a.scope))
	equal := own == m.Sum
	p.stats.Marks++
	if !equal {
		p.stats.Differences++
		p.log.Debug("a mark differs", "member", l.peer, "own", own.Entries, "its", m.Entries)
	}
	q.equal, q.compared = equal, true
	if a.stage == stageWords && a.words.session == a.session {
		p.matchWords(now, a)
		return
	}
	p.do(now, a, a.mark(now, equal))
}

// wordsFor is where words of this lot go, nil if nobody asked for them.
func (p *Plane) wordsFor(l *lot) *words {
	if l.log == p.verify.session && l.peer == p.verify.peer {
		return &p.verify.words
	}
	if a := p.askerFrom(l.peer); a != nil && l.log == a.words.session && a.stage == stageWords {
		return &a.words
	}
	return nil
}

// ended takes the end of what a member was asked for.
func (p *Plane) ended(now int64, l *lot, end ccp.SyncEnd) {
	a := p.askerFrom(l.peer)
	switch {
	case l.log == p.verify.session && l.peer == p.verify.peer:
		p.verify.ended(end)
	case a == nil || l.log != a.session:
	case a.stage == stageWords:
		a.words.ended, a.words.end = true, end
		p.matchWords(now, a)
	default:
		p.do(now, a, a.ended(now, end))
	}
}

// matchWords compares the source's words with the own ones at the same mark, once both are there.
func (p *Plane) matchWords(now int64, a *asker) {
	w := &a.words
	own := w.own[w.end.Position]
	if !w.ended || own == nil || a.stage != stageWords || w.session != a.session {
		return
	}
	var differ ccp.SyncBitmap
	var n int
	var total uint64
	for i := range w.theirs {
		if theirs := w.theirs[i]; a.scope.Has(i) && (theirs.Xor != own[i].Xor || theirs.Count != own[i].Count) {
			differ.Add(i)
			n++
			total += uint64(theirs.Count)
		}
	}
	w.own = nil
	p.peers[a.source].equal = n == 0
	p.log.Debug("buckets compared", "member", a.source, "differ", n, "entries", total)
	p.do(now, a, a.compared(now, &differ, n, total))
}

// do does what an asker wants done.
func (p *Plane) do(now int64, a *asker, s step) {
	switch s {
	case stepNone:
		return
	case stepOwn:
		p.jobs.ownTally = true
		p.jobs.signal()
	case stepWords:
		if a.words.session != a.session {
			a.words = words{session: a.session, own: map[uint64]*record.Words{}}
			p.peers[a.source].bulkIn.Open(now, a.session)
		}
		p.ask(a, ccp.SyncWantWords)
	case stepRecords:
		if q := &p.peers[a.source]; q.bulkIn.Session() != a.session {
			q.bulkIn.Open(now, a.session)
			a.listed.Reserve(int(min(a.total, 1<<22)))
			p.log.Info("copying what differs from another member's table", "member", a.source, "buckets", a.buckets, "entries", a.total,
				"full", !a.current())
		}
		p.ask(a, ccp.SyncWantRepair)
	case stepRemove:
		p.jobs.remove = true
		p.jobs.signal()
	case stepGiveUp:
		// Another source may have taken its place.
		if q := &p.peers[a.left]; q.bound != 0 {
			q.bulkIn.Shut()
			q.request = &ccp.SyncRequest{Log: a.session, Want: ccp.SyncWantNothing, Through: q.through, Limit: bulkCredit}
		}
	}
}

// ask puts a request into the next frame to the source.
func (p *Plane) ask(a *asker, want ccp.SyncWant) {
	q := &p.peers[a.source]
	q.request = &ccp.SyncRequest{Log: a.session, Want: want, Through: q.through, Limit: bulkCredit, Table: p.share.table()}
	if want == ccp.SyncWantRepair {
		q.request.Buckets = a.wanted
	}
}

// takeAnswer takes the answer to a request.
func (p *Plane) takeAnswer(now int64, q *peer, a ccp.SyncAnswer) {
	if a.Log == p.verify.session && q.id == p.verify.peer {
		p.verify.answered(a)
		return
	}
	if by := p.askerFrom(q.id); by != nil {
		by.answered(now, a.Log, a.Result, a.Records)
	}
}
