// SPDX-License-Identifier: Apache-2.0

package pulse

import "github.com/holdfast-project/holdfast/members/liveness"

// silence is what main believes of a link.
type silence uint8

const (
	audible silence = iota
	dead            // probes left and were not answered
	unsent          // none could leave
)

// refusalsNeeded is how many probes have to be refused before their peer is silent, as many as have to be unanswered.
const refusalsNeeded = 3

// refusals says for how long no probe of a link could leave, though the pulse tried: a card whose transmitter hangs, a queue that
// others keep full, an interface that is down. What was not even tried, because the pulse itself did not run, is none.
type refusals struct {
	since int64 // when a probe left last, or the first was refused; 0: neither
	first int64 // the first refusal since then; 0: none
	last  int64 // the last that counts: those in a burst count as one
	n     int   // how many count, up to refusalsNeeded
}

// left notes that a probe has left.
func (r *refusals) left(now int64) { *r = refusals{since: now} }

// refused notes that one could not.
func (r *refusals) refused(now, probe int64) {
	if r.since == 0 {
		r.since = now
	}
	if r.n == 0 {
		r.first = now
	}
	if r.n < refusalsNeeded && (r.n == 0 || now-r.last >= probe/2) {
		r.n, r.last = r.n+1, now
	}
}

// deadline returns when nothing will have left for the dead interval, liveness.Never while too few were refused.
func (r *refusals) deadline(deadInterval int64) int64 {
	if r.n < refusalsNeeded {
		return liveness.Never
	}
	return max(r.since+deadInterval, r.last)
}

// missedDeadline returns when the first refusal is as bad a sign as a missed answer.
func (r *refusals) missedDeadline(probe int64) int64 {
	if r.n == 0 {
		return liveness.Never
	}
	return r.first + probe/2
}

// probed notes what became of a probe.
func (e *engine) probed(l *link, now int64, nonce uint64, f fate) {
	if f != left {
		l.stats.Unsent++
		l.refusals.refused(now, int64(e.cfg.Probe))
		return
	}
	l.stats.Sent++
	if e.blocked(l, now) {
		// Those that left before say nothing about the peer now: it has three new ones to answer.
		l.detector = liveness.New(e.cfg.Probe, e.cfg.Dead)
	}
	l.refusals.left(now)
	l.detector.Sent(now, nonce)
}

// blocked reports whether no probe could leave for the dead interval.
func (e *engine) blocked(l *link, now int64) bool {
	return now >= l.refusals.deadline(int64(e.cfg.Dead))
}

// missed reports the first sign of trouble.
func (e *engine) missed(l *link, now int64) bool { return now >= e.missedDeadline(l) }

func (e *engine) missedDeadline(l *link) int64 {
	return min(l.detector.MissedDeadline(), l.refusals.missedDeadline(int64(e.cfg.Probe)))
}

// judge tells main of peers that have fallen silent.
func (e *engine) judge(now int64) {
	for i := range e.links {
		l := &e.links[i]
		if !l.missedTold && l.silence == audible && e.missed(l, now) {
			event := Missed{Peer: l.peer, Slot: l.slot, At: now, Since: l.answered}
			l.missedTold = e.say(appendMissed(e.message[:0], &event))
		}
		verdict := l.silence
		switch {
		case e.blocked(l, now):
			verdict = unsent
		case l.detector.Dead(now):
			verdict = dead
		}
		if verdict == l.silence {
			continue
		}
		event := Silent{Peer: l.peer, Slot: l.slot, Unsent: verdict == unsent, At: now, Since: l.answered}
		if e.say(appendSilent(e.message[:0], &event)) {
			l.silence = verdict
		}
	}
}

// judgeSingle marks in the words that no other member is there, so that a daemon which stands still or is restarted meanwhile does not
// interrupt what nobody else could take over: no member has probed us for the dead interval and none answers, or none has probed us for
// the hard expiry, and then those that answer are gates without a pulse, which cannot claim. The next probe ends what the mark allows. What
// an engine that has just started does not know yet, it leaves as it is. docs/decisions/008.
func (e *engine) judgeSingle(now int64) {
	patience := int64(e.cfg.Dead)
	for i := range e.links {
		if e.links[i].silence == audible {
			patience = int64(hardExpiry)
			break
		}
	}
	probed := e.words.Probed()
	if marked := e.words.Single(); len(e.links) > 0 && (marked == 0 || probed > marked) && now-probed >= patience {
		e.words.SetSingle(now)
	}
}

// due returns when judge has something to say of a link, if nothing comes in or goes out before.
func (e *engine) due(l *link) int64 {
	at := liveness.Never
	if l.silence != unsent {
		at = l.refusals.deadline(int64(e.cfg.Dead))
	}
	if l.silence == audible || l.silence == unsent && l.refusals.n == 0 {
		at = min(at, l.detector.Deadline())
	}
	if l.silence == audible && !l.missedTold {
		at = min(at, e.missedDeadline(l))
	}
	return at
}

// resume takes back what was told of a link if the answer that has just come is worth it, and reports whether the peer is audible. An
// answer to a probe from before the silence, come late, does not end it.
func (e *engine) resume(l *link, now int64) bool {
	if l.silence == audible && !l.missedTold {
		return true
	}
	missed := e.missed(l, now)
	if l.silence != audible && !l.detector.Dead(now) && !e.blocked(l, now) {
		l.silence, l.resumed = audible, true
	}
	l.resumed = l.resumed || !missed
	l.missedTold = l.missedTold && missed
	return l.silence == audible
}
