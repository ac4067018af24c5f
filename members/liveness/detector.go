// SPDX-License-Identifier: Apache-2.0

package liveness

import (
	"math"
	"time"
)

// Never is the deadline of something that needs another probe sent before it can happen.
const Never int64 = math.MaxInt64

const (
	// needed is how many probes must have left after the last answered one.
	needed = 3
	// maxMargin bounds how long the last of them is given to be answered; it is probe/5 if that is less.
	maxMargin = 2 * time.Millisecond
	// outstanding is how many probes are remembered. At 3 ms a probe, answers count for 192 ms.
	outstanding = 64
)

type sent struct {
	nonce uint64
	at    int64
	open  bool // sent and not answered yet
}

// Detector watches one peer on one interface. Create it with New; it is not safe for concurrent use, and
// allocates nothing after that.
//
// Read all answers that have arrived before asking Dead or Missed: an answer waiting in a socket is one
// that has not arrived as far as the Detector can tell.
type Detector struct {
	probe, dead, margin int64

	ring [outstanding]sent
	next int // ring position of the next probe

	base     int64 // when the last answered probe was sent, or the first probe of all
	answered int64 // base, but 0 until a probe was answered
	started  bool

	later     [needed]int64 // when the first probes after base were sent, at least probe/2 apart
	laterN    int
	firstOpen int64 // when the first probe after base was sent, 0 if none was
}

// New returns a detector for probes sent every probe interval and the given dead interval.
func New(probe, dead time.Duration) Detector {
	return Detector{probe: int64(probe), dead: int64(dead), margin: int64(min(maxMargin, probe/5))}
}

// Sent notes that a probe with this nonce has really left at now. Probes out of schedule count as well,
// but three that left in one burst count as one.
func (d *Detector) Sent(now int64, nonce uint64) {
	d.ring[d.next] = sent{nonce: nonce, at: now, open: true}
	d.next = (d.next + 1) % outstanding
	if !d.started {
		d.started = true
		d.base = now
		return
	}
	d.count(now)
}

// count adds a probe sent after base to those that the rules look at.
func (d *Detector) count(at int64) {
	if at <= d.base {
		return
	}
	if d.firstOpen == 0 {
		d.firstOpen = at
	}
	if d.laterN == needed || (d.laterN > 0 && at-d.later[d.laterN-1] < d.probe/2) {
		return
	}
	d.later[d.laterN] = at
	d.laterN++
}

// Answered notes the answer to a probe. It reports the round trip in nanoseconds, and false if no such
// probe is outstanding: forged, repeated or too late by far.
func (d *Detector) Answered(now int64, nonce uint64) (rtt int64, ok bool) {
	for i := 1; i <= outstanding; i++ { // the newest is the likely one
		s := &d.ring[(d.next+outstanding-i)%outstanding]
		if !s.open || s.nonce != nonce {
			continue
		}
		s.open = false
		if s.at > d.base || d.answered == 0 {
			d.base, d.answered = s.at, s.at
			d.recount()
		}
		return now - s.at, true
	}
	return 0, false
}

// recount collects the probes after base, oldest first.
func (d *Detector) recount() {
	d.laterN, d.firstOpen = 0, 0
	n := 0
	for n < outstanding && d.ring[(d.next+2*outstanding-1-n)%outstanding].at > d.base {
		n++
	}
	for ; n > 0; n-- {
		d.count(d.ring[(d.next+outstanding-n)%outstanding].at)
	}
}

// Dead reports whether the peer is dead on this interface at now.
func (d *Detector) Dead(now int64) bool { return now >= d.Deadline() }

// Missed reports whether the first probe after the last answered one has been out for longer than half a
// probe interval: the first sign of trouble.
func (d *Detector) Missed(now int64) bool { return now >= d.MissedDeadline() }

// Deadline returns when Dead becomes true if nothing is answered: the moment to wake at. It is Never as
// long as more probes have to be sent first.
func (d *Detector) Deadline() int64 {
	if d.laterN < needed {
		return Never
	}
	return max(d.base+d.dead, d.later[needed-1]+d.margin)
}

// MissedDeadline returns when Missed becomes true if nothing is answered, or Never.
func (d *Detector) MissedDeadline() int64 {
	if d.firstOpen == 0 {
		return Never
	}
	return d.firstOpen + d.probe/2
}

// LastAnswered returns when the last answered probe was sent, 0 if none ever was answered.
func (d *Detector) LastAnswered() int64 { return d.answered }
