// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"testing"

	"github.com/holdfast-project/holdfast/ccp"
)

// TestFirstRepairTakesAll begins with tables whose keys are equal: what the connections are like may differ all the same, since a restarted
// daemon has missed changes. Later repairs take what differs, until the copy was evicted.
func TestFirstRepairTakesAll(t *testing.T) {
	a := askAll()
	a.ownAt = 0
	a.setSource(1)
	var one ccp.SyncBitmap
	one.Add(7)
	repair := func(name string, differ ccp.SyncBitmap, n, want int) {
		t.Helper()
		a.notUntil = 0
		current := a.current()
		if s := a.mark(1, n == 0); s != stepWords || a.current() != current {
			t.Fatalf("%s: begins with step %d, current %v", name, s, a.current())
		}
		if s := a.compared(1, &differ, n, 10); s != stepRecords || a.buckets != want {
			t.Fatalf("%s: step %d for %d buckets, want %d", name, s, a.buckets, want)
		}
		for i := range ccp.SyncBuckets {
			if a.wanted.Has(i) != (want == ccp.SyncBuckets || differ.Has(i)) {
				t.Fatalf("%s: bucket %d wanted: %v", name, i, a.wanted.Has(i))
			}
		}
		a.ended(1, ccp.SyncEnd{Complete: true})
		a.applied(1, 0)
		a.removed(1, 0)
	}
	repair("first", ccp.SyncBitmap{}, 0, ccp.SyncBuckets)
	if !a.current() {
		t.Error("not current after the first repair")
	}
	repair("second", one, 1, 1)
	a.lost(true)
	repair("after the eviction", ccp.SyncBitmap{}, 0, ccp.SyncBuckets)
	a.missed()
	repair("of a restarted source", one, 1, ccp.SyncBuckets)
	a.missed()
	a.counts()
	a.notUntil = 0
	if s := a.mark(1, true); s != stepNone || !a.current() {
		t.Errorf("a table that has counted is copied anew: step %d", s)
	}
}
