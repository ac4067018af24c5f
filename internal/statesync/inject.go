// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"context"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/conntrack"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// Bounds of the injector.
const (
	// applyAtOnce is how many records go to the kernel by one call.
	applyAtOnce = 256
	// gatherFew is how many records a round of the injector must have had for it to wait for more the next time.
	gatherFew = 4
	// gatherFor is how long it waits then. The kernel takes a record in batches of a hundred for two thirds of what it costs in batches of thirty.
	gatherFor = 3 * time.Millisecond
	// injectBytes is how many bytes of records may wait: what comes beyond is not acknowledged, and so comes again.
	injectBytes = 8 << 20
)

// lotKind says what is to be done with the records of a lot.
type lotKind uint8

const (
	// lotDelta are changes from the member whose table counts: all are applied.
	lotDelta lotKind = iota + 1
	// lotNews are changes from the member whose table counted until a moment ago, and which still forwards what was on its way: what
	// begins there, and is not known better here, is kept.
	lotNews
	// lotBulk is what was asked for.
	lotBulk
	// lotStale are deletions of what the source does not have.
	lotStale
	// lotShare are changes from a member of several that share the load: what it owns is applied, and what it does not if it may be.
	lotShare
	// lotDo is something to do when everything before it has been applied.
	lotDo
)

// lot is some records that came together, or something to be done in between.
type lot struct {
	kind    lotKind
	peer    uint8
	bound   uint64 // the peer's incarnation
	log     uint64
	seq     uint64
	n       int   // bytes in the queue
	payload int   // bytes of the batch that they were
	at      int64 // when it came
	records int
	// drained: something that was said before it had not come yet.
	drained bool
	owners  *Owners // in load sharing, as they were when it came
	do      func(now int64)
}

// injector is the queue of what is to be applied to the kernel's table, and the one who does it. Others only put.
type injector struct {
	wake    chan struct{}
	urgent  chan struct{} // somebody waits for what is queued
	lots    []lot
	data    []byte
	peak    uint64
	busy    bool   // between taking lots off the queue and having applied them
	under   uint64 // records that were taken off then, and when the oldest came
	underAt int64

	rekeyed bool // identities of this round may be by the keys of before

	// The injector's own.
	rs    []record.Record
	ids   []record.Identity
	said  []record.Verdict // by judge, on those of rs that choose has not seen yet
	judge *record.Judge
	out   []conntrack.Outcome
	gone  []record.Record // entries that made way, of the Apply under way
}

// full says that nothing more should be taken in for now.
func (j *injector) full() bool { return len(j.data) > injectBytes }

// put queues a copy of a batch's records, at now. With an error, those that cannot be unpacked are left out.
func (j *injector) put(now int64, l lot, payload []byte) (err error) {
	begin := len(j.data)
	j.data, err = ccp.UnpackSync(j.data, payload)
	l.n, l.payload, l.at = len(j.data)-begin, len(payload), now
	for rest := j.data[begin:]; len(rest) > 0; l.records++ {
		var broken error
		if _, rest, broken = ccp.NextSyncRecord(rest); broken != nil {
			break
		}
	}
	j.lots = append(j.lots, l)
	j.peak = max(j.peak, uint64(len(j.data)))
	select {
	case j.wake <- struct{}{}:
	default:
	}
	return err
}

// runInjector applies what is queued.
func (p *Plane) runInjector(ctx context.Context) error {
	var lots []lot
	var data []byte
	j := &p.inject
	few := 0 // records of the last round, if it came soon after the one before
	timer := time.NewTimer(0)
	defer timer.Stop()
	for last := int64(0); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-j.wake:
		}
		if few > gatherFew && few < applyAtOnce/2 {
			// They come fast, and a batch costs the kernel half of what they cost one by one. Nothing is lost by it: what waits here is
			// on this member already.
			timer.Reset(gatherFor)
			select {
			case <-timer.C:
			case <-j.urgent:
			case <-ctx.Done():
				return nil
			}
		}
		p.mu.Lock()
		done := p.rates.injectedEver
		lots, j.lots = j.lots, lots[:0]
		data, j.data = j.data, data[:0]
		j.busy, j.rekeyed = true, false
		j.under, j.underAt = 0, boottime()
		for _, l := range lots {
			j.under, j.underAt = j.under+uint64(l.records), min(j.underAt, l.at)
		}
		p.mu.Unlock()
		rest := data
		for i := range lots {
			l := &lots[i]
			p.injectLot(l, rest[:l.n])
			rest = rest[l.n:]
			lots[i].do = nil
		}
		p.apply()
		now := boottime()
		p.mu.Lock()
		j.busy = false
		few = 0
		if now-last < 3*int64(gatherFor) {
			few = int(p.rates.injectedEver - done)
		}
		last = now
		for i := range lots {
			p.lotApplied(now, &lots[i])
		}
		if cap(data) > 4*injectBytes {
			data = nil
		}
		p.glance(now)
		p.mu.Unlock()
	}
}

// injectLot prepares the records of a lot, and applies what the batch for the kernel has no room for.
func (p *Plane) injectLot(l *lot, data []byte) {
	j := &p.inject
	if l.kind == lotDo {
		p.apply()
		p.mu.Lock()
		l.do(boottime())
		p.mu.Unlock()
		return
	}
	p.mu.Lock()
	hasher := p.hasher // only Rekey changes it, and then every tally is made anew
	checker := p.checker
	j.judge = p.judge
	p.mu.Unlock()
	first := len(j.rs)
	j.said = j.said[:0]
	for len(data) > 0 {
		var head ccp.SyncRecord
		var err error
		if head, data, err = ccp.NextSyncRecord(data); err != nil {
			p.refuse("frame of the record")
			break
		}
		switch {
		case record.Table(head.Table) == record.TableConnections || record.Table(head.Table) == record.TableExpectations:
			r, _, err := record.Parse(head.Bytes)
			if err == nil && l.kind != lotStale { // those are one's own
				err = checker.Check(r)
			}
			if err != nil {
				p.refuse(record.ReasonOf(err).String())
				continue
			}
			id, said := j.judge.Examine(hasher, r)
			if said.Skip != record.SkipNone {
				if id, err = hasher.Identify(r); err != nil {
					p.refuse(record.ReasonOf(err).String())
					continue
				}
			}
			j.rs, j.ids, j.said = append(j.rs, r), append(j.ids, id), append(j.said, said)
		default:
			p.choose(l, first)
			p.apply()
			first = 0
			p.special(l, head)
		}
	}
	p.choose(l, first)
	if len(j.rs) >= applyAtOnce {
		p.apply()
	}
}

func (p *Plane) refuse(why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused[why]++
}

// choose leaves out, of the records from first on, those that are not to be applied.
func (p *Plane) choose(l *lot, first int) {
	j := &p.inject
	if first >= len(j.rs) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := first
	for i := first; i < len(j.rs); i++ {
		said := j.said[i-first]
		if p.judge != j.judge { // other rules since
			said = p.judge.Judge(j.rs[i])
		}
		if !p.chosen(l, j.rs[i], j.ids[i], said) {
			continue
		}
		p.translated.since.meet(j.rs[i])
		j.rs[kept], j.ids[kept] = j.rs[i], j.ids[i]
		kept++
	}
	p.translated.review(p.changes)
	j.rs, j.ids, j.said = j.rs[:kept], j.ids[:kept], j.said[:0]
}

// chosen says whether a record of lot l, of which the rules say v, is to be applied.
func (p *Plane) chosen(l *lot, r record.Record, id record.Identity, v record.Verdict) bool {
	switch l.kind {
	case lotDelta:
		p.stats.Received++
		// After a takeover in between, one's own events are newer.
		if p.role == RoleOwner && p.own.has(id.Key) {
			return false
		}
		if l.drained {
			p.peers[l.peer].drained.keys.Add(id.Key)
		}
		if p.askerFrom(l.peer) != nil {
			p.touch(id.Key)
		}
	case lotShare:
		p.stats.Received++
		if !p.shared(l, r.Op, r.Table, id) {
			return false
		}
		p.touch(id.Key)
	case lotNews:
		p.stats.Received++
		// What ends there may go on here, and what one's own packets are about is known better.
		if r.Op == record.OpDelete || p.own.has(id.Key) || p.peers[l.peer].drained.newer(l.seq, id.Key) {
			return false
		}
		p.jobs.again = p.role == RoleOwner
	case lotBulk:
		if l.log == p.verify.session {
			p.verify.listed(r, id)
			return false
		}
		a := p.askerFrom(l.peer)
		if a == nil || l.log != a.session || p.owns(id.Bucket()) {
			return false
		}
		p.stats.Upserts++
		if r.Table == record.TableExpectations {
			return !a.touched.Has(id.Key)
		}
		return a.list(id.Key) && (!v.Blind || p.answerTold(r))
	case lotStale:
		return p.stale(id) != nil && v.Skip == record.SkipNone // the rules may have changed since the dump
	}
	if v.Skip == record.SkipService && r.Op == record.OpDelete && (l.kind == lotDelta || l.kind == lotShare) {
		return true // it may be here from before the rule
	}
	if v.Skip != record.SkipNone {
		p.refused["rule: "+v.Skip.String()]++
		return false
	}
	return !v.Blind || p.answerTold(r)
}
