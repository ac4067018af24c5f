// SPDX-License-Identifier: Apache-2.0

package pulse

import "time"

// healthInterval is the time between two Health events.
const healthInterval = 100 * time.Millisecond

// health is how punctual the pulse is.
type health struct {
	since  int64         // on time since; 0: not now
	worst  time.Duration // lateness since the last Health
	toldAt int64
}

// late notes the lateness of a probe deadline. More than a whole interval is not on time.
func (e *engine) late(now int64, d time.Duration) {
	e.stats.Late.observe(&LateBounds, d)
	e.stats.WorstLate = max(e.stats.WorstLate, d)
	e.stats.MaxLate = max(e.stats.MaxLate, d)
	e.health.worst = max(e.health.worst, d)
	if d > e.cfg.Probe {
		e.health.since = now
	}
}

// tellHealth tells main that the pulse lives, since when it has been punctual, and that its own word is late. It reports whether it was time to.
func (e *engine) tellHealth(now int64) bool {
	h := &e.health
	fresh := e.fresh(now)
	switch {
	case !fresh:
		h.since = 0
	case h.since == 0:
		h.since = now
	}
	if fresh {
		e.mute = false
	} else if !e.mute && e.wordAt != 0 {
		event := Notice{Code: NoticeWord, Text: "the daemon's loop is late: leases are not renewed"}
		e.mute = e.say(appendNotice(e.message[:0], &event))
	}
	if h.toldAt != 0 && (now-h.toldAt < int64(healthInterval-e.cfg.Probe/2) || e.telling && e.ticked) {
		return false // in a moment, with the answers that are told: main wakes once for both
	}
	event := Health{OnTimeSince: h.since, Late: h.worst}
	if e.sayLater(appendHealth(e.message[:0], &event)) {
		h.toldAt, h.worst = now, 0
	}
	return true
}

// tellStats tells main what was counted. Stats that do not fit into the socket are dropped: the next ones hold them too.
func (e *engine) tellStats(now int64) {
	e.nextStats = now + int64(statsInterval-heardInterval/2) // with the Health of then, however late that is
	s := &e.stats
	s.At, s.OnTimeSince = now, e.health.since
	for i := range e.links {
		l := &e.links[i]
		l.stats.Silent = l.silence != audible
		s.Links[i] = l.stats
		l.stats.AnswersLastSecond, l.stats.SlowAnswers = 0, 0
	}
	if e.sayLater(appendStats(e.message[:0], s)) {
		s.WorstLate, s.WorstRenewal, s.Softirq = 0, 0, 0
	}
}
