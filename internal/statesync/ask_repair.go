// SPDX-License-Identifier: Apache-2.0

package statesync

import "github.com/holdfast-project/holdfast/ccp"

// What becomes of the repair that an asker leads.

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
