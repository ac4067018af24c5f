// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"slices"
	"testing"

	"github.com/holdfast-project/holdfast/ccp"
)

const ms = int64(1e6)

// askAll is an asker as in mode ha.
func askAll() *asker { return newAsker(allBuckets, new(ccp.SyncBitmap), new(uint64)) }

// asked is an asker that has a source and is at a stage.
func asked(t *testing.T, at stage) *asker {
	t.Helper()
	a := askAll()
	a.whole = false // TestFirstRepairTakesAll is about that
	a.setSource(1)
	a.ownMade(0)
	if at == stageIdle {
		return a
	}
	if s := a.tick(0); s != stepWords {
		t.Fatalf("step %v", s)
	}
	if at == stageWords {
		return a
	}
	var differ ccp.SyncBitmap
	differ.Add(3)
	if s := a.compared(10*ms, &differ, 1, 5); s != stepRecords {
		t.Fatalf("step %v", s)
	}
	if at == stageRecords {
		return a
	}
	a.ended(20*ms, ccp.SyncEnd{Position: 9, Records: 2, Complete: true})
	if at == stageApplying {
		return a
	}
	if s := a.applied(30*ms, 9); s != stepRemove {
		t.Fatalf("step %v", s)
	}
	return a
}

// at is a mark, or another thing that happens, at a time in ms.
type happening struct {
	at   int64
	do   func(a *asker, now int64) step
	want step
}

func markAs(equal bool) func(*asker, int64) step {
	return func(a *asker, now int64) step { return a.mark(now, equal) }
}

func tick(a *asker, now int64) step { return a.tick(now) }

func TestAsker(t *testing.T) {
	current := func(a *asker, now int64) step { return a.mark(now, true) }
	for _, tc := range []struct {
		name    string
		from    stage
		then    []happening
		stage   stage
		current bool
	}{
		{"a joiner asks at once", stageIdle, []happening{{0, tick, stepWords}}, stageWords, false},
		{"an equal mark is enough", stageIdle, []happening{{0, current, stepNone}}, stageIdle, true},
		{"an equal mark ends the asking", stageWords, []happening{{5, current, stepGiveUp}}, stageIdle, true},
		{"one difference is none", stageIdle, []happening{{0, current, stepNone}, {1000, markAs(false), stepNone}}, stageIdle, true},
		{"two in a row are", stageIdle, []happening{{0, current, stepNone}, {1000, markAs(false), stepNone}, {2000, markAs(false), stepWords}}, stageWords, true},
		{"two that are not in a row", stageIdle, []happening{
			{0, current, stepNone}, {1000, markAs(false), stepNone}, {2000, current, stepNone}, {3000, markAs(false), stepNone},
		}, stageIdle, true},
		{"with an old tally the own table is read first", stageIdle, []happening{
			{0, current, stepNone}, {9000, markAs(false), stepNone}, {10_000, markAs(false), stepOwn},
			{10_500, func(a *asker, now int64) step { return a.ownMade(now) }, stepWords},
		}, stageWords, true},
		{"a loss makes one difference enough", stageIdle, []happening{
			{0, current, stepNone}, {1, func(a *asker, _ int64) step { a.lost(false); return stepNone }, stepNone}, {1000, markAs(false), stepWords},
		}, stageWords, true},
		{"an eviction takes the currency", stageIdle, []happening{
			{0, current, stepNone}, {1, func(a *asker, _ int64) step { a.lost(true); return stepNone }, stepNone}, {2, tick, stepWords},
		}, stageWords, false},
		{"a request is repeated", stageWords, []happening{{100, tick, stepNone}, {200, tick, stepWords}, {399, tick, stepNone}, {400, tick, stepWords}}, stageWords, false},
		{"until it is answered", stageWords, []happening{
			{100, func(a *asker, now int64) step { a.answered(now, a.session, ccp.SyncAccepted, 7); return stepNone }, stepNone}, {2000, tick, stepNone},
		}, stageWords, false},
		{"another's answer does not count", stageWords, []happening{
			{100, func(a *asker, now int64) step { a.answered(now, a.session+1, ccp.SyncAccepted, 7); return stepNone }, stepNone}, {200, tick, stepWords},
		}, stageWords, false},
		{"a source that says nothing is given up, and asked again", stageWords, []happening{{3000, tick, stepGiveUp}, {3900, tick, stepNone}, {4000, tick, stepWords}}, stageWords, false},
		{"an own tally that is doubted is made first", stageWords, []happening{
			{5, func(a *asker, _ int64) step { return a.ownDoubted() }, stepGiveUp}, {3200, tick, stepNone},
			{3300, func(a *asker, now int64) step { return a.ownMade(now) }, stepWords},
		}, stageWords, false},
		{"and before it is asked", stageIdle, []happening{
			{5, func(a *asker, _ int64) step { return a.ownDoubted() }, stepNone}, {6, tick, stepOwn},
		}, stageOwn, false},
		{"but not when records come", stageRecords, []happening{
			{25, func(a *asker, _ int64) step { return a.ownDoubted() }, stepNone},
		}, stageRecords, false},
		{"one that was busy is asked again", stageWords, []happening{
			{100, func(a *asker, now int64) step { a.answered(now, a.session, ccp.SyncBusy, 0); return stepNone }, stepNone}, {599, tick, stepNone}, {600, tick, stepWords},
		}, stageWords, false},
		{"or at once when it may be no more", stageWords, []happening{
			{100, func(a *asker, now int64) step {
				a.answered(now, a.session, ccp.SyncBusy, 0)
				a.hurry(now + 7*ms)
				return stepNone
			}, stepNone}, {107, tick, stepWords},
		}, stageWords, false},
		{"not if it answers already", stageWords, []happening{
			{100, func(a *asker, now int64) step {
				a.answered(now, a.session, ccp.SyncAccepted, 7)
				a.hurry(now)
				return stepNone
			}, stepNone}, {400, tick, stepNone},
		}, stageWords, false},
		{"one that was busy is there", stageWords, []happening{
			{2900, func(a *asker, now int64) step { a.answered(now, a.session, ccp.SyncBusy, 0); return stepNone }, stepNone}, {3000, tick, stepNone}, {3400, tick, stepWords},
		}, stageWords, false},
		{"an equal mark ends the reading of the own table", stageIdle, []happening{
			{5, func(a *asker, _ int64) step { return a.ownDoubted() }, stepNone}, {6, tick, stepOwn}, {7, current, stepNone},
		}, stageIdle, true},
		{"a request for records is repeated", stageRecords, []happening{{209, tick, stepNone}, {210, tick, stepRecords}}, stageRecords, false},
		{"until it is answered too", stageRecords, []happening{
			{100, func(a *asker, now int64) step { a.answered(now, a.session, ccp.SyncAccepted, 7); return stepNone }, stepNone}, {2000, tick, stepNone},
		}, stageRecords, false},
		{"at once when what kept the source is over", stageRecords, []happening{
			{50, func(a *asker, now int64) step { a.hurry(now); return stepNone }, stepNone}, {50, tick, stepRecords},
		}, stageRecords, false},
		{"while records come it goes on", stageRecords, []happening{
			{2900, func(a *asker, now int64) step { a.progress(now, a.session); return stepNone }, stepNone}, {5800, tick, stepNone}, {5900, tick, stepGiveUp},
		}, stageIdle, false},
		{"not for another's", stageRecords, []happening{
			{2900, func(a *asker, now int64) step { a.progress(now, a.session-1); return stepNone }, stepNone}, {3010, tick, stepGiveUp},
		}, stageIdle, false},
		{"words that agree", stageWords, []happening{{10, func(a *asker, now int64) step { return a.compared(now, &ccp.SyncBitmap{}, 0, 0) }, stepGiveUp}}, stageIdle, true},
		{"changes up to the end are waited for", stageApplying, []happening{{25, func(a *asker, now int64) step { return a.applied(now, 8) }, stepNone}}, stageApplying, false},
		{"an end that is none", stageRecords, []happening{
			{25, func(a *asker, now int64) step { return a.ended(now, ccp.SyncEnd{Position: 9}) }, stepGiveUp},
		}, stageIdle, false},
		{"done", stageRemoving, []happening{
			{40, func(a *asker, now int64) step { a.removed(now, 3); return stepNone }, stepNone}, {50, markAs(true), stepNone},
		}, stageIdle, true},
		{"a repair that did not help is not repeated at once", stageRemoving, []happening{
			{40, func(a *asker, now int64) step { a.removed(now, 3); return stepNone }, stepNone}, {50, markAs(false), stepNone}, {1040, markAs(false), stepWords},
		}, stageWords, true},
		{"another owner ends what is under way", stageRecords, []happening{
			{40, func(a *asker, _ int64) step { return a.setSource(2) }, stepGiveUp},
		}, stageIdle, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := asked(t, tc.from)
			for i, h := range tc.then {
				if got := h.do(a, h.at*ms); got != h.want {
					t.Fatalf("%d, at %d ms: step %v, want %v", i, h.at, got, h.want)
				}
			}
			if a.stage != tc.stage || a.current() != tc.current {
				t.Fatalf("stage %v, current %v; want %v, %v", a.stage, a.current(), tc.stage, tc.current)
			}
		})
	}
}

// TestAskerKeys: what changes were about is neither applied from bulk nor removed, and only what the source has not is stale.
func TestAskerKeys(t *testing.T) {
	a := asked(t, stageRecords)
	if !a.tracking() {
		t.Fatal("changes are not noted")
	}
	a.touch(1)
	if a.list(1) {
		t.Error("a record that is older than a change was applied")
	}
	if !a.list(2) {
		t.Error("a record was not applied")
	}
	a.touch(2)
	a.touch(4)
	a.list(3)
	a.ended(20*ms, ccp.SyncEnd{Position: 9, Complete: true})
	a.applied(30*ms, 9)
	var stale []uint64
	for key := range uint64(6) {
		if a.stale(key, 3) {
			stale = append(stale, key)
		}
		if a.stale(key, 4) {
			t.Error("an entry of a bucket that was not asked for is stale")
		}
	}
	if !slices.Equal(stale, []uint64{0, 5}) {
		t.Errorf("stale: %v", stale)
	}
}

// TestBackoff: repairs that do not help come ever more seldom, and at once again after one that did.
func TestBackoff(t *testing.T) {
	a := asked(t, stageIdle)
	now := int64(0)
	var pauses []int64
	for range 8 {
		a.stage, a.covered = stageRemoving, a.scope
		a.removed(now, 0)
		pauses = append(pauses, (a.notUntil-now)/1e9)
		now = a.notUntil
	}
	if want := []int64{1, 2, 4, 8, 16, 32, 60, 60}; !slices.Equal(pauses, want) {
		t.Errorf("pauses of %v s, want %v", pauses, want)
	}
	a.mark(now, true)
	a.stage, a.covered = stageRemoving, a.scope
	if a.removed(now, 0); a.notUntil-now != 1e9 {
		t.Errorf("pause of %v ns after a repair that helped", a.notUntil-now)
	}
}

// TestStale: what is removed at the end of a repair is of the buckets that were repaired, and neither has the source listed it nor was a change
// about it since.
func TestStale(t *testing.T) {
	var have ccp.SyncBitmap
	var sessions uint64
	a := newAsker(allBuckets, &have, &sessions)
	a.wanted.Add(5)
	a.listed.Add(1)
	a.touched.Add(2)
	for s := stageIdle; s <= stageRemoving; s++ {
		a.stage = s
		for _, k := range []struct {
			key    uint64
			bucket int
			want   bool
		}{{1, 5, false}, {2, 5, false}, {3, 5, s == stageRemoving}, {3, 6, false}} {
			if got := a.stale(k.key, k.bucket); got != k.want {
				t.Errorf("%s: key %d of bucket %d: %v", s.text(), k.key, k.bucket, got)
			}
		}
	}
}

// TestScope: an asker whose source owns other buckets from now on takes what it lacks at once, whatever it has done before, and repairs nothing
// that is no longer the source's.
func TestScope(t *testing.T) {
	bits := func(buckets ...int) (m ccp.SyncBitmap) {
		for _, b := range buckets {
			m.Add(b)
		}
		return m
	}
	// owning has the buckets 1 and 2 of its source, and waits for an hour after a repair that did not help.
	owning := func() *asker {
		have := bits(1, 2)
		a := newAsker(bits(1, 2), &have, new(uint64))
		a.setSource(1)
		a.ownMade(0)
		a.whole, a.notUntil = false, 3600e9
		return a
	}
	for _, tc := range []struct {
		name            string
		scope           ccp.SyncBitmap
		lacking, unsure bool
		begins          bool // without a mark
		doubts          bool // begins at one mark that differs
	}{
		{"fewer", bits(1), false, false, false, false},
		{"others that were copied before", bits(2), true, false, false, false},
		{"more, that were never copied", bits(1, 2, 3), true, false, true, true},
		{"of some it is not known", bits(1, 2), false, true, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := owning()
			a.setScope(tc.scope, tc.lacking, tc.unsure)
			if a.current() == tc.begins {
				t.Errorf("current: %v", a.current())
			}
			if got := a.tick(ms) == stepWords; got != tc.begins {
				t.Fatalf("begins: %v", got)
			}
			a = owning()
			a.setScope(tc.scope, tc.lacking, tc.unsure)
			a.notUntil = 0
			if got := a.mark(ms, false) == stepWords; got != tc.doubts && !tc.begins {
				t.Errorf("begins at a mark that differs: %v", got)
			}
			if a = owning(); tc.begins {
				a.setScope(tc.scope, tc.lacking, tc.unsure)
				if a.mark(ms, true) != stepWords {
					t.Error("what was never copied is not asked for at a mark that is equal")
				}
				if none := bits(); a.compared(2*ms, &none, 0, 0) != stepRecords || a.wanted != bits(3) {
					t.Errorf("asks for %d buckets, want the one that was never copied", count(&a.wanted))
				}
			}
		})
	}
	a := owning()
	a.notUntil = 0
	*a.have = bits()
	a.tick(ms)
	differ := bits(1, 2)
	a.compared(2*ms, &differ, 2, 9)
	a.ended(3*ms, ccp.SyncEnd{Position: 9, Complete: true})
	a.setScope(bits(1, 4), false, false)
	a.applied(4*ms, 9)
	if a.stale(7, 2) || !a.stale(7, 1) {
		t.Error("what is removed is not of the buckets that are still the source's")
	}
	if a.removed(5*ms, 0); *a.have != bits(1) {
		t.Errorf("%d buckets count as repaired, want the one that is still the source's", count(a.have))
	}
	// What is left is as good as lost, and asked for next.
	if a.tick(3600e9); a.stage != stageOwn {
		t.Errorf("what came to the source meanwhile is not asked for: %s", a.stage.text())
	}
}

// TestEachRequestHasItsNumber: an answer to the request for words is none to that for records.
func TestEachRequestHasItsNumber(t *testing.T) {
	a := asked(t, stageWords)
	words := a.session
	var differ ccp.SyncBitmap
	differ.Add(3)
	if a.compared(ms, &differ, 1, 5); a.session == words || words == 0 {
		t.Errorf("the request for words had the number %d, that for records has %d", words, a.session)
	}
}

// TestSpoiltRepair: a repair during which changes may have been missed is done once more, and then counts.
func TestSpoiltRepair(t *testing.T) {
	a := asked(t, stageRecords)
	a.lost(true)
	for _, want := range []bool{false, true} {
		a.ended(20*ms, ccp.SyncEnd{Position: 9, Complete: true})
		a.applied(30*ms, 9)
		a.removed(40*ms, 3)
		if a.current() != want {
			t.Fatalf("current: %v, want %v", a.current(), want)
		}
		if p := a.progressNow(50 * ms); p.Running || p.Removed != 3 || p.Stage == "removing" {
			t.Errorf("when it is done it is shown as %+v", p)
		}
		if want {
			break
		}
		if a.tick(2000*ms) != stepWords || a.compared(2010*ms, &ccp.SyncBitmap{}, 0, 5) != stepRecords || a.wanted != a.scope {
			t.Fatal("not everything is asked for once more")
		}
	}
}
