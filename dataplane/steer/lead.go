// SPDX-License-Identifier: Apache-2.0

package steer

// stage is where a leader is with its newest table.
type stage uint8

const (
	stageSettle      stage = iota // a restarted leader listens for what the others hold
	stageIdle                     // everybody has confirmed
	stagePrepareGain              // a prepare, to those who gain: their shares must be open before anything is passed to them
	stagePrepareAll               // a prepare, to all: losers flush
	stageCommitGain               // its commit, to those who gain: losers pass all on until they are there
	stageCommitAll                // a commit, to all
)

// lead is what a leader knows besides.
type lead struct {
	term   uint32
	began  int64
	stage  stage
	table  *Table // the newest published; the own gate may not have it yet
	prep   *Table // the prepare of the planned change under way
	follow [Members]follower
	ready  int64 // in stagePrepareAll: when all losers had confirmed, 0 before
	moved  int
	upset  int64 // when slots were given to others without a flush, 0 if what was theirs has had its time to get around
	again  int64 // when the own share is asked for again
	renew  bool  // a share has another term now: all must know
	spent  bool  // it has been recorded that numbers run out
}

// follower is what a leader keeps of a member, itself included.
type follower struct {
	share   uint32 // the term that its share has, or will have
	since   int64  // since when it owes a confirmation, 0 if it does not
	next    int64  // when the table is due again
	fit     int64  // since when it has been fit without a break, 0 if it is not
	unfit   int64  // since when it has a share and is not fit, 0 if that is not so
	foreign int64  // since when its gate's fence is another's, 0 if it is not
	stray   int64  // since when it forwards without having a share, 0 if it does not
	fence   *fencing
	strikes int     // how often it was excluded lately
	struck  int64   // when last
	out     string  // why it is to lose its share now, "" if it is not
	seen    Version // the newest of this leader's tables that it has confirmed
}

// fencing is a YIELD under way.
type fencing struct {
	term   uint32
	next   int64
	reason string // why it loses its share when this is granted; "" if it keeps it, under the new term
}

const (
	maxNumber    = 1<<32 - 1
	lastPlanned  = maxNumber - 1<<20 // no planned change from here on: what is left is for failures
	restartLeap  = 16                // more than a leader's own gate can be behind what it has published
	unfitGrace   = 2                 // probe intervals in which what a HELLO and the own gate say comes together
	foreignGrace = 5                 // probe intervals in which another's claim comes to its end
)

func (l *lead) enter(s stage) { l.stage, l.ready = s, 0 }

// busy reports whether anything is to be looked at each probe interval.
func (l *lead) busy(a *Agreement) bool {
	if l.stage != stageIdle || l.upset != 0 || a.share != 0 && !a.own.Open {
		return true
	}
	for i := range l.follow {
		if f := &l.follow[i]; f.fence != nil || f.since != 0 || f.unfit != 0 || f.foreign != 0 || f.stray != 0 {
			return true
		}
	}
	return false
}

// leading does a leader's work.
func (a *Agreement) leading(now int64) {
	if a.own.Leads == 0 {
		a.resign()
		return
	}
	if a.lead == nil || a.lead.term != a.own.Leads {
		a.resign()
		a.begin(now)
	}
	l := a.lead
	if l.stage == stageSettle {
		if !a.settled(now) {
			return
		}
		a.first(now)
	}
	a.watch(now)
	a.exclude(now)
	a.advance(now)
	a.plan(now)
	a.send(now)
	if a.share != 0 && !(a.own.Open && a.own.Share == a.share) && now >= l.again {
		l.again = now + int64(a.cfg.Timing.Probe)
		a.emit(Share{Term: a.share})
	}
}

// resign keeps what was published last: it may be the newest that there is.
func (a *Agreement) resign() {
	if a.lead == nil {
		return
	}
	if t := a.lead.table; t != nil && t.Version.Compare(a.table.Version) > 0 {
		a.known = t
	}
	a.lead = nil
}

// begin takes the lead. A leader that knows its table goes on from there at once; one that found it in its gate listens first.
func (a *Agreement) begin(now int64) {
	l := &lead{term: a.own.Leads, began: now, table: a.table}
	for i := range l.follow {
		l.follow[i].share = l.term
		if p := &a.peers[i]; p.Grantee == a.cfg.Self && p.Fence > l.term {
			l.follow[i].share = p.Fence
		}
	}
	a.lead = l
	l.enter(stageSettle)
	if a.share < l.term {
		a.share = l.term
		l.again = now + int64(a.cfg.Timing.Probe)
		a.emit(Share{Term: l.term})
	}
}

// settled reports whether everybody who may have slots has said which table it holds.
func (a *Agreement) settled(now int64) bool {
	if !a.adopted {
		return true
	}
	if now-a.lead.began >= int64(a.cfg.Timing.Settle) {
		return true
	}
	now1, then := a.table.Takes()
	for i := range a.cfg.Members {
		p := &a.peers[i]
		if i != a.cfg.Self && now1[i]+then[i] > 0 && !(p.Heard && p.HelloAt != 0) {
			return false
		}
	}
	return true
}

// first makes a leader's first table: the newest that it knows, without those who are not there.
func (a *Agreement) first(now int64) {
	l, from := a.lead, a.table
	if a.known != nil && a.known.Version.Compare(from.Version) > 0 {
		from = a.known
	}
	a.known = nil
	number := uint32(0)
	if from.Term == l.term {
		// It led under this term before, and its gate or its memory may be behind what others have.
		number = from.Number
		for i := range a.cfg.Members {
			if v := a.peers[i].Status.Version; i != a.cfg.Self && v.Term == l.term && a.peers[i].Status.Leader == a.cfg.Self {
				number = max(number, v.Number)
			}
		}
		number = min(number, maxNumber-restartLeap) + restartLeap
	}
	var stays [Members]bool
	for i := range a.cfg.Members {
		stays[i] = i == a.cfg.Self || from.Share[i] != 0 && a.peers[i].Heard && a.usable(i)
		if from.Share[i] != 0 && !stays[i] {
			a.strike(i, now, a.whyNot(i))
		}
	}
	owners := from.Owners()
	for i, e := range from.Entry {
		if from.Phase != PhaseNone && e.Moving() && !stays[e.Next()] {
			owners[i] = e.Taker()
		}
	}
	a.publish(now, number, &owners, stays)
}

// usable reports whether a member that has a share may keep it; one that has said nothing yet may.
func (a *Agreement) usable(i uint8) bool {
	p := &a.peers[i]
	return p.Restarting && p.Open || p.HelloAt == 0 || (p.Fit || p.Leaving) && !p.Status.Dropped
}

func (a *Agreement) whyNot(i uint8) string {
	p := &a.peers[i]
	switch {
	case !p.Heard:
		return "it is silent"
	case p.Status.Dropped:
		return "it gave its share up"
	case !p.Fit && !p.Leaving:
		return "its state"
	}
	return "it does not confirm"
}
