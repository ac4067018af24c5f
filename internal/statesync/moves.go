// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"github.com/holdfast-project/holdfast/ccp"
)

// moves is what is new in a slot table.
type moves struct {
	none bool // nothing: the same buckets, of the same members, and the same are moving

	// By member: share's.
	takes, scopes [ccp.MaxMembers]ccp.SyncBitmap
	taken         [ccp.MaxMembers]int
	moving        int

	gained, lost ccp.SyncBitmap       // by this member
	handed       ccp.SyncBitmap       // of those lost, the ones that were about to move
	came         ccp.SyncBitmap       // those that were about to move to this member, and are not any more
	gainedFrom   [ccp.MaxMembers]bool // by this member
	orphaned     [ccp.MaxMembers]bool // members that lost buckets which were not about to move: they may be dead
	unplanned    bool                 // this member gains such buckets, or its first
}

// movesTo compares two slot tables; before is nil at first.
func movesTo(before, o *Owners, self uint8) (m moves) {
	m.none = before != nil && before.Takes == o.Takes && before.Moving == o.Moving && before.Coming == o.Coming
	for b, is := range o.Takes {
		if is < ccp.MaxMembers {
			m.takes[is].Add(b)
			m.taken[is]++
			if !o.Moving[b] {
				m.scopes[is].Add(b)
			}
		}
		if o.Moving[b] {
			m.moving++
		}
		was, announced := ccp.Nobody, false
		if before != nil {
			was, announced = before.Takes[b], before.Moving[b]
			if before.Coming[b] && !o.Coming[b] {
				m.came.Add(b)
			}
		}
		if was == is {
			continue
		}
		if was < ccp.MaxMembers && !announced {
			m.orphaned[was] = true
		}
		switch self {
		case is:
			m.gained.Add(b)
			m.unplanned = m.unplanned || !announced
			if was < ccp.MaxMembers {
				m.gainedFrom[was] = true
			}
		case was:
			if m.lost.Add(b); announced {
				m.handed.Add(b)
			}
		}
	}
	return m
}
