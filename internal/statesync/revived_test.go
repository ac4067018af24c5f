// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// TestBelated: what a member tells that hung is passed over where others have gone on; its own it may tell, and so may who is just behind.
func TestBelated(t *testing.T) {
	p := stillSharing(t)
	q := &p.peers[1]
	p.speaks(1, q, p.share.version)
	p.SetOwners(*parts(7, 1, 3))
	at := func(bucket int) record.Identity { return record.Identity{Key: uint64(bucket)<<54 | 9} }
	l := &lot{kind: lotShare, peer: 1, bound: 1, log: 1, seq: 5, owners: p.share.owners}
	applied := func(what string, ago int64, b int, want bool) {
		t.Helper()
		if q.behind = boottime() - ago; p.shared(l, record.OpUpdate, record.TableConnections, at(b)) != want {
			t.Errorf("%s: applied %v", what, !want)
		}
	}
	if q.behind == 0 || q.table != parts(7, 0, 3).version() {
		t.Fatalf("behind %d, %+v", q.behind, q.table)
	}
	applied("just behind", linger/2, 5, true)
	applied("it hung", 2*linger, 5, false)
	applied("it hung, a third one's", 2*linger, 900, false)
	applied("it hung, its own", 2*linger, 400, true)
	p.speaks(boottime(), q, p.share.version)
	if q.behind != 0 {
		t.Error("behind though it has caught up")
	}
	q.table = version{} // a new daemon's lane has named none
	applied("a new daemon", 2*linger, 5, true)
}

// tcp is an established connection number n with that time-out.
func tcp(n int, timeout time.Duration) record.Record {
	r := udp(n, record.OpNew)
	src, dst := []byte{10, 0, byte(n >> 8), byte(n)}, []byte{198, 51, 100, 7}
	tuple := func(typ uint16, src, dst []byte, sport, dport int) []byte {
		ip := append(attr(1, src), attr(2, dst)...)
		proto := append(append(attr(1, []byte{6}), attr(2, be16(uint16(sport)))...), attr(3, be16(uint16(dport)))...)
		return attr(typ|0x8000, append(attr(1|0x8000, ip), attr(2|0x8000, proto)...))
	}
	b := append(tuple(1, src, dst, n, 80), tuple(2, dst, src, 80, n)...)
	b = append(b, attr(3, []byte{0, 0, 0, 8 | 2 | 4})...)
	b = append(b, attr(7, binary.BigEndian.AppendUint32(nil, uint32(timeout/time.Second)))...)
	state := append(attr(1, []byte{3}), append(attr(4, []byte{10, 10}), attr(5, []byte{10, 10})...)...)
	r.Attrs = append(b, attr(4|0x8000, attr(1|0x8000, state))...)
	return r
}

// TestIdleConnectionsEnd: an own connection that has been idle for days is not begun anew by a move of buckets that are others', or by
// what others tell of one in another bucket.
func TestIdleConnectionsEnd(t *testing.T) {
	w := newShared(t, 2, 2, 1)
	w.ready()
	p := w.members[0].plane
	quiet := func() {
		t.Helper()
		w.eventually("all sweeps are done", 3*time.Second, func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.jobs.again {
				p.formerUntil = 0
				p.rearm(boottime())
				return false
			}
			return !p.jobs.sweep && p.jobs.copied == (ccp.SyncBitmap{}) && p.jobs.copiedLater == (ccp.SyncBitmap{})
		})
		// The last one may be under way: whoever sweeps does nothing else meanwhile.
		p.mu.Lock()
		made := p.made
		p.jobs.ownTally = true
		p.mu.Unlock()
		p.jobs.signal()
		w.eventually("the last sweep is done", 3*time.Second, func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.made > made && !p.jobs.ownTally
		})
	}
	quiet()
	w.members[0].gets([]record.Record{tcp(100, time.Hour)})
	w.eventually("it is everywhere", 3*time.Second, w.equal(1))
	swept := func() uint64 {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.stats.Swept
	}
	before := swept()
	w.move(0, func(b int, _ uint8) bool { return b > 600 })
	w.move(1, func(b int, _ uint8) bool { return b > 700 })
	p.mu.Lock()
	var one ccp.SyncBitmap
	one.Add(101)
	p.sweepLater(&one)
	p.mu.Unlock()
	quiet()
	if left := w.members[0].longest(); left > 3600 || swept() != before {
		t.Errorf("%d s left, %d time-outs set", left, swept()-before)
	}
	p.mu.Lock()
	one.Add(100)
	p.sweepLater(&one)
	p.mu.Unlock()
	quiet()
	if left := w.members[0].longest(); left < 86400 {
		t.Errorf("what may be a copy has %d s left", left)
	}
}

// TestHeldAndForeign: what is held back and ends is forgotten, whosever bucket it is in by now.
func TestHeldAndForeign(t *testing.T) {
	p := stillSharing(t)
	p.now = boottime()
	r := udp(500, record.OpDelete)
	id, v := p.judge.Examine(p.hasher, r)
	p.held.Put(id.Key, id.Print, p.now+1e9, p.wire(udp(500, record.OpNew)))
	before := p.tally.Sum()
	if p.eventOf(r, id, v); p.held.Len() != 0 || p.tally.Sum() != before {
		t.Errorf("%d are held, %+v", p.held.Len(), p.tally.Sum())
	}
}

// TestBeginsBeforeItMoved: what begins in a bucket that is about to move here is told when it has moved, or will not, or has waited for long.
func TestBeginsBeforeItMoved(t *testing.T) {
	for name, ends := range map[string]func(p *Plane, prepared, moved *Owners){
		"it moves":        func(p *Plane, _, moved *Owners) { p.SetOwners(*moved) },
		"it stays":        func(p *Plane, _, _ *Owners) { p.SetOwners(*parts(7, 2, 3)) },
		"nothing happens": func(p *Plane, _, _ *Owners) { p.matured(p.now + comesWithin) },
	} {
		p := stillSharing(t)
		prepared := parts(7, 1, 3)
		prepared.Commit, prepared.Moving[500], prepared.Coming[500], prepared.Moving[900] = false, true, true, true
		moved := parts(7, 1, 3)
		moved.Takes[500], moved.Takes[900] = 0, 1
		p.SetOwners(*prepared)
		p.now = boottime()
		tell := func(n int, op record.Op) uint64 {
			before := p.stats.Records
			r := udp(n, op)
			id, v := p.judge.Examine(p.hasher, r)
			p.eventOf(r, id, v)
			return p.stats.Records - before
		}
		if tell(900, record.OpNew) != 1 {
			t.Errorf("%s: what begins in another bucket is not told", name)
		}
		if tell(500, record.OpNew)+tell(500, record.OpUpdate)+tell(500+record.Buckets, record.OpNew)+tell(500+record.Buckets, record.OpDelete) != 0 || p.held.Len() != 1 {
			t.Errorf("%s: what begins in the bucket is told at once; %d are held", name, p.held.Len())
		}
		before := p.stats
		if ends(p, prepared, moved); p.held.Len() != 0 || p.stats.News != before.News+1 {
			t.Errorf("%s: %d are held, %d told", name, p.held.Len(), p.stats.News-before.News)
		}
	}
}

// TestExpectationEnds: only the owner of its master's bucket tells that an expectation is no more: a copy's times out by itself.
func TestExpectationEnds(t *testing.T) {
	p := stillSharing(t)
	p.now = boottime()
	for b, want := range map[int][2]bool{5: {true, true}, 900: {true, false}} {
		id := record.Identity{Key: uint64(b)<<54 | 3}
		for i, op := range []record.Op{record.OpUpdate, record.OpDelete} {
			before := p.stats.Records
			p.eventOf(record.Record{Table: record.TableExpectations, Op: op, Family: record.IPv4}, id, record.Verdict{})
			if got := p.stats.Records != before; got != want[i] {
				t.Errorf("bucket %d, %v: told %v", b, op, got)
			}
		}
	}
}

// TestFlushEvicted: what an evicted peer has not got is not told to all.
func TestFlushEvicted(t *testing.T) {
	p := stillSharing(t)
	p.peers[1].heard, p.peers[1].evicted = boottime(), true
	if done, err := p.settled(); done || err == nil {
		t.Errorf("settled %v, %v", done, err)
	}
	p.share.on = false
	if done, err := p.settled(); !done || err != nil {
		t.Errorf("mode ha: settled %v, %v", done, err)
	}
}
