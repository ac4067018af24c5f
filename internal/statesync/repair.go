// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"cmp"
	"context"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/conntrack"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// serveDump sends the records that peers asked for: one dump for all that wait.
func (p *Plane) serveDump(ctx context.Context) error {
	d := p.beginServing()
	err := d.everything(ctx)
	if err == nil {
		// The tally is compared with below, and must know of what ended before the dump came to it. If events come too fast for that, the
		// comparison says so.
		if drained := p.drainEvents(ctx); drained != nil {
			p.log.Debug("events are behind at the end of a dump", "error", drained)
		}
	}
	p.endServing(err)
	return err
}

// servedDump is one dump that some peers are served from.
type servedDump struct {
	p      *Plane
	list   []*serving
	wanted ccp.SyncBitmap // by any of them
	pace   pace

	buf    []byte
	offers []offered // in buf
	// Connections with a master come last, when those that ask have it: the kernel creates them without, where it is not there.
	late       []byte
	lateOffers []offered // in late
}

// offered is a record and the bucket that it is in, -1 if it is for all.
type offered struct{ bucket, at, end int }

// beginServing begins the dump for all that wait for one.
func (p *Plane) beginServing() *servedDump {
	d := &servedDump{p: p}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.peers {
		if q := &p.peers[i]; q.unserved() {
			q.serving.dumping, q.serving.news = true, p.stats.News
			d.list = append(d.list, q.serving)
			join(&d.wanted, &q.serving.request.Buckets)
		}
	}
	d.pace.perSecond = cmp.Or(int64(p.cfg.FullSyncRate), DefaultFullSyncRate)
	return d
}

// everything dumps and sends connections, those with a master, and what is expected of them.
func (d *servedDump) everything(ctx context.Context) error {
	if err := d.dump(ctx, conntrack.DumpOptions{}); err != nil {
		return err
	}
	for ; len(d.lateOffers) > 0; d.lateOffers = d.lateOffers[min(chunk, len(d.lateOffers)):] {
		for _, o := range d.lateOffers[:min(chunk, len(d.lateOffers))] {
			d.add(o.bucket, d.late[o.at:o.end])
		}
		if err := d.send(ctx); err != nil {
			return err
		}
	}
	return d.dump(ctx, conntrack.DumpOptions{Expectations: true})
}

func (d *servedDump) dump(ctx context.Context, o conntrack.DumpOptions) error {
	o.Chunk = func(int) error { return d.send(ctx) }
	if err := d.p.dumpOwn(ctx, o, d.take); err != nil {
		return err
	}
	return d.send(ctx)
}

// take keeps what somebody wants of a piece of the dump.
func (d *servedDump) take(_ int64, rs []record.Record, ids []record.Identity) error {
	for i, r := range rs {
		everybodys := r.Table == record.TableExpectations && !d.p.share.on
		bucket := ids[i].Bucket()
		if d.p.held.Has(ids[i].Key) || !everybodys && !d.wanted.Has(bucket) {
			continue
		}
		if everybodys {
			bucket = -1
		}
		if len(d.late) < lateMost && r.HasMaster() {
			at := len(d.late)
			d.late = r.Append(d.late)
			d.lateOffers = append(d.lateOffers, offered{bucket, at, len(d.late)})
			continue
		}
		at := len(d.buf)
		d.buf = r.Append(d.buf)
		d.offers = append(d.offers, offered{bucket, at, len(d.buf)})
	}
	return nil
}

func (d *servedDump) add(bucket int, r []byte) {
	at := len(d.buf)
	d.buf = append(d.buf, r...)
	d.offers = append(d.offers, offered{bucket, at, len(d.buf)})
}

// send sends what was taken, and waits for as long as the pace demands.
func (d *servedDump) send(ctx context.Context) error {
	p := d.p
	for _, o := range d.offers {
		if err := p.offer(ctx, d.list, o.bucket, d.buf[o.at:o.end], p.jobs.roomFor); err != nil {
			return err
		}
	}
	now := boottime()
	wait := d.pace.take(now, len(d.offers))
	d.offers, d.buf = d.offers[:0], d.buf[:0]
	p.mu.Lock()
	p.transmit(now)
	p.rearm(now)
	p.mu.Unlock()
	return pause(ctx, wait)
}

// endServing tells those that were served that this was all, or that it failed.
func (p *Plane) endServing(err error) {
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
