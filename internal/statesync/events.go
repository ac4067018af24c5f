// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/ccp/segment"
	"github.com/holdfast-project/holdfast/dataplane/conntrack"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
	"github.com/holdfast-project/holdfast/dataplane/flow"
)

// How the reader gathers events. What is alone goes at once; the more there are, the longer it waits for company, so that what waking up,
// reading and sealing cost is shared.
const (
	// gather is how many events a wake-up should bring.
	gather = 64
	// gatherMost is how long in ns to wait for them at most: with what waking up takes, an event leaves within 1 ms. gatherLeast is
	// below what it is not worth it.
	gatherMost  = 800e3
	gatherLeast = 50e3
	// framesWait is how long in ns to wait for frames.
	framesWait = 1e6
	// rateFor is over what time in ns the rate of events is measured.
	rateFor = 10e6
)

// readEvents takes what the kernel says of its table.
func (p *Plane) readEvents(ctx context.Context) error {
	batch := conntrack.NewBatch()
	p.eventBuf = make([]byte, 0, 2*record.MaxLen)
	take := p.event
	for {
		err := p.events.Read(batch)
		began := boottime()
		switch {
		case errors.Is(err, os.ErrClosed):
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			if err := p.events.SetReadDeadline(time.Time{}); err != nil {
				return nil //nolint:nilerr // closed
			}
		case err != nil && !errors.Is(err, conntrack.ErrLost):
			return fmt.Errorf("statesync: %w", err)
		}
		p.mu.Lock()
		if errors.Is(err, conntrack.ErrLost) {
			p.lostEvents(began)
		}
		p.now = began
		batch.Each(take)
		if batch.Len() > 0 && p.tells(began) {
			p.sender.Flush()
			p.transmit(began)
		}
		p.looked()
		wait := p.rates.events(began, batch.Len())
		p.rearm(began)
		p.mu.Unlock()
		if wait -= boottime() - began; wait > gatherLeast && ctx.Err() == nil {
			nap(wait)
		}
	}
}

// nap waits for ns nanoseconds. The runtime's timers are in whole milliseconds.
func nap(ns int64) {
	ts := unix.NsecToTimespec(ns)
	_ = unix.Nanosleep(&ts, nil)
}

// kinds are the events that matter to the role. Of a copy's table only the ends do: its own kernel begins no connections while another
// member serves, and hearing of what it injects, only to have that filtered, would make each record cost half as much again.
func (p *Plane) kinds() conntrack.Kinds {
	if p.role == RoleOwner || p.share.open() {
		return conntrack.All
	}
	return conntrack.Ended
}

// hear listens to the events that matter to the role.
func (p *Plane) hear() {
	if p.events == nil {
		return
	}
	if err := p.events.Hear(p.kinds()); err != nil && !errors.Is(err, os.ErrClosed) {
		p.log.Warn("not all events of the connection table are heard", "error", err)
		p.doubtTally()
	}
}

// lostEvents notes that the kernel had more events than its buffer holds.
func (p *Plane) lostEvents(now int64) {
	if now-p.lost > 1e9 {
		p.log.Warn("events of the connection table were lost: the table is read anew", "buffer", p.cfg.Buffer)
	}
	p.lost = now
	p.stats.EventsLost++
	for _, a := range p.askers {
		a.lost(false)
	}
	p.lossy = p.lossy || p.role == RoleOwner
	p.doubtTally()
}

// tellLosses has the copies read the whole table again, once it can be told what it holds: of what was lost, a changed state, mark or label
// shows in no tally.
func (p *Plane) tellLosses(now int64) {
	if !p.lossy {
		return
	}
	p.lossy = false
	if p.role == RoleOwner {
		p.losses++
		p.tellAll(now)
	}
}

// looked tells the dumper, if it waits for that, that all events have been read.
func (p *Plane) looked() {
	if len(p.drain) == 0 {
		return
	}
	if s, err := p.events.Stats(); err == nil && s.Queued > 0 {
		return
	}
	for _, done := range p.drain {
		close(done)
	}
	p.drain = nil
}

// event takes one message, at p.now.
func (p *Plane) event(m conntrack.Message) {
	p.stats.Events++
	r, err := record.FromMessage(p.eventBuf[:0], m.Type, m.Flags, m.Payload)
	if err != nil {
		p.skipped[record.SkipMalformed]++
		p.translated.since.doubt(m)
		p.translated.review(p.changes)
		return
	}
	p.translated.since.meet(r)
	p.translated.review(p.changes)
	id, v := p.judge.Examine(p.hasher, r)
	if v.Skip != record.SkipNone {
		p.skipped[v.Skip]++
		return
	}
	if v.Blind {
		p.answerEvent(r)
	}
	p.eventOf(r, id, v)
}

// eventOf takes an event of something that is synchronised.
func (p *Plane) eventOf(r record.Record, id record.Identity, v record.Verdict) {
	if r.Table == record.TableExpectations {
		p.expectation(r, id)
		return
	}
	if !p.owns(id.Bucket()) && (!p.carries(p.now) || r.Op == record.OpDelete || r.Op == record.OpNew && v.After > 0) {
		// A copy's own events keep its tally right. The owner's will say what is to be. A member that has just stepped back still
		// forwards what was on its way, and one that shares the load may meet what is another's: of what begins and changes there the
		// others hear, but not of what ends, which for others may go on, nor of what would have to be held back.
		switch r.Op {
		case record.OpNew:
			p.tally.Add(id)
		case record.OpDelete:
			if p.held.Drop(id.Key) { // it began in a bucket that was this member's own by the rules of before
				return
			}
			p.tally.Remove(id)
			if a := p.askerOf(id.Bucket()); a != nil {
				a.lost(false) // it went by itself, or was flushed: the next difference is real
			}
		}
		return
	}
	p.ownEvent(r, id, v.After)
}

// tells says whether others are to hear of anything that this member's kernel says.
func (p *Plane) tells(now int64) bool { return p.role == RoleOwner || p.carries(now) }

// carries says whether this member may meet packets of connections that are not its own.
func (p *Plane) carries(now int64) bool { return p.share.open() || now < p.lingerUntil }

// ownEvent is an event of the owner's: others are to hear of it.
func (p *Plane) ownEvent(r record.Record, id record.Identity, after time.Duration) {
	p.own.add(p.now, id.Key)
	if p.share.on {
		p.touch(id.Key) // it is newer than what others list
		if !p.owns(id.Bucket()) {
			p.sweepLater(nil) // its next packets come to its owner, and here it must not expire
		}
	}
	class := flow.Change
	switch r.Op {
	case record.OpNew:
		if after == 0 && p.comes(id.Bucket()) {
			after = comesWithin
		}
		if after > 0 {
			p.held.Put(id.Key, id.Print, p.now+int64(after), p.wire(r))
			return
		}
		p.tally.Add(id)
		p.stats.News++
		class = flow.News
	case record.OpDelete:
		p.masters.gone(id.Key)
		if p.held.Drop(id.Key) {
			return
		}
		p.tally.Remove(id)
		p.stats.Deletes++
		class = flow.Delete
	default:
		if p.held.Has(id.Key) {
			p.held.Update(id.Key, p.wire(r))
			return
		}
		p.stats.Updates++
	}
	p.send(class, id.Key, p.wire(r))
}

// expectation is an event of an expectation; they have time-outs of their own everywhere and are not in the tally.
func (p *Plane) expectation(r record.Record, id record.Identity) {
	class := flow.News
	if r.Op == record.OpDelete {
		class = flow.Delete
		p.expected--
	} else {
		p.expected++
	}
	if p.role != RoleOwner && !p.share.open() || r.Op == record.OpDelete && !p.owns(id.Bucket()) {
		return // a copy may time out by itself
	}
	p.send(class, id.Key, p.wire(r))
	if r.Op == record.OpNew {
		p.masters.want(p.now, r)
	}
}

// wire is the record as it travels, in memory that the next call reuses.
func (p *Plane) wire(r record.Record) []byte {
	p.wireBuf = r.Append(p.wireBuf[:0])
	return p.wireBuf
}

// send adds a record to the delta lane.
func (p *Plane) send(class flow.Class, key uint64, data []byte) {
	p.stats.Records++
	p.rates.recorded++
	if err := p.sender.Add(p.now, flow.Item{Key: key, Class: class, Data: data}); err != nil {
		p.log.Error("a record that cannot be sent", "error", err)
	}
}

// matured sends the connections that were held back long enough.
func (p *Plane) matured(now int64) {
	for {
		e := p.held.Due(now)
		if e == nil {
			return
		}
		if p.role == RoleOwner || p.share.on {
			p.release(now, e)
		}
	}
}

// release sends a connection that was held back.
func (p *Plane) release(now int64, e *heldEntry) {
	p.now = now
	p.tally.Add(record.Identity{Key: e.key, Print: e.print})
	p.stats.News++
	e.data[3] = byte(record.OpNew)
	p.send(flow.News, e.key, e.data)
	p.sender.Flush()
}

// ownKeys are the connections that a member's own events were about in the last seconds: what others say of them, if they are its own, is
// older, or a mistake. In mode ha they are noted in the first seconds of an owner; in load sharing (lasting) all the time, those of the
// current turn and of the one before it.
type ownKeys struct {
	until        int64 // of the turn
	keys, before keySet
	lasting      bool
}

func (o *ownKeys) add(now int64, key uint64) {
	o.turn(now)
	if o.lasting && o.until == 0 {
		o.until = now + linger
	}
	if now < o.until {
		o.keys.Add(key)
	}
}

// turn forgets what is old.
func (o *ownKeys) turn(now int64) {
	if o.until == 0 || now < o.until {
		return
	}
	o.before, o.keys, o.until = o.keys, keySet{}, 0
	if o.lasting && o.before.Len() > 0 {
		o.until = now + linger
	} else {
		o.before = keySet{}
	}
}

// wake is when turn has something to do in load sharing.
func (o *ownKeys) wake() int64 {
	if !o.lasting || o.until == 0 {
		return never
	}
	return o.until
}

func (o *ownKeys) has(key uint64) bool { return o.until != 0 && (o.keys.Has(key) || o.before.Has(key)) }

func (o *ownKeys) clear() { o.keys, o.before = keySet{}, keySet{} }

// drained are the connections that changes were about which a new owner applied though others before them had not come: end is the batch of
// the last. What comes of those later is older.
type drained struct {
	end  uint64
	keys keySet
}

// newer says that a batch is about what something later was about that was applied already.
func (d *drained) newer(seq, key uint64) bool { return seq < d.end && d.keys.Has(key) }

// rates are measured over the last second, and over the last moment for the reader.
type rates struct {
	since            int64
	count            int64
	perSecond        int64
	recorded         uint64
	injected         uint64
	injectedEver     uint64
	at               int64
	records, injects float64
}

// measure counts n at now.
func (r *rates) measure(now int64, n int) {
	r.count += int64(n)
	if d := now - r.since; d >= rateFor {
		r.perSecond = r.count * 1e9 / d
		r.count, r.since = 0, now
	}
}

// frames counts n frames at now and returns for how many ns to wait for more: while they are few, or so many that they fill the calls
// that read them, for none.
func (r *rates) frames(now int64, n int) int64 {
	r.measure(now, n)
	if r.perSecond < 1000 || n > segment.BatchLen/4 {
		return 0
	}
	return framesWait
}

// events counts n events at now and returns for how many ns to wait for more.
func (r *rates) events(now int64, n int) int64 {
	r.measure(now, n)
	// Below a thousand a second every one goes by itself: it costs little in all.
	if r.perSecond < 1000 || n == 0 {
		return 0
	}
	return min(gather*1e9/r.perSecond, gatherMost)
}

// second takes stock, once a second at most.
func (r *rates) second(now int64) {
	d := now - r.at
	if d < 1e9 {
		return
	}
	r.records, r.injects = float64(r.recorded)*1e9/float64(d), float64(r.injected)*1e9/float64(d)
	r.recorded, r.injected, r.at = 0, 0, now
}
