// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"math"

	"github.com/holdfast-project/holdfast/ccp"
)

// What makes an asker doubt its copy, and what takes the doubt away.

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
