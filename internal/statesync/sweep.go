// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"context"
	"errors"
	"time"

	"github.com/holdfast-project/holdfast/dataplane/conntrack"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

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
