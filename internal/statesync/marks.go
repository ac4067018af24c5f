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
	attrs []byte
	buf   []byte
}

// mark puts a digest mark into the delta lane.
func (p *Plane) mark(now int64) {
	if p.role != RoleOwner || !p.tallyGood {
		return
	}
	r := record.AppendMark(p.marks.attrs[:0], p.tally.Sum())
	p.marks.buf = r.Append(p.marks.buf[:0])
	if err := p.sender.Add(now, flow.Item{Class: flow.Mark, Data: p.marks.buf}); err != nil {
		p.log.Error("mark", "error", err)
		return
	}
	p.marks.at, p.marks.added = now, p.stats.Records
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
func (p *Plane) compare(now int64, l *lot, sum record.Sum) {
	q := &p.peers[l.peer]
	if q.bound != l.bound || l.peer != p.asker.source {
		return
	}
	q.mark, q.marked = sum, true
	if !p.tallyGood || q.key != p.cfg.UseKey || now < max(p.keyAt, q.keyAt)+rekeyed {
		return
	}
	own := p.tally.Sum()
	equal := own == sum
	p.stats.Marks++
	if !equal {
		p.stats.Differences++
		p.log.Debug("a mark differs", "member", l.peer, "own", own.Entries, "its", sum.Entries)
	}
	q.equal, q.compared = equal, true
	if p.asker.stage == stageWords && p.words.session == p.asker.session {
		if len(p.words.own) < snapshots {
			w := p.tally.Words()
			p.words.own[l.seq] = &w
		}
		p.matchWords(now)
		return
	}
	p.do(now, p.asker.mark(now, equal))
}

// wordsFor is where words of this lot go, nil if nobody asked for them.
func (p *Plane) wordsFor(l *lot) *words {
	switch {
	case l.log == p.verify.session && l.peer == p.verify.peer:
		return &p.verify.words
	case l.peer == p.asker.source && l.log == p.words.session && p.asker.stage == stageWords:
		return &p.words
	}
	return nil
}

// ended takes the end of what a member was asked for.
func (p *Plane) ended(now int64, l *lot, end ccp.SyncEnd) {
	switch {
	case l.log == p.verify.session && l.peer == p.verify.peer:
		p.verify.ended(end)
	case l.peer != p.asker.source || l.log != p.asker.session:
	case p.asker.stage == stageWords:
		p.words.ended, p.words.end = true, end
		p.matchWords(now)
	default:
		p.do(now, p.asker.ended(now, end))
	}
}

// matchWords compares the source's words with the own ones at the same mark, once both are there.
func (p *Plane) matchWords(now int64) {
	w := &p.words
	own := w.own[w.end.Position]
	if !w.ended || own == nil {
		return
	}
	var differ ccp.SyncBitmap
	var n int
	var total uint64
	for i := range w.theirs {
		if theirs := w.theirs[i]; theirs.Xor != own[i].Xor || theirs.Count != own[i].Count {
			differ.Add(i)
			n++
			total += uint64(theirs.Count)
		}
	}
	w.own = nil
	p.peers[p.asker.source].equal = n == 0
	p.log.Debug("buckets compared", "member", p.asker.source, "differ", n, "entries", total)
	p.do(now, p.asker.words(now, &differ, n, total))
}

// do does what the asker wants done.
func (p *Plane) do(now int64, s step) {
	a := p.asker
	switch s {
	case stepNone:
		return
	case stepOwn:
		p.jobs.ownTally = true
		p.jobs.signal()
	case stepWords:
		if p.words.session != a.session {
			p.words = words{session: a.session, own: map[uint64]*record.Words{}}
			p.peers[a.source].bulkIn.Open(now, a.session)
		}
		p.ask(ccp.SyncWantWords)
	case stepRecords:
		if q := &p.peers[a.source]; q.bulkIn.Session() != a.session {
			q.bulkIn.Open(now, a.session)
			a.listed.Reserve(int(min(a.total, 1<<22)))
			p.log.Info("copying what differs from another member's table", "member", a.source, "buckets", a.buckets, "entries", a.total,
				"full", !a.current)
		}
		p.ask(ccp.SyncWantRepair)
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
func (p *Plane) ask(want ccp.SyncWant) {
	a := p.asker
	q := &p.peers[a.source]
	q.request = &ccp.SyncRequest{Log: a.session, Want: want, Through: q.through, Limit: bulkCredit}
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
	if q.id == p.asker.source {
		p.asker.answered(now, a.Log, a.Result, a.Records)
	}
}
