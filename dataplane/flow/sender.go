// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"cmp"
	"fmt"
	"slices"
)

// Sender is the sending end of the delta lane, for all peers of one member. Create it with NewSender; it is not safe for concurrent use.
//
// Its caller gives it items ([Sender.Add]) and what peers answer ([Sender.Acked], [Sender.Requested]). After each lot of either, and when
// [Sender.Wake] is due, it calls [Sender.Next] until there is nothing more to send, and then reads [Sender.Events]. Answers should be given to it
// before it is asked what to send, so that nobody is evicted for an answer that waits in a socket.
type Sender struct {
	cfg    SenderConfig
	queue  queue
	log    log
	peers  []*peer // by number
	turn   int     // who is served first
	hurry  uint64  // the number of the last entry that does not wait for company
	asked  int64   // when Next was called last
	lenity int64   // nobody is evicted for being late before
	// silence: something was dropped because nobody was there, and so has no sequence that a peer could miss.
	silence bool
	events  []Event
	n       SenderCounters
}

// NewSender returns a sender without peers. The error wraps ErrConfig.
func NewSender(cfg SenderConfig) (*Sender, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	s := &Sender{cfg: cfg, log: newLog(cfg.Payload)}
	s.queue = newQueue(cfg, &s.n)
	return s, nil
}

// Log returns the log's number, as configured.
func (s *Sender) Log() uint64 { return s.cfg.Log }

// Add takes an item, whose data it copies. While no peer is there that is not evicted the item is dropped: whoever comes later needs a
// full sync or a repair anyway. Errors: ErrTooLong, ErrEmpty, ErrClass; the item is then not taken.
func (s *Sender) Add(now int64, it Item) error {
	switch {
	case it.Class < News || it.Class > Mark:
		s.n.Refused++
		return fmt.Errorf("%w: %v", ErrClass, it.Class)
	case len(it.Data) == 0:
		s.n.Refused++
		return ErrEmpty
	case len(it.Data) > s.cfg.Payload:
		s.n.Refused++
		return fmt.Errorf("%w: %d bytes, a batch carries %d", ErrTooLong, len(it.Data), s.cfg.Payload)
	}
	s.n.Added++
	if !s.heard() {
		s.n.Unheard++
		s.silence = true
		return nil
	}
	s.queue.tight = s.held() > s.cfg.Bytes/4*3
	s.queue.add(now, it)
	held := s.held()
	s.n.PeakBytes = max(s.n.PeakBytes, held)
	if held > s.cfg.Bytes {
		s.relieve(now)
	}
	s.n.PeakItems = max(s.n.PeakItems, s.queue.items)
	return nil
}

// Held returns how many bytes are held, waiting or unacknowledged: what SenderConfig.Bytes bounds.
func (s *Sender) Held() int { return s.held() }

// Queued returns how many items wait to be batched.
func (s *Sender) Queued() int { return s.queue.items }

// held is what the bound of memory is about.
func (s *Sender) held() int { return s.queue.cost() + s.log.bytes + s.log.len()*batchCost }

// batchCost is what a batch costs besides its payload, in bytes: itself, and some of the room that is left in it. It is less than what an item
// costs while it waits, so that making batches never needs more memory.
const batchCost = 128

// heard says whether there is a peer that is not evicted.
func (s *Sender) heard() bool {
	return slices.ContainsFunc(s.peers, func(p *peer) bool { return !p.evicted })
}

// KeepDeletes says whether deletions are sent even if the creation was not sent yet. It must be on while a peer is sent keys in any other way
// (a full sync, a repair), from before the table is read until after the last of it was sent: what that way told a peer of, only a
// deletion takes away again.
func (s *Sender) KeepDeletes(on bool) { s.queue.setKeepDeletes(on) }

// SetPacking says whether batches that are made from now on are laid out by the configured Packer, which is off at first. Batches are the same for all
// peers, so it must be off before a peer is added that does not know the layout.
func (s *Sender) SetPacking(on bool) { s.queue.packing = on && s.cfg.Packer != nil }

// Flush has everything added so far sent as soon as peers have room, without waiting for company.
func (s *Sender) Flush() { s.hurry = s.queue.number }

// Position makes batches of everything that waits, whether peers have room or not, and returns the sequence of the last: a receiver that was
// handed out this one has everything added before. It is 0 while there never was a batch.
func (s *Sender) Position(now int64) uint64 {
	for s.queue.items > 0 {
		s.cut(now)
	}
	return s.Newest()
}

// Newest returns the sequence of the last batch made, 0 if there is none.
func (s *Sender) Newest() uint64 { return s.log.next - 1 }

// Settled says whether the peer has acknowledged everything that was added. It is false for one that is evicted, not known, or has not
// answered since it joined.
func (s *Sender) Settled(id uint8) bool {
	p := s.peer(id)
	return p != nil && !p.evicted && p.confirmed() && p.una == s.log.next && s.queue.items == 0
}

// cut makes a batch of what waits.
func (s *Sender) cut(now int64) {
	payload, items := s.queue.take(s.log.buffer(), s.cfg.Payload)
	s.log.append(batch{payload, items, now})
	s.n.Batches++
	s.n.BatchedItems += uint64(items)
	s.n.BatchedBytes += uint64(len(payload))
	s.n.PeakBatches = max(s.n.PeakBatches, s.log.len())
	s.n.PeakBytes = max(s.n.PeakBytes, s.held())
}

// ripeAt is when what waits becomes a batch, if a peer has room: at once if it fills one, or is to hurry.
func (s *Sender) ripeAt() int64 {
	q := &s.queue
	switch {
	case q.items == 0:
		return never
	case q.bytes >= s.cfg.Payload || q.entries[q.entries[0].next].number <= s.hurry:
		return 0
	}
	return q.oldest() + s.cfg.BatchDelay
}

// Next returns a batch to send to a peer; ok is false if there is none now. It is to be called until then. The payload is the sender's: it is
// good until the next call of any method.
func (s *Sender) Next(now int64) (id uint8, b Batch, ok bool) {
	s.watch(now)
	for range s.peers {
		if s.turn >= len(s.peers) {
			s.turn = 0
		}
		p := s.peers[s.turn]
		if b, ok := s.nextFor(now, p); ok {
			return p.id, b, true
		}
		s.turn++
	}
	return 0, Batch{}, false
}

func (s *Sender) nextFor(now int64, p *peer) (Batch, bool) {
	b := Batch{Lane: LaneDelta, Log: s.cfg.Log, Floor: p.una}
	if p.evicted {
		b.Floor = s.log.next
	} else {
		seq, ok := p.again()
		if !ok && p.room() {
			if p.end == s.log.next && s.ripeAt() <= now {
				s.cut(now)
			}
			seq, ok = p.end, p.end < s.log.next
		}
		if ok {
			s.n.count(p.sent(now, seq))
			b.Sequence, b.Payload = seq, s.log.at(seq).payload
			return b, true
		}
	}
	if now < p.announce {
		return Batch{}, false
	}
	p.announced(now, b.Floor)
	s.n.Announcements++
	return b, true
}

// Wake returns when Next has something to do again, if nothing happens before: a time, perhaps past, or math.MaxInt64.
func (s *Sender) Wake() int64 {
	at := never
	ripe := s.ripeAt()
	for _, p := range s.peers {
		at = min(at, p.announce)
		if p.evicted {
			continue
		}
		at = min(at, p.timer, s.overdue(p))
		if p.room() {
			if p.end < s.log.next {
				return 0
			}
			at = min(at, ripe)
		}
		if _, ok := p.again(); ok {
			return 0
		}
	}
	return at
}

// Acked takes an acknowledgement that came in a frame of the peer's given incarnation. An evicted peer that acknowledges the floor that it was
// told returns.
func (s *Sender) Acked(now int64, id uint8, incarnation uint64, a Ack) Verdict {
	p := s.peer(id)
	if p == nil || p.incarnation != incarnation || a.Log != s.cfg.Log || a.Lane != LaneDelta {
		s.n.Stale++
		return Stale
	}
	if p.evicted {
		return s.ackedEvicted(now, p, a)
	}
	news, ok := p.acked(now, a.Next, a.Ranges)
	if !ok {
		s.n.Malformed++
		return Malformed
	}
	if a.Next >= p.told {
		p.announce = never
	}
	s.n.Acks++
	if news == 0 {
		return Duplicate
	}
	s.trim()
	return Taken
}

// Requested takes a request that came in a frame of the peer's given incarnation.
func (s *Sender) Requested(now int64, id uint8, incarnation uint64, g Gap) Verdict {
	p := s.peer(id)
	if p == nil || p.evicted || p.incarnation != incarnation || g.Log != s.cfg.Log || g.Lane != LaneDelta {
		s.n.Stale++
		return Stale
	}
	again, ok := p.requested(now, g.Missing)
	if !ok {
		s.n.Malformed++
		return Malformed
	}
	s.n.Gaps++
	if again == 0 {
		return Duplicate
	}
	return Taken
}

// trim forgets what every peer that counts has.
func (s *Sender) trim() {
	least := s.log.next
	for _, p := range s.peers {
		if !p.evicted {
			least = min(least, p.una)
		}
	}
	s.log.trim(least)
}

// Counters returns what was counted since the sender was made, or ResetCounters called.
func (s *Sender) Counters() SenderCounters { return s.n }

// ResetCounters sets all counters to zero.
func (s *Sender) ResetCounters() { s.n = SenderCounters{} }

func (s *Sender) peer(id uint8) *peer {
	if i, ok := s.find(id); ok {
		return s.peers[i]
	}
	return nil
}

func (s *Sender) find(id uint8) (int, bool) {
	return slices.BinarySearchFunc(s.peers, id, func(p *peer, id uint8) int { return cmp.Compare(p.id, id) })
}
