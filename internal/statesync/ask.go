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

// current says whether the copy was equal, or was repaired, since its source was first known.
func (a *asker) current() bool { return within(&a.scope, a.have) }

// setScope says that the source's table counts for other buckets from now on. What is under way goes on for those that stay. Lacking says
// that some were never copied, unsure that of some nobody knows whether they are as the source has them.
func (a *asker) setScope(scope ccp.SyncBitmap, lacking, unsure bool) {
	a.scope = scope
	meet(&a.covered, &scope)
	meet(&a.wanted, &scope)
	if lacking {
		a.lacking, a.notUntil = true, 0
	}
	a.lacking = a.lacking && !a.current()
	a.doubt = a.doubt || unsure
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

// lost says that changes may have been missed, so that the next difference is real; evicted that so much is missing that the copy is
// not fit to serve with until it is repaired.
func (a *asker) lost(evicted bool) {
	a.doubt = true
	if evicted {
		leave(a.have, &a.scope)
		a.whole, a.spoilt = true, a.tracking()
	}
}

// missed says that the source may have missed changes itself: it was restarted, and will not tell what it did not hear of.
func (a *asker) missed() { a.doubt, a.whole, a.spoilt = true, true, a.tracking() }

// unsure says that another member's table may have counted for a while: until a mark was equal the copy is not fit to serve with.
func (a *asker) unsure() {
	leave(a.have, &a.scope)
	a.doubt = true
}

// counts says that the own table is the one that counts: there is nothing to repair in it.
func (a *asker) counts() {
	join(a.have, &a.scope)
	a.whole, a.lacking = false, false
}

// blind reports whether buckets are to be copied whatever a tally says.
func (a *asker) blind() bool { return a.whole || a.lacking && !a.current() }

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

// mark says that at a mark of the source both sides were equal, or not.
func (a *asker) mark(now int64, equal bool) step {
	switch {
	case equal && a.blind():
		a.differs = 0
		return a.begin(now)
	case equal:
		a.differs, a.doubt, a.repeated, a.tries, a.notUntil = 0, false, 0, 0, 0
		join(a.have, &a.scope)
		if a.stage == stageOwn || a.stage == stageWords {
			return a.abandon()
		}
		return stepNone
	}
	a.differs++
	if a.differs < doubtDiffers && !a.doubt {
		return stepNone
	}
	return a.begin(now)
}

// ownDoubted says that the own tally is being made anew: until it is nothing can be compared, and the words of a mark from before
// belong to nothing.
func (a *asker) ownDoubted() step {
	a.ownAt = math.MinInt64 / 2
	if a.stage != stageWords {
		return stepNone
	}
	s := a.abandon()
	a.stage = stageOwn
	return s
}

// ownMade says that the own tally was made anew from a dump.
func (a *asker) ownMade(now int64) step {
	a.ownAt = now
	if a.stage != stageOwn {
		return stepNone
	}
	return a.askWords(now)
}

// answered takes the source's answer to the request of session.
func (a *asker) answered(now int64, session uint64, result ccp.SyncResult, records uint32) {
	if session != a.session || (a.stage != stageWords && a.stage != stageRecords) {
		return
	}
	switch result {
	case ccp.SyncAccepted:
		a.heard, a.asked = now, never
		a.total = uint64(records)
	case ccp.SyncBusy, ccp.SyncUnfit:
		a.heard = now
		a.asked = now + busyAfter - resendAfter
	}
}

// hurry has a request that was not taken, or not answered yet, sent again at once: what kept the source from it may be over.
func (a *asker) hurry(now int64) {
	if (a.stage == stageWords || a.stage == stageRecords) && a.asked != never {
		a.asked = now - resendAfter
	}
}

// progress says that a batch of the session has come.
func (a *asker) progress(now int64, session uint64) {
	if session == a.session {
		a.heard, a.asked = now, never
	}
}

// compared says which buckets differ, n of them, with some total of entries on the source's side.
func (a *asker) compared(now int64, differ *ccp.SyncBitmap, n int, total uint64) step {
	if a.stage != stageWords {
		return stepNone
	}
	a.covered, a.wanted, a.total = a.scope, *differ, total
	switch {
	case a.whole:
		a.wanted = a.scope
	case a.lacking:
		lacks := a.scope
		leave(&lacks, a.have)
		join(&a.wanted, &lacks)
	}
	if a.buckets = count(&a.wanted); n == 0 && !a.blind() {
		return a.mark(now, true)
	}
	a.listed.Clear()
	a.touched.Clear()
	a.stage, a.asked, a.heard = stageRecords, now, now
	a.number()
	return stepRecords
}

// tracking reports whether keys that changes are about must be given to touch.
func (a *asker) tracking() bool { return a.stage >= stageRecords }

// touch remembers that a change in the delta lane was about key.
func (a *asker) touch(key uint64) { a.touched.Add(key) }

// list takes note that the source has key, and reports whether its record is to be applied: not if a change was about it, which is newer.
func (a *asker) list(key uint64) bool {
	if a.stage != stageRecords {
		return false
	}
	a.done++
	a.listed.Add(key)
	return !a.touched.Has(key)
}

// ended says that the source has sent all.
func (a *asker) ended(now int64, end ccp.SyncEnd) step {
	if a.stage != stageRecords {
		return stepNone
	}
	if !end.Complete {
		return a.again(now)
	}
	a.stage, a.end, a.heard = stageApplying, end, now
	return stepNone
}

// applied says up to which batch of the source's delta lane everything is in the kernel's table, what came in bulk included.
func (a *asker) applied(now int64, through uint64) step {
	if a.stage != stageApplying || through < a.end.Position {
		return stepNone
	}
	a.stage, a.heard = stageRemoving, now
	return stepRemove
}

// stale reports whether the own entry key, of bucket, is one that the source does not have.
func (a *asker) stale(key uint64, bucket int) bool {
	return a.stage == stageRemoving && a.wanted.Has(bucket) && !a.listed.Has(key) && !a.touched.Has(key)
}

// removed says that the stale entries, gone of them, were deleted: the repair is done. The next mark says whether it helped.
func (a *asker) removed(now int64, gone uint64) {
	if a.stage != stageRemoving {
		return
	}
	a.gone = gone
	a.last = a.progressNow(now)
	a.last.Running, a.last.Stage = false, "done"
	a.completed++
	if a.last.Full {
		a.full++
	}
	a.stage = stageIdle
	a.listed.Clear()
	a.touched.Clear()
	if !a.spoilt {
		join(a.have, &a.covered)
	}
	a.doubt, a.whole, a.lacking, a.differs = true, a.spoilt, !a.spoilt && !a.current(), 0
	a.spoilt = false
	a.backOff(now)
}

// backOff delays the next repair more and more until a mark has been equal: what the kernel refuses cannot be repaired.
func (a *asker) backOff(now int64) {
	a.notUntil = now + min(leastBackoff<<min(a.repeated, 10), mostBackoff)
	a.repeated++
}

// again begins the repair anew, after a pause.
func (a *asker) again(now int64) step {
	s := a.abandon()
	a.doubt = true
	a.backOff(now)
	return s
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
