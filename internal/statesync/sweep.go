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

// removeStale deletes what the source does not have.
func (p *Plane) removeStale(ctx context.Context) error {
	type removal struct{ session, gone uint64 }
	of := map[*asker]*removal{} // those that get that far meanwhile have another dump
	var buf []byte
	p.mu.Lock()
	for _, a := range p.askers {
		if a.stage == stageRemoving {
			of[a] = &removal{session: a.session}
		}
	}
	p.mu.Unlock()
	err := p.dumpOwn(ctx, conntrack.DumpOptions{Chunk: func(int) error { return p.notFull(ctx) }}, func(now int64, rs []record.Record, ids []record.Identity) error {
		buf = buf[:0]
		for i, r := range rs {
			if r1 := of[p.stale(ids[i])]; r1 != nil {
				r.Op = record.OpDelete
				buf = r.Append(buf)
				r1.gone++
			}
		}
		if len(buf) > 0 {
			p.queue(now, lot{kind: lotStale}, buf)
		}
		return nil
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.jobs.remove = p.removing()
		return err
	}
	p.whenApplied(func(now int64) {
		for a, r := range of {
			if a.stage != stageRemoving || a.session != r.session {
				continue
			}
			a.removed(now, r.gone)
			p.stats.Repairs++
			p.stats.Removed += r.gone
			p.log.Info("copied what differed", "member", a.source, "entries", a.last.Done, "stale", r.gone, "ms", a.last.Took.Milliseconds())
		}
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
	o := conntrack.SweepOptions{Copy: record.CopyTimeout * time.Second}
	if err := p.within(func() (err error) { o.Timeouts, err = conntrack.ReadTimeouts(); return err }); err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.sweepAgain(long)
		return err
	}
	limit := pace{perSecond: sweepRate}
	before := 0
	changed := errors.New("role changed")
	p.mu.Lock()
	copied, away := p.jobs.copied, p.jobs.away
	switch {
	case p.share.on:
		o.Choose = p.whose(copied, away)
	case long:
		o.All = conntrack.Lengthen
	case away != (ccp.SyncBitmap{}):
		o.All = conntrack.Regain
	}
	p.jobs.copied, p.jobs.away = ccp.SyncBitmap{}, ccp.SyncBitmap{}
	owners, hasher := p.share.owners, p.hasher
	p.mu.Unlock()
	o.Chunk = func(entries int) error {
		p.mu.Lock()
		over := !p.share.on && (p.role == RoleOwner) == long || (p.share.owners != owners || p.hasher != hasher) && p.jobs.sweep
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
	p.jobs.swept = boottime() - began
	if err != nil {
		join(&p.jobs.copied, &copied) // it has not come to all of them
		join(&p.jobs.away, &away)
	}
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

// whose returns what is to become of an entry's time-out in load sharing: this member's own get that of their protocol if they may be copies,
// others' the copies', and what is not synchronised is left alone. Of own ones that were away the kernel has missed something.
func (p *Plane) whose(copied, away ccp.SyncBitmap) func(conntrack.Message) conntrack.Choice {
	hasher, judge, owners, self := p.hasher, p.judge, p.share.owners, p.cfg.Self
	buf := make([]byte, 0, record.MaxLen)
	return func(m conntrack.Message) conntrack.Choice {
		r, err := record.FromMessage(buf, m.Type, m.Flags, m.Payload)
		if err != nil || owners == nil {
			return conntrack.Leave
		}
		id, v := judge.Examine(hasher, r)
		switch {
		case v.Skip != record.SkipNone:
			return conntrack.Leave
		case owners.Takes[id.Bucket()] == self && away.Has(id.Bucket()):
			return conntrack.Regain
		case owners.Takes[id.Bucket()] == self && copied.Has(id.Bucket()):
			return conntrack.Shorten
		case owners.Takes[id.Bucket()] == self:
			return conntrack.Leave
		}
		return conntrack.Lengthen
	}
}

// sweepAgain has a sweep that failed done again, unless the role has changed since.
func (p *Plane) sweepAgain(long bool) {
	switch {
	case p.share.on:
		p.jobs.sweep = true
	case (p.role == RoleOwner) == long:
	case long:
		p.jobs.lengthen = true
	default:
		p.jobs.sweep = true
	}
}
