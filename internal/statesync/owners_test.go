// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"slices"
	"testing"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// parts is a table in which the members take equal parts.
func parts(term, number uint32, members int) *Owners {
	o := &Owners{Term: term, Number: number, Commit: true, Sharing: true}
	for b := range o.Takes {
		o.Takes[b] = uint8(b * members / record.Buckets)
	}
	return o
}

// stillSharing is a plane of three that does not run, and is current under parts(7, 0, 3).
func stillSharing(t *testing.T) *Plane {
	t.Helper()
	p := still(t)
	p.SetSlots(bySourcePort)
	for id := uint8(1); id < 3; id++ {
		p.takeStatus(0, &p.peers[id], ccp.SyncStatus{Role: ccp.SyncOwner, Term: 7})
	}
	p.SetOwners(*parts(7, 0, 3))
	p.have, p.tallyGood = allBuckets, true
	p.follow(1)
	for _, a := range p.askers {
		if a.abandon(); a.source != ccp.Nobody {
			a.whole, a.ownAt = false, boottime()
		}
	}
	return p
}

func TestMovesTo(t *testing.T) {
	before, after := parts(7, 0, 3), parts(7, 1, 3)
	if m := movesTo(before, after, 0); !m.none || m.unplanned || count(&m.gained) != 0 || m.taken != [8]int{342, 341, 341} {
		t.Errorf("nothing has moved: %+v", m)
	}
	for b := range 100 {
		after.Moving[b], after.Commit = true, false
	}
	m := movesTo(before, after, 0)
	if m.none || count(&m.lost) != 0 || m.taken[0] != 342 || count(&m.scopes[0]) != 242 || count(&m.takes[0]) != 342 || m.moving != 100 {
		t.Errorf("a hundred are about to: %+v", m)
	}
	before, after = after, parts(7, 2, 3)
	for b := range 120 {
		after.Takes[b] = 1
	}
	if m = movesTo(before, after, 0); count(&m.lost) != 120 || !m.orphaned[0] || m.orphaned[1] || m.unplanned {
		t.Errorf("120 have gone, of which 20 were not to: %+v", m)
	}
	if m = movesTo(before, after, 1); count(&m.gained) != 120 || !m.gainedFrom[0] || !m.unplanned || m.orphaned[2] {
		t.Errorf("120 have come: %+v", m)
	}
	after = parts(7, 2, 3)
	for b := range 100 {
		after.Takes[b] = 1
	}
	if m = movesTo(before, after, 1); m.unplanned || m.orphaned != [8]bool{} || count(&m.gained) != 100 {
		t.Errorf("a hundred have come as they were to: %+v", m)
	}
	if m = movesTo(nil, after, 2); !m.unplanned || count(&m.gained) != 341 || m.gainedFrom != [8]bool{} {
		t.Errorf("the first table: %+v", m)
	}
}

// TestShared: what is applied of what other members tell.
func TestShared(t *testing.T) {
	p := stillSharing(t)
	now := boottime()
	newer := parts(7, 1, 3)
	newer.Takes[5] = 1
	moving := parts(7, 0, 3)
	moving.Moving[5] = true
	at := func(bucket int, key uint64) record.Identity { return record.Identity{Key: uint64(bucket)<<54 | key} }
	p.own.add(now, at(5, 1).Key)
	p.own.add(now, at(400, 1).Key)
	from := func(o *Owners) *lot { return &lot{kind: lotShare, peer: 1, bound: 1, log: 1, seq: 5, owners: o} }
	const connections = record.TableConnections
	for _, k := range []struct {
		name  string
		l     *lot
		table record.Table
		of    *Owners // by which the sender speaks
		id    record.Identity
		want  [3]bool // new, update, delete
	}{
		{"its own", from(p.share.owners), connections, p.share.owners, at(400, 2), [3]bool{true, true, true}},
		{"its own, which this member has met too", from(p.share.owners), connections, p.share.owners, at(400, 1), [3]bool{true, true, true}},
		{"this member's own", from(p.share.owners), connections, p.share.owners, at(5, 2), [3]bool{true, true, false}},
		{"this member's own, known better", from(p.share.owners), connections, p.share.owners, at(5, 1), [3]bool{false, false, false}},
		{"this member's own, which is moving to it", from(moving), connections, p.share.owners, at(5, 1), [3]bool{true, true, false}},
		{"a third one's", from(p.share.owners), connections, p.share.owners, at(900, 2), [3]bool{true, true, false}},
		{"its own by a newer table", from(p.share.owners), connections, newer, at(5, 1), [3]bool{true, true, true}},
		{"what it owned by an older table", from(newer), connections, p.share.owners, at(900, 2), [3]bool{true, true, false}},
		{"what it owned when it came", from(newer), connections, parts(6, 9, 3), at(5, 1), [3]bool{true, true, true}},
		{"before the first table", from(nil), connections, parts(6, 9, 3), at(5, 1), [3]bool{true, true, true}},
		{"an expectation", from(p.share.owners), record.TableExpectations, p.share.owners, at(5, 1), [3]bool{true, true, false}},
		{"an expectation of its own", from(p.share.owners), record.TableExpectations, p.share.owners, at(400, 1), [3]bool{true, true, true}},
	} {
		p.peers[1].table = k.of.version()
		for i, op := range []record.Op{record.OpNew, record.OpUpdate, record.OpDelete} {
			if got := p.shared(k.l, op, k.table, k.id); got != k.want[i] {
				t.Errorf("%s, %v: applied %v", k.name, op, got)
			}
		}
	}
	// What something later was about that was applied already.
	drained := from(p.share.owners)
	drained.drained, drained.seq = true, 9
	p.peers[1].drained.end = 9
	if !p.shared(drained, record.OpUpdate, connections, at(400, 7)) || p.shared(from(p.share.owners), record.OpNew, connections, at(400, 7)) ||
		!p.shared(from(p.share.owners), record.OpNew, connections, at(400, 8)) {
		t.Error("what was drained")
	}
}

// TestLostBuckets: what a member loses it goes on having if it had told all just before; else its new owner is asked.
func TestLostBuckets(t *testing.T) {
	for i, announced := range []int{100, 100, 99} {
		p := stillSharing(t)
		flushed := i != 1 && announced == 100
		prepare := parts(7, 1, 3)
		for b := range announced {
			prepare.Moving[b] = true
		}
		prepare.Commit = false
		p.SetOwners(*prepare)
		if i != 1 {
			p.flushedAt = boottime()
		}
		o := parts(7, 1, 3)
		for b := range 100 {
			o.Takes[b] = 1
		}
		p.SetOwners(*o)
		a := p.share.askers[1]
		if a.current() != flushed || p.current() != flushed || a.whole || a.doubt == flushed || count(&a.scope) != 441 || !p.share.askers[2].current() {
			t.Errorf("flushed %v: current %v, %v, whole %v, doubt %v", flushed, a.current(), p.current(), a.whole, a.doubt)
		}
	}
}

// TestScopeGrows: a repair that is under way while its source takes over more has not brought that.
func TestScopeGrows(t *testing.T) {
	p := stillSharing(t)
	a := p.share.askers[1]
	p.have = ccp.SyncBitmap{}
	a.whole = true
	a.askWords(1)
	a.compared(1, &ccp.SyncBitmap{}, 0, 9)
	if a.buckets != 341 || a.stage != stageRecords {
		t.Fatalf("%d buckets, %v", a.buckets, a.stage)
	}
	o := parts(7, 1, 3)
	for b, taker := range o.Takes {
		if taker == 2 {
			o.Takes[b] = 1
		}
	}
	o.Takes[342] = 0
	p.SetOwners(*o)
	if a.stage != stageRecords || a.wanted.Has(342) || a.wanted.Has(800) || !a.wanted.Has(343) {
		t.Errorf("%v, wanted %x", a.stage, a.wanted)
	}
	a.ended(2, ccp.SyncEnd{Complete: true})
	a.applied(2, 0)
	a.removed(2, 0)
	if a.current() || a.whole || !a.lacking || !p.have.Has(343) || p.have.Has(800) || p.have.Has(342) {
		t.Errorf("current %v, whole %v, have %x", a.current(), a.whole, p.have)
	}
	// What it has taken over is all that is copied then.
	a.notUntil = 0
	a.askWords(3)
	if a.compared(3, &ccp.SyncBitmap{}, 0, 9); a.stage != stageRecords || a.buckets != 341 || a.wanted.Has(343) || !a.wanted.Has(800) {
		t.Errorf("%v, %d buckets, wanted %x", a.stage, a.buckets, a.wanted)
	}
	a.ended(4, ccp.SyncEnd{Complete: true})
	a.applied(4, 0)
	if a.removed(4, 0); !a.current() || a.lacking || a.whole {
		t.Errorf("current %v, lacking %v", a.current(), a.lacking)
	}
	p.have = ccp.SyncBitmap{}
	if !p.owns(342) || !p.owns(0) || p.owns(343) {
		t.Error("owners")
	}
}

// TestOtherTable: who goes by another table is served nothing to repair by, and marks of another table are not compared.
func TestOtherTable(t *testing.T) {
	p := stillSharing(t)
	q := &p.peers[1]
	q.key = 1
	table := p.share.table()
	for name, k := range map[string]struct {
		change func(*ccp.SyncTable)
		repair ccp.SyncResult
		read   ccp.SyncResult
	}{
		"the same":       {func(*ccp.SyncTable) {}, ccp.SyncAccepted, ccp.SyncAccepted},
		"another number": {func(s *ccp.SyncTable) { s.Number++ }, ccp.SyncBusy, ccp.SyncAccepted},
		"another phase":  {func(s *ccp.SyncTable) { s.Commit = false }, ccp.SyncBusy, ccp.SyncAccepted},
		"other rules":    {func(s *ccp.SyncTable) { s.Rules++ }, ccp.SyncBusy, ccp.SyncBusy},
		"mode ha":        {func(s *ccp.SyncTable) { *s = ccp.SyncTable{} }, ccp.SyncBusy, ccp.SyncBusy},
	} {
		by := table
		k.change(&by)
		if got := p.mayServe(q, ccp.SyncWantRepair, by); got != k.repair {
			t.Errorf("%s: a repair is %v", name, got)
		}
		if got := p.mayServe(q, ccp.SyncWantRead, by); got != k.read {
			t.Errorf("%s: to be read is %v", name, got)
		}
	}
	l := &lot{kind: lotShare, peer: 1, bound: 1}
	m := p.shareMark()
	compare := func(name string, m record.Mark, want uint64) {
		t.Helper()
		before := p.stats.Marks
		if p.compare(1e15, l, m); p.stats.Marks-before != want {
			t.Errorf("%s: compared %d times", name, p.stats.Marks-before)
		}
	}
	m.Sum = record.Sum{}
	compare("the same", m, 1)
	m.Number++
	compare("a newer table", m, 0)
	if q.table != versionOf(m) {
		t.Errorf("it speaks by %+v", q.table)
	}
	m.Number--
	m.Rules++
	compare("other rules", m, 0)
	m.Rules--
	m.Blank = true
	compare("blank", m, 0)
	m.Blank = false
	p.tallyGood = false
	compare("without an own tally", m, 0)
}

// TestVersions are ordered by term, number and phase.
func TestVersions(t *testing.T) {
	all := []version{{}, {1, 0, false}, {1, 0, true}, {1, 1, false}, {1, 9, true}, {2, 0, true}}
	for i, v := range all {
		for k, w := range all {
			if v.before(w) != (i < k) {
				t.Errorf("%+v before %+v: %v", v, w, v.before(w))
			}
		}
	}
}

// TestOwnKeysLast: in load sharing what own packets were about is known for one turn, and the one after it.
func TestOwnKeysLast(t *testing.T) {
	o := ownKeys{lasting: true}
	o.add(1, 7)
	if !o.has(7) || o.wake() != 1+linger {
		t.Errorf("%+v", o)
	}
	o.add(2+linger, 8)
	if !o.has(7) || !o.has(8) {
		t.Errorf("%+v", o)
	}
	o.turn(3 + 2*linger)
	if o.has(7) || !o.has(8) {
		t.Errorf("%+v", o)
	}
	o.turn(4 + 3*linger)
	if o.has(8) || o.wake() != never {
		t.Errorf("%+v", o)
	}
	ha := ownKeys{until: 10}
	ha.add(1, 7)
	ha.add(9, 8)
	if !ha.has(7) || !ha.has(8) || ha.wake() != never {
		t.Errorf("%+v", ha)
	}
	if ha.add(11, 9); ha.has(7) || ha.has(9) {
		t.Errorf("%+v", ha)
	}
}

// TestOtherRules: who had everything has it still when it is sorted into other buckets.
func TestOtherRules(t *testing.T) {
	for _, all := range []bool{true, false} {
		p := stillSharing(t)
		p.have = p.share.takes[1]
		if all {
			join(&p.have, &p.share.takes[2])
		}
		s := bySourcePort
		s.Rules++
		p.SetSlots(s)
		if p.current() != all || (count(&p.have) == 0) == all || p.tallyGood {
			t.Errorf("all %v: current %v, %d buckets, tally %v", all, p.current(), count(&p.have), p.tallyGood)
		}
	}
}

// TestNotCurrent: what keeps a member from being fit to serve in load sharing, and for how long.
func TestNotCurrent(t *testing.T) {
	p := stillSharing(t)
	if !p.current() {
		t.Fatal("not current")
	}
	p.skip(&p.peers[2])
	if p.current() || !p.share.askers[2].whole || p.share.askers[1].whole {
		t.Error("current though changes of an owner were lost")
	}
	q := &p.peers[2]
	now := boottime()
	q.ownerSince, q.idleSince, p.share.at = 0, now, now
	if p.current() || p.shareShowAt(now) != now+awayFor {
		t.Error("an owner that has just said that it is none is not waited for")
	}
	q.idleSince, p.share.at = now-awayFor, now-awayFor
	if !p.current() {
		t.Error("an owner that does not synchronise is waited for")
	}
	q.ownerSince = 1
	if p.current() {
		t.Error("an owner that synchronises is not waited for")
	}
}

// TestSharedEvents: of which own events the others hear.
func TestSharedEvents(t *testing.T) {
	for _, open := range []bool{true, false} {
		p := stillSharing(t)
		o := parts(7, 0, 3)
		o.Sharing = open
		p.SetOwners(*o)
		p.lingerUntil = 0
		p.now = boottime()
		told := func(n int, op record.Op) bool {
			before := p.stats.Records
			r := udp(n, op)
			id, v := p.judge.Examine(p.hasher, r)
			p.eventOf(r, id, v)
			return p.stats.Records != before
		}
		var got []bool
		for _, n := range []int{5, 500} {
			got = append(got, told(n, record.OpNew), told(n, record.OpUpdate), told(n, record.OpDelete))
		}
		if want := []bool{true, true, true, open, open, false}; !slices.Equal(got, want) {
			t.Errorf("open %v: told %v, want %v", open, got, want)
		}
		if p.tally.Sum() != (record.Sum{}) || !p.share.askers[1].doubt {
			t.Errorf("open %v: %+v, doubt %v", open, p.tally.Sum(), p.share.askers[1].doubt)
		}
	}
}

// TestTouchedByAll: a change that anybody tells, or this member's own packets make, is newer than what is being copied from another.
func TestTouchedByAll(t *testing.T) {
	p := stillSharing(t)
	a := p.share.askers[1]
	a.whole = true
	a.askWords(1)
	a.compared(1, &ccp.SyncBitmap{}, 0, 9)
	if !a.tracking() {
		t.Fatal("no repair")
	}
	by := func(n int) record.Identity {
		id, err := p.hasher.Identify(udp(n, record.OpNew))
		must(t, err)
		return id
	}
	third := &lot{kind: lotShare, peer: 2, bound: 2, log: 2, seq: 1, owners: p.share.owners}
	p.chosen(third, udp(500, record.OpUpdate), by(500), record.Verdict{})
	p.chosen(third, udp(501, record.OpDelete), by(501), record.Verdict{}) // it is not for it to say
	p.now = boottime()
	p.eventOf(udp(502, record.OpUpdate), by(502), record.Verdict{})
	for n, want := range map[int]bool{500: false, 501: true, 502: false, 503: true} {
		if got := a.list(by(n).Key); got != want {
			t.Errorf("%d: applied %v", n, got)
		}
	}
}
