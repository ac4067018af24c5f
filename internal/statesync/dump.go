// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"context"
	"errors"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/conntrack"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// Times of the dumper.
const (
	// oldAudit is how often the own table is dumped while it has entries from before the plane's start: the kernel may say nothing of
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
	lengthen bool
	unswept  string // why entries have the wrong time-outs

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
func (j *jobs) signal() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// room tells a dump that waits for a peer to look again.
func (j *jobs) room() {
	select {
	case j.roomFor <- struct{}{}:
	default:
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
	buf := make([]byte, 0, (chunk+1)*record.MaxLen)
	entries := uint64(0)
	hand := func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.hasher != hasher {
			return errRekeyed
		}
		err := each(boottime(), rs, ids)
		rs, ids, buf = rs[:0], ids[:0], buf[:0]
		return err
	}
	err := p.table.Dump(ctx, o, func(m conntrack.Message) error {
		entries++
		r, err := record.FromMessage(buf, m.Type, m.Flags, m.Payload)
		if err != nil {
			return nil //nolint:nilerr // an entry that cannot be told is not synchronised either
		}
		if judge.Judge(r).Skip != record.SkipNone {
			return nil
		}
		id, err := hasher.Identify(r)
		if err != nil {
			return nil //nolint:nilerr // as above
		}
		buf = buf[:len(buf)+len(r.Attrs)]
		rs, ids = append(rs, r), append(ids, id)
		if len(rs) < chunk {
			return nil
		}
		return hand()
	})
	if err == nil && len(rs) > 0 {
		err = hand()
	}
	p.mu.Lock()
	p.stats.Dumps++
	p.stats.DumpEntries += entries
	p.mu.Unlock()
	return err
}

// errLostMeanwhile says that a dump is worth nothing, because events were lost while it went on.
var errLostMeanwhile = errors.New("statesync: events were lost during the dump")

// errShort says that a dump told fewer entries than there are: the kernel's table was resized meanwhile.
var errShort = errors.New("statesync: the dump was incomplete")

// shortDumps is how often in a row that is believed. Entries whose time is over are counted and not told.
const shortDumps = 3

// short says whether a dump told far fewer entries than there were all the time.
func (p *Plane) short(told, there uint64) bool {
	if told+told/20+1000 >= there || p.jobs.short >= shortDumps {
		p.jobs.short = 0
		return false
	}
	p.jobs.short++
	return true
}

// makeTally makes the own tally anew from a dump.
func (p *Plane) makeTally(ctx context.Context) error {
	began := time.Now()
	usage, err := p.table.Count()
	var dropped uint64
	if err == nil {
		dropped, err = p.uncongested(ctx)
	}
	if err != nil {
		p.again()
		return err
	}
	p.mu.Lock()
	p.tally.BeginDump(int(usage.Entries))
	lostBefore := p.stats.EventsLost
	hasher, judge := p.hasher, p.judge
	var old keySet
	before := p.stats.DumpEntries
	p.mu.Unlock()
	err = p.dumpOwn(ctx, conntrack.DumpOptions{}, func(_ int64, _ []record.Record, ids []record.Identity) error {
		for _, id := range ids {
			if p.held.Has(id.Key) {
				continue
			}
			p.tally.Seen(id)
			if !p.jobs.oldKnown || p.jobs.old.Has(id.Key) {
				old.Add(id.Key)
			}
		}
		return nil
	})
	if err == nil {
		err = p.drainEvents(ctx)
	}
	after, counted := p.table.Count()
	if err == nil && p.drops() != dropped {
		err = errLostMeanwhile
	}
	done := make(chan error, 1)
	over := false
	p.mu.Lock()
	p.whenQuiet(func(now int64) {
		if over {
			return // this may come in another life of the dumper
		}
		if err == nil && counted == nil && p.short(p.stats.DumpEntries-before, uint64(min(usage.Entries, after.Entries))) {
			err = errShort
		}
		if err == nil && (p.stats.EventsLost != lostBefore || hasher != p.hasher) {
			err = errLostMeanwhile
		}
		if err != nil || judge != p.judge { // by other rules now
			p.tally.AbandonDump()
			p.jobs.ownTally = true
		} else {
			p.endTally(now, old, time.Since(began))
		}
		done <- err
	})
	p.mu.Unlock()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		p.mu.Lock()
		defer p.mu.Unlock()
		over = true
		return ctx.Err()
	}
}

// endTally replaces the own tally by what the dump for it found, which took so long; old are the entries from before the start. No Apply
// is under way: what one has created, and the dump has seen, would be counted again with its outcome.
func (p *Plane) endTally(now int64, old keySet, took time.Duration) {
	wrong := p.tally.EndDump()
	if p.tallyGood && len(wrong) > 0 {
		p.log.Debug("the own tally was wrong", "buckets", len(wrong))
		p.asker.lost(false)
	}
	p.jobs.old, p.jobs.oldKnown = old, true
	next := audit
	if old.Len() > 0 {
		next = max(oldAudit, 100*took)
	}
	p.jobs.auditAt = time.Now().Add(next)
	p.tallyGood, p.problem = true, ""
	p.made++
	p.tellLosses(now)
	p.do(now, p.asker.ownMade(now))
	for i := range p.peers {
		if s := p.peers[i].serving; s.active() && s.fresh && !s.fed {
			s.fresh = false
			p.serveWords(now, &p.peers[i])
		}
	}
	p.review(now)
}

// uncongested returns how many events the kernel has dropped, and before that, if some were dropped since it was called last, waits for
// those in the buffer to be read: until then the kernel drops all that follow, and says so by that count alone.
func (p *Plane) uncongested(ctx context.Context) (uint64, error) {
	for range 2 { // what is dropped while the buffer is drained leaves it full again, which the dump's end notices
		dropped := p.drops()
		if dropped == p.jobs.dropped {
			break
		}
		if err := p.drainEvents(ctx); err != nil {
			return 0, err
		}
		p.jobs.dropped = dropped
	}
	return p.jobs.dropped, nil
}

// drops is how many events the kernel has dropped; of a closed socket 0.
func (p *Plane) drops() uint64 {
	s, err := p.events.Stats()
	if err != nil {
		return 0
	}
	return s.Dropped
}

func (p *Plane) again() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.jobs.ownTally = true
}

// drainEvents returns when all events that the kernel had until now have been dealt with.
func (p *Plane) drainEvents(ctx context.Context) error {
	done := make(chan struct{})
	p.mu.Lock()
	p.drain = append(p.drain, done)
	p.mu.Unlock()
	// A reader that waits is woken; one that works looks by itself.
	if err := p.events.SetReadDeadline(time.Now()); err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(drainLimit):
		return errors.New("statesync: events come faster than they are read")
	}
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

// serveDump sends the records that peers asked for: one dump for all that wait.
func (p *Plane) serveDump(ctx context.Context) error {
	var wanted ccp.SyncBitmap
	var list []*serving
	p.mu.Lock()
	for i := range p.peers {
		if q := &p.peers[i]; q.unserved() {
			q.serving.dumping, q.serving.news = true, p.stats.News
			list = append(list, q.serving)
			for b := range wanted {
				wanted[b] |= q.serving.request.Buckets[b]
			}
		}
	}
	limit := pace{perSecond: int64(p.cfg.FullSyncRate)}
	if limit.perSecond == 0 {
		limit.perSecond = DefaultFullSyncRate
	}
	p.mu.Unlock()
	var buf []byte
	var wait int64
	type offer struct {
		bucket, at, end int
	}
	var offers []offer
	take := func(now int64, rs []record.Record, ids []record.Identity) error {
		for i, r := range rs {
			if p.held.Has(ids[i].Key) || r.Table == record.TableConnections && !wanted.Has(ids[i].Bucket()) {
				continue
			}
			bucket := ids[i].Bucket()
			if r.Table == record.TableExpectations {
				bucket = -1
			}
			at := len(buf)
			buf = r.Append(buf)
			offers = append(offers, offer{bucket, at, len(buf)})
		}
		return nil
	}
	send := func(int) error {
		for _, o := range offers {
			if err := p.offer(ctx, list, o.bucket, buf[o.at:o.end]); err != nil {
				return err
			}
		}
		now := boottime()
		wait = limit.take(now, len(offers))
		offers, buf = offers[:0], buf[:0]
		p.mu.Lock()
		p.transmit(now)
		p.rearm(now)
		p.mu.Unlock()
		return pause(ctx, wait)
	}
	err := p.dumpOwn(ctx, conntrack.DumpOptions{Chunk: send}, take)
	if err == nil {
		err = send(0)
	}
	if err == nil {
		err = p.dumpOwn(ctx, conntrack.DumpOptions{Expectations: true, Chunk: send}, take)
	}
	if err == nil {
		err = send(0)
	}
	if err == nil {
		// The tally is compared with below, and must know of what ended before the dump came to it. If events come too fast for that, the
		// comparison says so.
		if drained := p.drainEvents(ctx); drained != nil {
			p.log.Debug("events are behind at the end of a dump", "error", drained)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := boottime()
	short := false
	for i := range p.peers {
		q := &p.peers[i]
		s := q.serving
		if !s.active() || !s.dumping || s.fed {
			continue
		}
		// What the dump did not tell, and no change up to here was about, is not in the table.
		_, there := p.wanted(&s.request.Buckets)
		// A resize of the kernel's table hides entries from a dump, and many at once.
		complete := !p.tallyGood || s.entries+p.stats.News-s.news+there/1000+slack >= there
		short = short || !complete
		if err != nil || !p.finish(now, q, ccp.SyncEnd{Position: p.sender.Position(now), Complete: complete}) {
			p.stopServing(now, q)
		}
	}
	if short {
		p.log.Info("a dump for another member told fewer entries than the tally has: that is made anew")
		p.doubtTally()
	}
	p.review(now)
	return err
}

// slack is how many entries a dump that another member is served from may have less than the tally, besides a thousandth.
const slack = 16

func pause(ctx context.Context, ns int64) error {
	if ns <= 0 {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Duration(ns)):
		return nil
	}
}

// offer gives a record to all who want its bucket (-1: to all), and waits for those without credit.
func (p *Plane) offer(ctx context.Context, list []*serving, bucket int, data []byte) error {
	var done uint32
	for {
		p.mu.Lock()
		now := boottime()
		waiting := false
		for i, s := range list {
			if done&(1<<i) != 0 || !s.active() || bucket >= 0 && !s.request.Buckets.Has(bucket) {
				continue
			}
			// The end must fit too.
			if !s.bulk.Fits(now, uint64(len(data))+64) {
				if s.bulk.Silent(now) > servedTimeout {
					p.giveUp(now, s)
					continue
				}
				waiting = true
				continue
			}
			if _, err := s.bulk.Offer(now, data); err != nil {
				p.log.Error("offer a record", "error", err)
			}
			done |= 1 << i
			s.records++
			if bucket >= 0 {
				s.entries++
			}
			p.stats.Served++
		}
		if waiting {
			p.transmit(now)
			p.rearm(now)
		}
		p.mu.Unlock()
		if !waiting {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.jobs.roomFor:
		case <-time.After(time.Second):
		}
	}
}

// giveUp ends what is being sent to a peer that takes nothing, or has asked for something else since.
func (p *Plane) giveUp(now int64, s *serving) {
	for i := range p.peers {
		if p.peers[i].serving == s {
			p.log.Warn("a member takes nothing of what it asked for", "member", i)
			p.stopServing(now, &p.peers[i])
		}
	}
	if s.active() {
		s.ended = now
	}
}

// removeStale deletes what the source does not have.
func (p *Plane) removeStale(ctx context.Context) error {
	var gone uint64
	var buf []byte
	err := p.dumpOwn(ctx, conntrack.DumpOptions{Chunk: func(int) error { return p.notFull(ctx) }}, func(_ int64, rs []record.Record, ids []record.Identity) error {
		buf = buf[:0]
		for i, r := range rs {
			if p.asker.stale(ids[i].Key, ids[i].Bucket()) {
				r.Op = record.OpDelete
				buf = r.Append(buf)
				gone++
			}
		}
		if len(buf) > 0 {
			p.inject.put(lot{kind: lotStale}, buf)
		}
		return nil
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.jobs.remove = p.asker.stage == stageRemoving
		return err
	}
	p.whenApplied(func(now int64) {
		if p.asker.stage != stageRemoving {
			return
		}
		p.asker.removed(now, gone)
		p.stats.Repairs++
		p.stats.Removed += gone
		p.log.Info("copied what differed", "member", p.asker.source, "entries", p.asker.last.Done, "stale", gone,
			"ms", p.asker.last.Took.Milliseconds())
	})
	return nil
}

// notFull returns when the injector may be given more.
func (p *Plane) notFull(ctx context.Context) error {
	for {
		p.mu.Lock()
		full := p.inject.full()
		p.mu.Unlock()
		if !full {
			return nil
		}
		if err := pause(ctx, 1e6); err != nil {
			return err
		}
	}
}

// sweep gives entries that carry the copies' time-out that of their protocol, after a takeover.
func (p *Plane) sweep(ctx context.Context) error { return p.sweepAs(ctx, false) }

// lengthen gives all entries the copies' time-out, after a hand-over: no packet refreshes them here any more, and they must not expire.
func (p *Plane) lengthen(ctx context.Context) error { return p.sweepAs(ctx, true) }

func (p *Plane) sweepAs(ctx context.Context, long bool) error {
	o := conntrack.SweepOptions{Copy: record.CopyTimeout * time.Second, Lengthen: long}
	if err := p.within(func() (err error) { o.Timeouts, err = conntrack.ReadTimeouts(); return err }); err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.sweepAgain(long)
		return err
	}
	limit := pace{perSecond: sweepRate}
	before := 0
	changed := errors.New("role changed")
	o.Chunk = func(entries int) error {
		p.mu.Lock()
		over := (p.role == RoleOwner) == long
		p.mu.Unlock()
		if over {
			return changed
		}
		wait := limit.take(boottime(), entries-before)
		before = entries
		return pause(ctx, wait)
	}
	began := boottime()
	s, err := p.table.Sweep(ctx, o)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Swept += uint64(s.Set)
	if errors.Is(err, changed) {
		return nil
	}
	if err != nil {
		p.sweepAgain(long)
	} else {
		p.log.Info("set the time-outs of connections after a change of role", "role", p.role.String(), "entries", s.Seen, "set", s.Set,
			"ms", (boottime()-began)/1e6)
	}
	return err
}

// sweepAgain has a sweep that failed done again, unless the role has changed since.
func (p *Plane) sweepAgain(long bool) {
	switch {
	case (p.role == RoleOwner) == long:
	case long:
		p.jobs.lengthen = true
	default:
		p.jobs.sweep = true
	}
}
