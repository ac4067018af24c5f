// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"context"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/conntrack"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// Times of the dumper.
const (
	// oldAudit is how often an owner's table is dumped while it has entries from before the plane's start: the kernel may say nothing of
	// their end. It is stretched so that dumps take a hundredth of the time at most.
	oldAudit = 10 * time.Second
	// audit is how often it is dumped otherwise.
	audit = 10 * time.Minute
	// drainLimit is how long to wait for the event reader to have read everything.
	drainLimit = 2 * time.Second
	// sweepRate is how many entries a second a sweep looks at.
	sweepRate = 500_000
	// chunk is how many entries of a dump are dealt with under the lock at once.
	chunk = 128
)

// jobs is what the dumper is to do. There is one dumper: the kernel's table is never read twice at once.
type jobs struct {
	wake     chan struct{}
	roomFor  chan struct{} // a peer has taken something
	ownTally bool
	remove   bool
	sweep    bool
	again    bool // sweep once more, when the former owner has said all
	// In load sharing, own buckets in which entries may have the copies' time-out: what the next sweep shortens, and what the one after that,
	// which again has asked for. An own entry that has been idle for days cannot be told from a copy by what it has left.
	copied, copiedLater ccp.SyncBitmap
	// Buckets that went to another member and that no sweep has come to since: of connections in them the kernel still minds what it did not see.
	away     ccp.SyncBitmap
	lengthen bool
	untell   *record.Judge // the rules before services were changed
	swept    int64         // how long in ns the last sweep took
	unswept  string        // why entries have the wrong time-outs
	untold   string        // why others may have copies of what is synchronised no more

	old      keySet // entries from before the start
	oldKnown bool
	auditAt  time.Time
	short    int    // dumps in a row that were incomplete
	dropped  uint64 // events that the kernel had dropped when the last dump for the tally began
}

func (j *jobs) init() {
	j.wake, j.roomFor = make(chan struct{}, 1), make(chan struct{}, 1)
}

// signal wakes the dumper.
func (j *jobs) signal() { token(j.wake) }

// auditOld has the own table read before long if it has entries from before the start: this member's table counts from now on.
func (j *jobs) auditOld() {
	if at := time.Now().Add(oldAudit); j.old.Len() > 0 && j.auditAt.After(at) {
		j.auditAt = at
		j.signal()
	}
}

// drain are those who wait until all events up to now have been read: each has a channel that is closed then.
type drain []chan struct{}

// runDumper does the jobs, one after the other.
func (p *Plane) runDumper(ctx context.Context) error {
	timer := time.NewTimer(audit)
	defer timer.Stop()
	for {
		for {
			job, problem := p.nextJob()
			if job == nil || ctx.Err() != nil {
				break
			}
			err := job(ctx)
			if ctx.Err() != nil {
				break
			}
			p.jobDone(problem, err)
			if err != nil {
				select { // the kernel may be short of something
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
		}
		p.mu.Lock()
		wait := time.Until(p.jobs.auditAt)
		p.mu.Unlock()
		timer.Reset(max(wait, time.Second))
		select {
		case <-ctx.Done():
			return nil
		case <-p.jobs.wake:
		case <-timer.C:
			p.mu.Lock()
			p.jobs.ownTally = p.jobs.ownTally || !time.Now().Before(p.jobs.auditAt)
			p.mu.Unlock()
		}
	}
}

// jobDone shows in problem what went wrong with a job, until one of its kind succeeds.
func (p *Plane) jobDone(problem *string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text == *problem {
		return
	}
	if *problem = text; err != nil {
		p.log.Warn("connection table", "error", err)
	}
	p.show(boottime())
}

// nextJob takes the most urgent job off the list, and says where to show what goes wrong with it.
func (p *Plane) nextJob() (job func(context.Context) error, problem *string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	j := &p.jobs
	switch {
	case j.ownTally:
		j.ownTally = false
		return p.makeTally, &p.problem
	case j.remove:
		j.remove = false
		return p.removeStale, &p.problem
	case j.untell != nil:
		before := j.untell
		j.untell = nil
		return func(ctx context.Context) error { return p.untell(ctx, before) }, &j.untold
	case p.unserved():
		return p.serveDump, &p.problem
	case j.sweep:
		j.sweep = false
		return p.sweep, &j.unswept
	case j.lengthen:
		j.lengthen = false
		return p.lengthen, &j.unswept
	}
	return nil, nil
}

// dumpOwn reads the connections of the own table that are synchronised, and hands them over in chunks, under the lock; the records are
// good until each returns.
func (p *Plane) dumpOwn(ctx context.Context, o conntrack.DumpOptions, each func(now int64, rs []record.Record, ids []record.Identity) error) error {
	p.mu.Lock()
	hasher, judge := p.hasher, p.judge
	p.mu.Unlock()
	var rs []record.Record
	var ids []record.Identity
	var blind []record.Record // those of rs that gates cannot look up
	buf := make([]byte, 0, (chunk+1)*record.MaxLen)
	entries := uint64(0)
	var found families
	hand := func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.translated.since = p.translated.since.or(found)
		p.translated.review(p.changes)
		if len(rs) == 0 {
			return nil
		}
		if p.hasher != hasher {
			return errRekeyed
		}
		p.answersRead(blind)
		err := each(boottime(), rs, ids)
		rs, ids, blind, buf = rs[:0], ids[:0], blind[:0], buf[:0]
		return err
	}
	err := p.table.Dump(ctx, o, func(m conntrack.Message) error {
		entries++
		r, err := record.FromMessage(buf, m.Type, m.Flags, m.Payload)
		if err != nil {
			found.doubt(m)
			return nil //nolint:nilerr // an entry that cannot be told is not synchronised either
		}
		found.meet(r)
		id, v := judge.Examine(hasher, r)
		if v.Skip != record.SkipNone {
			return nil
		}
		buf = buf[:len(buf)+len(r.Attrs)]
		rs, ids = append(rs, r), append(ids, id)
		if v.Blind {
			blind = append(blind, r)
		}
		if len(rs) < chunk {
			return nil
		}
		return hand()
	})
	if err == nil {
		err = hand()
	}
	p.mu.Lock()
	p.stats.Dumps++
	p.stats.DumpEntries += entries
	p.mu.Unlock()
	return err
}

// unserved says whether a peer waits for records.
func (p *Plane) unserved() bool {
	for i := range p.peers {
		if p.peers[i].unserved() {
			return true
		}
	}
	return false
}

func (q *peer) unserved() bool {
	s := q.serving
	return s.active() && !s.dumping && (s.request.Want == ccp.SyncWantRepair || s.request.Want == ccp.SyncWantRead)
}
