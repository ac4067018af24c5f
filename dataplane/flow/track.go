// SPDX-License-Identifier: Apache-2.0

package flow

// maxSpan bounds windows, and what receivers hold, in batches.
const maxSpan = 1 << 14

// slot says how one batch under way to a receiver fares.
type slot struct {
	sent  int64 // when it was sent last
	tries uint8 // how often, stops at 255
	acked bool
	lost  bool // to be sent again
	asked bool // because the receiver asked
}

// track is one receiver's cursor over a log: what it was sent, what it has, and what it must be sent again. It decides which sequence
// goes next and when; the batches themselves are the log's.
//
//	        una             resend              end           log.next
//	acked    |  acked or not  | lost ones from here |  not yet sent |
type track struct {
	una, end uint64
	resend   uint64 // no lost one is below
	window   int    // the most that may be under way
	cwnd     int    // how many may be now: falls with every time-out, grows with every acknowledgement
	flight   int    // sent, neither acknowledged nor lost
	slots    []slot // by sequence modulo its length, a power of two
	rtt      rtt
	timer    int64 // when what is under way is overdue, or never
	progress int64 // when it last acknowledged anything new, or had nothing to acknowledge
}

// never is a time that does not come.
const never = int64(1<<63 - 1)

func newTrack(window int) track {
	n := 2 * minWindow
	for n < window {
		n *= 2
	}
	return track{una: 1, end: 1, resend: 1, window: window, cwnd: window, slots: make([]slot, n), timer: never}
}

// restart begins at seq, with nothing under way.
func (t *track) restart(now int64, seq uint64) {
	t.una, t.end, t.resend = seq, seq, seq
	t.cwnd, t.flight, t.timer = t.window, 0, never
	t.progress = now
	t.rtt.backoff = 0
}

func (t *track) at(seq uint64) *slot { return &t.slots[seq&uint64(len(t.slots)-1)] }

// room says whether a batch never sent may go out now, if there is one.
func (t *track) room() bool {
	return t.flight < t.cwnd && t.end-t.una < uint64(t.window)
}

// again returns the lowest lost sequence, if one may go out now.
func (t *track) again() (uint64, bool) {
	if t.flight >= t.cwnd {
		return 0, false
	}
	t.resend = max(t.resend, t.una)
	for ; t.resend < t.end; t.resend++ {
		if s := t.at(t.resend); s.lost && !s.acked {
			return t.resend, true
		}
	}
	return 0, false
}

// sent notes that seq goes out: what again returned, or end.
func (t *track) sent(now int64, seq uint64) (s slot) {
	p := t.at(seq)
	if seq == t.end {
		if t.una == t.end {
			t.progress = now
		}
		*p = slot{}
		t.end++
	}
	s = *p
	p.sent, p.lost, p.asked = now, false, false
	p.tries = min(p.tries, 254) + 1
	t.flight++
	if t.timer == never {
		t.timer = now + t.rtt.timeout()
	}
	return s
}

// acked takes what a receiver has. It returns how many of the batches that is news for; ok is false if it has what was never sent.
func (t *track) acked(now int64, next uint64, ranges []Range) (news int, ok bool) {
	if next > t.end || next == 0 {
		return 0, false
	}
	for _, r := range ranges {
		if r.First > r.Last || r.Last >= t.end {
			return 0, false
		}
	}
	if next > t.una {
		news += t.have(now, t.una, next-1)
	}
	for _, r := range ranges {
		if r.Last >= t.una {
			news += t.have(now, max(r.First, t.una), r.Last)
		}
	}
	if news == 0 {
		return 0, true
	}
	t.progress = now
	t.rtt.backoff = 0
	t.cwnd = min(t.window, t.cwnd+news)
	una := t.una
	for t.una < t.end && t.at(t.una).acked {
		t.una++
	}
	if t.una > una {
		t.timer = never
		if t.flight > 0 {
			t.timer = now + t.rtt.timeout()
		}
	}
	return news, true
}

// have marks first..last, all of which were sent and none is below una.
func (t *track) have(now int64, first, last uint64) (news int) {
	for seq := first; seq <= last; seq++ {
		s := t.at(seq)
		if s.acked {
			continue
		}
		s.acked = true
		news++
		if !s.lost {
			t.flight--
		}
		// Of what was sent twice nobody knows which one is acknowledged (Karn).
		if s.tries == 1 {
			t.rtt.measured(now - s.sent)
		}
	}
	return news
}

// requested takes a receiver's request. It returns how many batches will go out again because of it; ok is false if it asks for what was
// never sent.
func (t *track) requested(now int64, missing []Range) (again int, ok bool) {
	for _, r := range missing {
		if r.First > r.Last || r.Last >= t.end {
			return 0, false
		}
	}
	for _, r := range missing {
		for seq := max(r.First, t.una); seq <= r.Last; seq++ {
			s := t.at(seq)
			if s.acked || s.lost || (s.tries > 1 && now-s.sent < max(againAfter, t.rtt.smooth)) {
				continue
			}
			t.lose(seq)
			s.asked = true
			again++
		}
	}
	return again, true
}

func (t *track) lose(seq uint64) {
	t.at(seq).lost = true
	t.flight--
	t.resend = min(t.resend, seq)
}

// tick looks whether what is under way is overdue, and has it sent again.
func (t *track) tick(now int64) {
	if now < t.timer {
		return
	}
	rto, first, overdue := t.rtt.timeout(), never, false
	for seq := t.una; seq < t.end; seq++ {
		s := t.at(seq)
		switch {
		case s.acked || s.lost:
		case now-s.sent >= rto:
			t.lose(seq)
			overdue = true
		default:
			first = min(first, s.sent)
		}
	}
	if overdue {
		t.cwnd = max(minWindow, t.cwnd/2)
		t.rtt.backoff++
	}
	t.timer = never
	if first != never {
		t.timer = first + t.rtt.timeout()
	}
}

// rtt estimates the time from a batch to its acknowledgement (RFC 6298).
type rtt struct {
	smooth, variance int64 // zero before the first measurement
	backoff          uint8 // time-outs since the last acknowledgement
}

func (r *rtt) measured(d int64) {
	switch {
	case d < 0:
	case r.smooth == 0:
		r.smooth, r.variance = max(d, 1), d/2
	default:
		r.variance += (max(d-r.smooth, r.smooth-d) - r.variance) / 4
		r.smooth += (d - r.smooth) / 8
	}
}

func (r *rtt) timeout() int64 {
	rto := firstRTO
	if r.smooth != 0 {
		rto = max(minRTO, r.smooth+4*r.variance)
	}
	return min(maxRTO, rto<<min(r.backoff, 8))
}
