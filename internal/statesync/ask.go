// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"math"

	"github.com/holdfast-project/holdfast/ccp"
)

// never is a time that does not come.
const never = math.MaxInt64

// The asker's times in ns.
const (
	// resendAfter is when a request that was not answered is sent again.
	resendAfter = 200e6
	// giveUpAfter is how long a source may say nothing before everything is begun anew, with what agrees by then left out.
	giveUpAfter = 3e9
	// busyAfter is when a source that was busy is asked again.
	busyAfter = 500e6
	// ownStays is how long an own tally that was made from a dump need not be made again.
	ownStays = 5e9
	// leastBackoff and mostBackoff bound the pause before a repair that follows one which did not help.
	leastBackoff = int64(1e9)
	mostBackoff  = int64(60e9)
	// doubtDiffers is how many marks in a row must differ for a copy to be doubted.
	doubtDiffers = 2
)

// stage is how far a repair has come.
type stage uint8

const (
	stageIdle     stage = iota
	stageOwn            // the own table is dumped, in case only the tally is wrong
	stageWords          // the source was asked for its words
	stageRecords        // the source was asked for the records of the buckets that differ
	stageApplying       // all have come; changes up to the end of the source's dump have not
	stageRemoving       // the own table is dumped, for what the source does not have
)

// text names the stage for people.
func (s stage) text() string {
	switch s {
	case stageOwn:
		return "own table"
	case stageWords:
		return "asking"
	case stageRecords:
		return "receiving"
	case stageApplying, stageRemoving:
		return "removing"
	}
	return "done"
}

// step is what the asker wants done.
type step uint8

const (
	stepNone    step = iota
	stepOwn          // make the own tally anew from a dump, then call ownMade
	stepWords        // send a request of this session for words
	stepRecords      // send a request of this session for the records of wanted
	stepRemove       // delete the entries of wanted that were neither listed nor touched, then call removed
	stepGiveUp       // tell the member that was asked, left, that nothing is wanted any more
)

// asker decides when a copy is to be doubted, and leads its repair: own tally, words, records, removal. A full sync is the repair of a
// copy that was never equal. It is pure: times are CLOCK_BOOTTIME in ns, and what it returns is for the caller to do.
//
// In mode ha one asker is about all buckets, and its source is whoever serves. In load sharing there is one for each other member, about
// those buckets that it owns.
type asker struct {
	stage   stage
	source  uint8           // ccp.Nobody without one
	left    uint8           // the source of what was ended last
	scope   ccp.SyncBitmap  // the buckets in question
	have    *ccp.SyncBitmap // of all buckets, those whose copy was equal, or was repaired, since an owner was first known
	doubt   bool            // one difference is enough
	spoilt  bool            // changes may have been missed since the repair under way asked for the records
	lacking bool            // some of scope were never copied: the next repair takes those that are not in have
	whole   bool            // the next repair takes every bucket: changes may have been missed that a tally of keys and translations does not show

	differs  int
	repeated int   // repairs that did not help
	notUntil int64 // when the next may begin
	ownAt    int64 // when the own tally was made

	sessions *uint64 // the number given last
	session  uint64
	began    int64
	asked    int64 // when the request was sent last
	heard    int64 // when the source said something last
	tries    int

	covered ccp.SyncBitmap // of the buckets in question, what agreed when words were compared and what is repaired
	wanted  ccp.SyncBitmap
	buckets int
	total   uint64
	done    uint64
	gone    uint64
	end     ccp.SyncEnd
	listed  keySet // keys that the source has, of wanted
	touched keySet // keys that changes in the delta lane were about since the records were asked for

	last      Progress // of the repair before
	completed uint64   // repairs
	full      uint64   // of them full syncs
	words     words
}

// newAsker makes one for the buckets of scope. It notes in have what it gets, and counts its requests by sessions: both may be others' too.
func newAsker(scope ccp.SyncBitmap, have *ccp.SyncBitmap, sessions *uint64) *asker {
	return &asker{source: ccp.Nobody, scope: scope, have: have, sessions: sessions, whole: true, ownAt: math.MinInt64 / 2}
}

// setSource names the member whose table counts, ccp.Nobody if there is none. Another one than before ends what is under way. What was
// current stays so: a copy of what the former owner had is what a takeover is made with.
func (a *asker) setSource(source uint8) step {
	if a.source == source {
		return stepNone
	}
	s := a.abandon()
	a.source, a.repeated, a.notUntil, a.tries = source, 0, 0, 0
	return s
}

// abandon ends what is under way.
func (a *asker) abandon() step {
	was := a.stage
	a.stage, a.differs, a.left, a.spoilt = stageIdle, 0, a.source, false
	a.listed.Clear()
	a.touched.Clear()
	if was == stageWords || was == stageRecords {
		return stepGiveUp
	}
	return stepNone
}

// begin starts a repair if there is reason to and none is under way.
func (a *asker) begin(now int64) step {
	if a.stage != stageIdle || a.source == ccp.Nobody || now < a.notUntil {
		return stepNone
	}
	a.began, a.heard, a.done, a.total, a.gone, a.buckets = now, now, 0, 0, 0, 0
	a.tries++
	if now-a.ownAt > ownStays {
		a.stage = stageOwn
		return stepOwn
	}
	return a.askWords(now)
}

// number gives the next request a number of its own.
func (a *asker) number() {
	*a.sessions++
	a.session = *a.sessions
}

func (a *asker) askWords(now int64) step {
	a.stage, a.asked, a.heard = stageWords, now, now
	a.number()
	return stepWords
}

// tick does what is due at now.
func (a *asker) tick(now int64) step {
	switch a.stage {
	case stageIdle:
		if !a.current() {
			return a.begin(now)
		}
	case stageWords, stageRecords:
		switch {
		case now-a.heard >= giveUpAfter:
			return a.again(now)
		case a.asked != never && now-a.asked >= resendAfter:
			a.asked = now
			if a.stage == stageWords {
				return stepWords
			}
			return stepRecords
		}
	case stageApplying:
		if now-a.heard >= giveUpAfter {
			return a.again(now)
		}
	}
	return stepNone
}

// wake is when tick should be called next.
func (a *asker) wake() int64 {
	switch a.stage {
	case stageIdle:
		if !a.current() && a.source != ccp.Nobody {
			return a.notUntil
		}
	case stageWords, stageRecords:
		if a.asked == never {
			return a.heard + giveUpAfter
		}
		return min(a.asked+resendAfter, a.heard+giveUpAfter)
	case stageApplying:
		return a.heard + giveUpAfter
	}
	return never
}

// progressNow is what to show of the repair under way, or of the last one.
func (a *asker) progressNow(now int64) Progress {
	if a.stage == stageIdle {
		p := a.last
		p.Tries = a.tries
		if a.completed == 0 {
			p.Peer = a.source
		}
		if !a.current() {
			p.Stage = "waiting for a source"
			if a.source != ccp.Nobody {
				p.Stage = "waiting to try again"
			}
		}
		return p
	}
	return Progress{Running: true, Full: !a.current(), Peer: a.source, Stage: a.stage.text(), Buckets: a.buckets,
		Done: a.done, Total: max(a.total, a.done), Removed: a.gone, Tries: a.tries, Took: nanoseconds(now - a.began)}
}
