// SPDX-License-Identifier: Apache-2.0

package flow

import "fmt"

// BulkSender is the sending end of one session on the bulk lane. Create it with NewBulkSender; it is not safe for concurrent use.
//
// It takes items only as far as the receiver's credit goes, and no more than two windows ahead of what is acknowledged ([BulkSender.Offer]): what
// either end holds is bounded, however large the table. An outage costs time only: it goes on where it was. Nobody is evicted here; how long to wait for a silent receiver is the caller's question.
type BulkSender struct {
	cfg BulkConfig
	log log
	track
	open     []byte // the batch that is being filled
	layout   layout // of it
	raw      []byte // its items as they were, for the packer
	openedAt int64
	flushed  bool
	closed   bool
	offered  uint64 // bytes taken
	limit    uint64 // and how many may be
	announce int64  // when the receiver is asked for a sign next, or never
	interval int64
	n        SenderCounters
}

// NewBulkSender returns a sender that has no credit yet, and asks for it. The error wraps ErrConfig.
func NewBulkSender(now int64, cfg BulkConfig) (*BulkSender, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	s := &BulkSender{cfg: cfg, log: newLog(cfg.Payload), track: newTrack(cfg.Window), announce: now, interval: announceFast}
	s.progress = now
	return s, nil
}

// Session returns the session's number, as configured.
func (s *BulkSender) Session() uint64 { return s.cfg.Session }

// Offer takes an item's data, and copies it, if the receiver's credit and the window allow; false: they do not, try
// again after Credit or Acked. Errors: ErrTooLong, ErrEmpty.
// After Close it takes nothing.
func (s *BulkSender) Offer(now int64, data []byte) (bool, error) {
	switch {
	case len(data) == 0:
		s.n.Refused++
		return false, ErrEmpty
	case len(data) > s.cfg.Payload:
		s.n.Refused++
		return false, fmt.Errorf("%w: %d bytes, a batch carries %d", ErrTooLong, len(data), s.cfg.Payload)
	case s.closed:
		return false, nil
	case s.log.len() >= 2*s.cfg.Window:
		return false, nil // acknowledgements are late or lost: they come, or are asked for
	case s.offered+uint64(len(data)) > s.limit:
		s.starved(now)
		return false, nil
	}
	if !s.add(now, data) {
		s.cut(now)
		s.add(now, data)
	}
	s.n.Added++
	return true, nil
}

// add adds an item to the batch that is being filled, if it fits.
func (s *BulkSender) add(now int64, data []byte) bool {
	if s.layout.items == 0 {
		s.open, s.openedAt, s.layout = s.log.buffer(), now, layout{packer: s.cfg.Packer}
	}
	if s.cfg.Packer != nil {
		// The caller goes on to use its memory for the next item; the packer may want to look at this one again.
		n := len(s.raw)
		if s.layout.items == 0 {
			n = 0
		}
		s.raw = append(s.raw[:n], data...)
		data = s.raw[n:]
	}
	before := len(s.open)
	var ok bool
	s.open, ok = s.layout.add(s.open, data, s.cfg.Payload)
	s.offered += uint64(len(s.open) - before)
	return ok
}

// Room returns how many more bytes Offer takes now.
func (s *BulkSender) Room() uint64 {
	if s.closed || s.log.len() >= 2*s.cfg.Window {
		return 0
	}
	return s.limit - s.offered
}

// Fits reports whether Offer takes so many more bytes now. If it is credit that is short, the receiver is asked for it, and its silence
// counts from now on (see [BulkSender.Silent]), as if they had been offered.
func (s *BulkSender) Fits(now int64, bytes uint64) bool {
	if !s.closed && s.offered+bytes > s.limit {
		s.starved(now)
	}
	return s.Room() >= bytes
}

// starved asks for credit soon, unless that is under way.
func (s *BulkSender) starved(now int64) {
	if s.announce != never {
		return
	}
	s.announce, s.interval = now+announceFast, announceFast
	if s.una == s.log.next {
		s.progress = now // it owed nothing before
	}
}

// Flush has what was taken so far sent without waiting for more.
func (s *BulkSender) Flush() { s.flushed = s.layout.items > 0 }

// Close says that nothing more is offered.
func (s *BulkSender) Close() { s.closed = true }

// Done says whether the session is closed and everything acknowledged.
func (s *BulkSender) Done() bool { return s.closed && s.layout.items == 0 && s.una == s.log.next }

// Silent returns for how long the receiver has acknowledged nothing new while something waited for it, or for its credit, in ns.
func (s *BulkSender) Silent(now int64) int64 {
	if s.una == s.log.next && s.announce == never {
		return 0
	}
	return max(0, now-s.progress)
}

func (s *BulkSender) cut(now int64) {
	if s.layout.items == 0 {
		return
	}
	s.log.append(batch{s.open, s.layout.items, now})
	s.n.Batches++
	s.n.BatchedItems += uint64(s.layout.items)
	s.n.BatchedBytes += uint64(len(s.open))
	s.n.PeakBatches = max(s.n.PeakBatches, s.log.len())
	s.n.PeakBytes = max(s.n.PeakBytes, s.log.bytes)
	s.open, s.layout, s.flushed = nil, layout{}, false
}

// ripeAt is when the batch that is being filled goes as it is.
func (s *BulkSender) ripeAt() int64 {
	switch {
	case s.layout.items == 0:
		return never
	case s.flushed || s.closed:
		return 0
	}
	return s.openedAt + DefaultBatchDelay
}

// Next returns a batch to send; ok is false if there is none now. It is to be called until then. The payload is the sender's: it is good until the
// next call of any method.
func (s *BulkSender) Next(now int64) (b Batch, ok bool) {
	s.tick(now)
	b = Batch{Lane: LaneBulk, Log: s.cfg.Session, Floor: s.una}
	seq, ok := s.again()
	if !ok && s.room() {
		if s.end == s.log.next && s.ripeAt() <= now {
			s.cut(now)
		}
		seq, ok = s.end, s.end < s.log.next
	}
	switch {
	case ok:
		sl := s.sent(now, seq)
		s.n.count(sl)
		b.Sequence, b.Payload = seq, s.log.at(seq).payload
		return b, true
	case now < s.announce:
		return Batch{}, false
	}
	s.announce = now + s.interval
	s.interval = min(2*s.interval, announceMax)
	s.n.Announcements++
	return b, true
}

// Wake returns when Next has something to do again, if nothing happens before: a time, perhaps past, or math.MaxInt64.
func (s *BulkSender) Wake() int64 {
	at := min(s.announce, s.timer)
	if s.room() {
		if s.end < s.log.next {
			return 0
		}
		at = min(at, s.ripeAt())
	}
	if _, ok := s.again(); ok {
		return 0
	}
	return at
}

// Acked takes an acknowledgement.
func (s *BulkSender) Acked(now int64, a Ack) Verdict {
	if a.Log != s.cfg.Session || a.Lane != LaneBulk {
		s.n.Stale++
		return Stale
	}
	news, ok := s.acked(now, a.Next, a.Ranges)
	if !ok {
		s.n.Malformed++
		return Malformed
	}
	s.n.Acks++
	if news == 0 {
		return Duplicate
	}
	s.log.trim(s.una)
	return Taken
}

// Requested takes a request.
func (s *BulkSender) Requested(now int64, g Gap) Verdict {
	if g.Log != s.cfg.Session || g.Lane != LaneBulk {
		s.n.Stale++
		return Stale
	}
	again, ok := s.requested(now, g.Missing)
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

// Credit takes a credit. One that allows no more than the last is a duplicate.
func (s *BulkSender) Credit(now int64, c Credit) Verdict {
	switch {
	case c.Log != s.cfg.Session:
		s.n.Stale++
		return Stale
	case c.Limit <= s.limit:
		return Duplicate
	}
	s.limit = c.Limit
	s.announce = never
	s.progress = now
	return Taken
}

// Counters returns what was counted since the sender was made.
func (s *BulkSender) Counters() SenderCounters { return s.n }
