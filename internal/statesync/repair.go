// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"context"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/conntrack"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

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
	// Connections with a master come last, when those that ask have it: the kernel creates them without, where it is not there.
	var late []byte
	var expected []offer
	take := func(now int64, rs []record.Record, ids []record.Identity) error {
		for i, r := range rs {
			everybodys := r.Table == record.TableExpectations && !p.share.on
			if p.held.Has(ids[i].Key) || !everybodys && !wanted.Has(ids[i].Bucket()) {
				continue
			}
			bucket := ids[i].Bucket()
			if everybodys {
				bucket = -1
			}
			if len(late) < lateMost && r.HasMaster() {
				at := len(late)
				late = r.Append(late)
				expected = append(expected, offer{bucket, at, len(late)})
				continue
			}
			at := len(buf)
			buf = r.Append(buf)
			offers = append(offers, offer{bucket, at, len(buf)})
		}
		return nil
	}
	send := func(int) error {
		for _, o := range offers {
			if err := p.offer(ctx, list, o.bucket, buf[o.at:o.end], p.jobs.roomFor); err != nil {
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
	for ; err == nil && len(expected) > 0; expected = expected[min(chunk, len(expected)):] {
		offers = append(offers, expected[:min(chunk, len(expected))]...)
		from := offers[0].at
		buf = append(buf, late[from:offers[len(offers)-1].end]...)
		for i := range offers {
			offers[i].at, offers[i].end = offers[i].at-from, offers[i].end-from
		}
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

// lateMost is how many bytes of records with a master wait for the end of a dump; what is beyond that comes as it is told.
const lateMost = 16 << 20

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

// offer gives a record to all who want its bucket (-1: to all), and waits for those without credit. Room tells the one who calls, and nobody
// else, that there may be some now.
func (p *Plane) offer(ctx context.Context, list []*serving, bucket int, data []byte, room <-chan struct{}) error {
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
			if record.Table(data[2]) == record.TableConnections {
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
		case <-room:
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
