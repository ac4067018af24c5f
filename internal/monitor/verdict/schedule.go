// SPDX-License-Identifier: Apache-2.0

package verdict

// Schedule says when the next check of a monitor is due. Checks begin an interval apart, the first at once; they never overlap, and
// beginnings that were missed are not made up for. An event brings the next check forward, but leaves a gap after the last one, so
// that a storm of events does not become a storm of checks. The zero value is not usable; see NewSchedule. It is not safe for
// concurrent use.
type Schedule struct {
	interval, gap int64
	began, due    int64
	shift         int64
}

// NewSchedule returns a schedule that begins now. shift, below interval, moves all checks but the first: monitors of the same interval
// need not all check in the same moment.
func NewSchedule(now, interval, gap, shift int64) *Schedule {
	return &Schedule{interval: interval, gap: gap, due: now, began: now - interval, shift: shift}
}

// Due is when the next check is to begin.
func (s *Schedule) Due() int64 { return s.due }

// Gap sets the gap that events leave from now on; above the interval it has no effect.
func (s *Schedule) Gap(gap int64) { s.gap = gap }

// Began says that a check has begun.
func (s *Schedule) Began(now int64) {
	s.began = now
	next := s.due + s.interval
	if s.shift != 0 {
		next, s.shift = now+s.shift, 0
	}
	if next <= now {
		next = now + s.interval
	}
	s.due = min(next, now+s.interval)
}

// Woken says that an event came: what a check finds now may differ.
func (s *Schedule) Woken(now int64) { s.due = min(s.due, max(now, s.began+s.gap)) }
