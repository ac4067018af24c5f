// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"context"
	"errors"
	"time"

	"github.com/holdfast-project/holdfast/dataplane/conntrack"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

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
	p.translated.since = families{}
	p.answers.beginRead()
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
			p.answers.endRead(false)
			p.jobs.ownTally = true
		} else {
			p.endTally(now, old, time.Since(began))
		}
		done <- err
	})
	p.mu.Unlock()
	select {
	case err := <-done:
		if err == nil {
			err = p.strayAnswers()
		}
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
		for _, a := range p.askers {
			a.lost(false)
		}
	}
	p.jobs.old, p.jobs.oldKnown = old, true
	next := audit
	if old.Len() > 0 && p.role == RoleOwner { // of a copy the owner's marks tell, and who takes over reads it anew
		next = max(oldAudit, 100*took)
	}
	p.jobs.auditAt = time.Now().Add(next)
	p.answers.endRead(true)
	p.tallyGood, p.problem = true, ""
	p.translated.set(p.translated.since, p.changes)
	p.made++
	p.tellLosses(now)
	for _, a := range p.askers {
		p.do(now, a, a.ownMade(now))
	}
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
