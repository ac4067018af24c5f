// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/conntrack"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// displaced is called while Apply runs, for an entry that made way. It must not wait for the plane's lock: who has that may be waiting
// for the table.
func (p *Plane) displaced(m conntrack.Message) {
	r, err := record.FromMessage(make([]byte, 0, record.MaxLen), m.Type, m.Flags, m.Payload)
	if err == nil && r.Table == record.TableConnections {
		p.inject.gone = append(p.inject.gone, r)
	}
}

// apply gives the prepared records to the kernel, and counts what became of them.
func (p *Plane) apply() {
	j := &p.inject
	if len(j.rs) == 0 {
		return
	}
	for len(j.out) < len(j.rs) {
		j.out = append(j.out, conntrack.Outcome{})
	}
	out := j.out[:len(j.rs)]
	j.gone = j.gone[:0]
	err := p.table.Apply(j.rs, out)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.log.Warn("records were not applied", "records", len(j.rs), "error", err)
		p.errnos["socket"] += uint64(len(j.rs))
		p.doubtTally()
		j.rs, j.ids = j.rs[:0], j.ids[:0]
		return
	}
	for _, r := range j.gone {
		if id, v := p.judge.Examine(p.hasher, r); v.Skip == record.SkipNone {
			p.tally.Remove(id)
			p.answerEnded(r)
		}
	}
	for i, o := range out {
		if j.rekeyed {
			j.ids[i], _ = p.hasher.Identify(j.rs[i]) // it had an identity before
		}
		p.count(j.rs[i], j.ids[i], o)
	}
	p.rates.injected += uint64(len(j.rs))
	p.rates.injectedEver += uint64(len(j.rs))
	j.rs, j.ids = j.rs[:0], j.ids[:0]
}

// count takes note of one record's outcome.
func (p *Plane) count(r record.Record, id record.Identity, o conntrack.Outcome) {
	connection := r.Table == record.TableConnections
	switch o.Result {
	case conntrack.Created, conntrack.Replaced:
		p.stats.Created++
		if connection {
			p.tally.Add(id)
		} else {
			p.expected++
		}
	case conntrack.Updated:
		p.stats.Updated++
	case conntrack.Deleted:
		p.stats.Deleted++
		if connection {
			if p.judge.Judge(r).Skip == record.SkipNone {
				p.tally.Remove(id)
			}
			p.answerEnded(r)
		} else {
			p.expected--
		}
	case conntrack.Absent, conntrack.Superseded:
		p.stats.Absent++
		if connection && o.Result == conntrack.Absent { // the kernel may have refused it, but not this member's gate
			p.answerEnded(r)
		}
	case conntrack.Refused:
		p.errnos[o.Errno.Error()]++
		p.refusedAt = boottime()
		p.refusedWhy = o.Errno.Error()
	}
}

// special deals with records that are no entries of the connection tables; everything before them is applied.
func (p *Plane) special(l *lot, head ccp.SyncRecord) {
	now := boottime()
	switch {
	case record.Table(head.Table) == record.TableMarks && (l.kind == lotDelta || l.kind == lotShare):
		var mark record.Mark
		r, _, err := record.Parse(head.Bytes)
		if err == nil {
			mark, err = record.ParseMark(r)
		}
		if err != nil {
			p.refuse(record.ReasonOf(err).String())
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.compare(now, l, mark)
	case record.Table(head.Table) == record.TableMarks:
	case record.Table(head.Table) == record.TableSets && (l.kind == lotDelta || l.kind == lotShare):
		p.mu.Lock()
		defer p.mu.Unlock()
		p.stats.Received++
		p.takeElement(head.Bytes)
	case record.Table(head.Table) == record.TableSets && l.kind == lotBulk:
		p.mu.Lock()
		defer p.mu.Unlock()
		if l.log == p.verify.session && l.peer == p.verify.peer {
			p.verify.listedElement(head.Bytes)
		}
	case record.Table(head.Table) == record.TableSets:
	case head.Table == ccp.SyncTableWords && l.kind == lotBulk:
		p.mu.Lock()
		defer p.mu.Unlock()
		if w := p.wordsFor(l); w != nil {
			if _, _, err := ccp.ParseSyncWords(head.Attrs, &w.theirs); err != nil {
				p.refused["words"]++
			}
		}
	case head.Table == ccp.SyncTableEnd && l.kind == lotBulk:
		end, err := ccp.ParseSyncEnd(head.Attrs)
		if err != nil {
			p.refuse("end")
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.ended(now, l, end)
	default:
		p.refuse("table")
	}
}

// lotApplied takes note that a lot is in the kernel's table.
func (p *Plane) lotApplied(now int64, l *lot) {
	q := &p.peers[l.peer]
	if q.bound != l.bound {
		return
	}
	switch l.kind {
	case lotDelta, lotNews, lotShare:
		q.through = l.seq
	case lotBulk:
		q.bulkIn.Consumed(now, l.payload)
	}
	if a := p.askerFrom(l.peer); a != nil && q.through != 0 {
		p.do(now, a, a.applied(now, q.through))
	}
}

// whenQuiet runs do, under the lock, when nothing is being applied whose outcome is not counted yet: at once, if that is now.
func (p *Plane) whenQuiet(do func(now int64)) {
	if len(p.inject.lots) == 0 && !p.inject.busy {
		do(boottime())
		return
	}
	p.whenApplied(do)
}

// whenApplied runs do, under the lock, when everything queued so far has been applied.
func (p *Plane) whenApplied(do func(now int64)) {
	_ = p.inject.put(boottime(), lot{kind: lotDo, do: do}, nil) // there is nothing to unpack
	select {
	case p.inject.urgent <- struct{}{}:
	default:
	}
}
