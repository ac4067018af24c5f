// SPDX-License-Identifier: Apache-2.0

package flow

// place is where the inbox keeps a batch that came before its turn, or notes that it asked for it.
type place struct {
	here    bool
	drained bool   // and handed out already, though something before it is missing
	lent    uint64 // the call that handed payload out last: until the next one it must not be written to
	asked   int64  // when it was asked for last, 0 if it was not
	payload []byte // its capacity is used again
}

// inbox puts the batches of one log in order, remembers what it has and what is missing, and says what to acknowledge and what to ask for. It
// is what both receivers have in common.
type inbox struct {
	lane  Lane
	cfg   ReceiverConfig
	log   uint64
	next  uint64  // what is handed out next
	end   uint64  // one above the highest that is held; next if none is
	held  []place // by sequence modulo its length, a power of two
	count int     // of the batches held
	bytes int     // of their payload
	calls uint64  // of receive and drain
	ready []Batch // what this call hands out

	unsaid int   // batches since the last acknowledgement
	ackAt  int64 // when one is due, or never
	askAt  int64 // when to ask for what is missing, or never
	askEnd uint64
	pause  int64 // how long after a request it is repeated
	slowed int64 // when that was last doubled
	since  int64 // since when something has been missing

	ranges, wanted []Range // of the last Ack and the last Gap
	n              ReceiverCounters
}

func newInbox(lane Lane, cfg ReceiverConfig) inbox {
	n := 1
	for n < cfg.Hold {
		n *= 2
	}
	return inbox{lane: lane, cfg: cfg, held: make([]place, n), ackAt: never, askAt: never}
}

func (x *inbox) at(seq uint64) *place { return &x.held[seq&uint64(len(x.held)-1)] }

// wellFormed says whether a batch makes sense by itself.
func (x *inbox) wellFormed(b Batch) bool {
	if b.Lane != x.lane || b.Log == 0 || b.Floor == 0 || b.Floor > MaxSequence || b.Sequence > MaxSequence {
		return false
	}
	if b.Sequence == 0 {
		return len(b.Payload) == 0
	}
	return b.Floor <= b.Sequence && len(b.Payload) > 0
}

// call begins a call that may hand something out.
func (x *inbox) call() {
	x.calls++
	clear(x.ready)
	x.ready = x.ready[:0]
}

// begin forgets everything and waits for seq of the log.
func (x *inbox) begin(log, seq uint64) {
	for i := range x.held {
		x.held[i].here, x.held[i].drained, x.held[i].asked = false, false, 0
	}
	x.log, x.next, x.end = log, seq, seq
	x.count, x.bytes, x.unsaid = 0, 0, 0
	x.ackAt, x.askAt, x.pause, x.slowed = never, never, askAgain, 0
	x.n.Logs++
}

// take puts a well-formed batch of this log, one with a sequence, where it belongs, and what can be handed out into ready.
func (x *inbox) take(now int64, b Batch) Verdict {
	x.due(now)
	switch {
	case b.Sequence < x.next || (b.Sequence < x.end && x.at(b.Sequence).here):
		x.n.Duplicates++
		return Duplicate
	case b.Sequence-x.next >= uint64(x.cfg.Hold):
		x.n.Beyond++
		return Beyond
	case b.Sequence == x.next:
		x.deliver(b)
		x.follow()
	default:
		x.hold(b)
	}
	x.look(now)
	return Taken
}

// due notes that something is to be acknowledged.
func (x *inbox) due(now int64) {
	if x.unsaid++; x.unsaid >= x.cfg.AckEvery {
		x.ackAt = min(x.ackAt, now)
	} else {
		x.ackAt = min(x.ackAt, now+x.cfg.AckDelay)
	}
}

func (x *inbox) hold(b Batch) {
	p := x.at(b.Sequence)
	if p.lent == x.calls {
		p.payload = nil
	}
	p.here, p.drained, p.asked = true, false, 0
	p.payload = append(p.payload[:0], b.Payload...)
	x.end = max(x.end, b.Sequence+1)
	x.count++
	x.bytes += len(b.Payload)
	x.n.Reordered++
	x.n.PeakHeld = max(x.n.PeakHeld, x.count)
}

// deliver hands out the batch whose turn it is.
func (x *inbox) deliver(b Batch) {
	x.handOut(b)
	x.advance(b.Sequence)
}

func (x *inbox) handOut(b Batch) {
	x.ready = append(x.ready, b)
	x.n.Delivered++
	x.n.Bytes += uint64(len(b.Payload))
}

// advance goes on behind seq, which was handed out.
func (x *inbox) advance(seq uint64) {
	x.at(seq).asked = 0
	x.next = seq + 1
	x.end = max(x.end, x.next)
	x.pause, x.slowed = askAgain, 0
}

// release hands out the held batch seq, which is the next one.
func (x *inbox) release(seq uint64) {
	p := x.at(seq)
	p.here, p.lent = false, x.calls
	x.count--
	x.bytes -= len(p.payload)
	if p.drained {
		p.drained = false
		x.advance(seq)
		return
	}
	x.deliver(Batch{Lane: x.lane, Log: x.log, Sequence: seq, Payload: p.payload})
}

// drain hands out what is held, and leaves it in its place: what is missing before it may still come.
func (x *inbox) drain() (missing uint64) {
	for seq := x.next; x.count > 0 && seq < x.end; seq++ {
		p := x.at(seq)
		switch {
		case !p.here:
			missing++
		case !p.drained:
			p.drained, p.lent = true, x.calls
			x.handOut(Batch{Lane: x.lane, Log: x.log, Sequence: seq, Payload: p.payload})
		}
	}
	return missing
}

// follow hands out what is held without a gap.
func (x *inbox) follow() {
	for x.count > 0 && x.next < x.end && x.at(x.next).here {
		x.release(x.next)
	}
}

// skip goes on from floor: what is held below is handed out, what is missing below never comes. It returns how many that are.
func (x *inbox) skip(floor uint64) (missed uint64) {
	missed = floor - x.next
	for seq := x.next; seq < min(floor, x.end); seq++ {
		if x.at(seq).here {
			x.release(seq)
			missed--
		}
		x.at(seq).asked = 0
	}
	x.next = floor
	x.end = max(x.end, floor)
	x.n.Missed += missed
	x.follow()
	return missed
}

// look notes whether something is missing, and when to ask for it.
func (x *inbox) look(now int64) {
	switch {
	case x.count == 0:
		x.askAt = never
	case x.askAt == never:
		x.n.Gaps++
		x.since = now
		x.askEnd = x.end
		x.askAt = now + x.cfg.Reorder
	case x.askEnd <= x.next:
		// What was missing came; what is missing now has been for a shorter time.
		x.since = now
		x.askEnd = x.end
		x.askAt = now + x.cfg.Reorder
	}
	// What is missing above askEnd gets an allowance of its own once askAt is over.
}

// ack returns what is to be acknowledged now. The ranges are good until the next call.
func (x *inbox) ack(now int64) (Ack, bool) {
	if now < x.ackAt {
		return Ack{}, false
	}
	x.ackAt, x.unsaid = never, 0
	x.ranges = x.ranges[:0]
	for seq := x.next; x.count > 0 && seq < x.end; seq++ {
		if !x.at(seq).here {
			continue
		}
		if n := len(x.ranges); n > 0 && x.ranges[n-1].Last == seq-1 {
			x.ranges[n-1].Last = seq
		} else if n == MaxRanges {
			break
		} else {
			x.ranges = append(x.ranges, Range{seq, seq})
		}
	}
	x.n.Acks++
	return Ack{Lane: x.lane, Log: x.log, Next: x.next, Ranges: x.ranges}, true
}

// gap returns what is to be asked for now: what has been missing for the reordering allowance, and was not asked for lately. The ranges are
// good until the next call.
func (x *inbox) gap(now int64) (Gap, bool) {
	if now < x.askAt {
		return Gap{}, false
	}
	x.wanted = x.wanted[:0]
	again := never // when the first of those asked for already is to be asked for again
	repeat := false
	for seq := x.next; seq < x.askEnd; seq++ {
		p := x.at(seq)
		if p.here {
			continue
		}
		if p.asked != 0 && now-p.asked < x.pause {
			again = min(again, p.asked+x.pause)
			continue
		}
		if n := len(x.wanted); n > 0 && x.wanted[n-1].Last == seq-1 {
			x.wanted[n-1].Last = seq
		} else if n == MaxRanges {
			again = now // the rest in the next request
			break
		} else {
			x.wanted = append(x.wanted, Range{seq, seq})
		}
		repeat = repeat || p.asked != 0
		p.asked = max(now, 1)
	}
	if repeat && now-x.slowed >= x.pause {
		x.pause, x.slowed = min(2*x.pause, askAgainMax), now
	}
	x.askAt = min(again, now+x.pause)
	if x.askEnd < x.end {
		x.askEnd = x.end
		x.askAt = min(x.askAt, now+x.cfg.Reorder)
	}
	if len(x.wanted) == 0 {
		return Gap{}, false
	}
	x.n.Requests++
	return Gap{Lane: x.lane, Log: x.log, Missing: x.wanted}, true
}

func (x *inbox) wake() int64 { return min(x.ackAt, x.askAt) }
