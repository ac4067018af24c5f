// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"testing"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/members/gate"
)

// sharing is a bench whose gate shares load, beside a member that is there.
func sharing(t *testing.T) (*bench, *twin) {
	b, p := newBench(t), newTwin(1, 111)
	b.own.w.Sharing, p.w.Sharing = true, true
	b.step(0, p)
	return b, p
}

func openShare(b *bench, term, number uint32) {
	b.do(command{kind: msgShare, term: term, number: number, at: b.at})
}

func lastShare(t *testing.T, b *bench) ShareChanged {
	t.Helper()
	all := take[ShareChanged](b)
	if len(all) == 0 {
		t.Fatal("nothing was told of the share")
	}
	return all[len(all)-1]
}

func TestShareIsRenewedWhileTheWordIsFresh(t *testing.T) {
	b, p := sharing(t)
	b.own.w.Group[0].Fence = gate.Fence{Term: 3, Grantee: 1} // another leads: what its term is, everybody's share may be
	openShare(b, 3, 1)
	if !b.own.ShareOpen(b.at) {
		t.Fatal("a share opens at once")
	}
	if bits := b.own.Serving(0, b.at); bits.Has(gate.Answer) || !bits.Has(gate.Forward) {
		t.Fatalf("bits %b: a share forwards and does not answer", bits)
	}
	spoken := b.at
	for b.at < spoken+490*ms {
		b.step(10*ms, p)
		if age := b.own.Share().Age(b.at); age > 0 {
			t.Fatalf("share %d ms old, %d ms after the word", age/ms, (b.at-spoken)/ms)
		}
	}
	if e := lastShare(t, b); !e.Open || e.Term != 3 || e.Leased != 3 || e.Number != 1 || e.Lost != LostNot {
		t.Errorf("told %+v", e)
	}
	for range 4 {
		b.own.w.Probed = b.at
		b.step(10*ms, p)
	}
	if e := lastShare(t, b); b.own.ShareOpen(b.at) || e.Open || e.Leased != 3 {
		t.Errorf("told %+v: must have aged once the word was 500 ms old", e)
	}
	b.word()
	b.step(10*ms, p)
	if e := lastShare(t, b); !e.Open || !b.own.ShareOpen(b.at) {
		t.Errorf("told %+v after a new word", e)
	}
}

// A new leader closes everybody's share, which lingers, and whoever hears from it goes on under its term.
func TestShareUnderTheNextTerm(t *testing.T) {
	b, p := sharing(t)
	openShare(b, 3, 1)
	b.step(10*ms, p)
	b.own.w.Grant(0, 4, 1, b.at)
	b.step(10*ms, p)
	e := lastShare(t, b)
	if e.Open || !e.Forward || e.Lost != LostOvertaken || e.Leased != 0 || e.FenceTerm != 4 {
		t.Fatalf("told %+v, want overtaken and lingering", e)
	}
	openShare(b, 3, 2)
	if b.step(10*ms, p); b.own.ShareOpen(b.at) || lastShare(t, b).Lost != LostOvertaken {
		t.Error("the old term opened again")
	}
	openShare(b, 4, 0)
	if b.step(10*ms, p); !b.own.ShareOpen(b.at) {
		t.Error("the new term did not open")
	}
}

// TestShareEndsInOrder: what is on its way still passes, for the linger time; and it can be opened again.
func TestShareEndsInOrder(t *testing.T) {
	b, p := sharing(t)
	openShare(b, 3, 1)
	b.step(10*ms, p)
	b.do(command{kind: msgDropShare, lingers: true})
	b.step(0, p)
	if e := lastShare(t, b); !b.own.Serving(0, b.at).Has(gate.Forward) || b.own.ShareOpen(b.at) || e.Open || !e.Forward || e.Term != 0 || e.Lost != LostNot {
		t.Errorf("bits %b, told %+v", b.own.Serving(0, b.at), e)
	}
	if b.step(int64(b.own.w.Linger), p); b.own.Serving(0, b.at).Has(gate.Forward) {
		t.Error("it lingers for good")
	}
	openShare(b, 3, 2)
	if b.step(0, p); !b.own.ShareOpen(b.at) {
		t.Error("it cannot be opened again")
	}
}

func TestDroppedShareClosesAtOnce(t *testing.T) {
	b, p := sharing(t)
	openShare(b, 3, 1)
	b.step(10*ms, p)
	b.do(command{kind: msgDropShare})
	b.step(0, p)
	if e := lastShare(t, b); b.own.Serving(0, b.at) != 0 || e.Open || e.Forward || e.Term != 0 || e.Lost != LostNot {
		t.Errorf("bits %b, told %+v", b.own.Serving(0, b.at), e)
	}
	openShare(b, 3, 1)
	if b.step(0, p); !b.own.ShareOpen(b.at) {
		t.Error("what was dropped cannot be opened again")
	}
}

// What was closed for as long as the others may have given it away comes back by a newer table only.
func TestExpiredShareNeedsANewerTable(t *testing.T) {
	b, p := sharing(t)
	openShare(b, 3, 5)
	b.step(10*ms, p)
	b.at += 1100 * ms // the whole machine stood still
	b.word()
	b.step(0, p)
	if e := lastShare(t, b); b.own.ShareOpen(b.at) || e.Lost != LostExpired || e.Term != 0 {
		t.Fatalf("told %+v, want expired", e)
	}
	for _, k := range []struct {
		term, number uint32
		want         bool
	}{{3, 5, false}, {2, 9, false}, {3, 6, true}, {4, 0, true}} {
		openShare(b, k.term, k.number)
		b.step(10*ms, p)
		if b.own.ShareOpen(b.at) != k.want {
			t.Errorf("table %d of term %d: open %v", k.number, k.term, !k.want)
		}
	}
}

// A share that is renewed by one table after the other expires with the newest: an older one, which was on its way, does not bring it back.
func TestExpiredShareRemembersItsNewestTable(t *testing.T) {
	b, p := sharing(t)
	openShare(b, 3, 1)
	b.step(10*ms, p)
	openShare(b, 3, 5)
	b.at += 1100 * ms
	b.word()
	b.step(0, p)
	openShare(b, 3, 4)
	if b.step(10*ms, p); b.own.ShareOpen(b.at) {
		t.Error("an older table opened the gate")
	}
	openShare(b, 3, 6)
	if b.step(10*ms, p); !b.own.ShareOpen(b.at) {
		t.Error("a newer table does not open the gate")
	}
}

// The pulse that follows finds the share as its predecessor left it.
func TestShareIsAdopted(t *testing.T) {
	b, p := sharing(t)
	b.own.w.RenewShare(3, b.at-15*ms)
	openShare(b, 3, 7)
	if b.step(0, p); !b.own.ShareOpen(b.at) || lastShare(t, b).Number != 7 {
		t.Error("not adopted")
	}
	b, p = sharing(t)
	b.own.w.RenewShare(3, b.at-1200*ms)
	openShare(b, 3, 7)
	if b.step(0, p); b.own.ShareOpen(b.at) || lastShare(t, b).Lost != LostExpired {
		t.Error("adopted although nobody had renewed it for so long")
	}
}

// A share that ages is told with every answer, as a lease is.
func TestAgingShareIsToldEachTime(t *testing.T) {
	b, p := sharing(t)
	p.w.RenewShare(3, b.at+p.skew)
	for range 10 {
		p.w.Watched = b.at + p.skew + 10*ms
		b.step(10*ms, p)
	}
	heard := take[Heard](b)
	aged := 0
	for _, h := range heard {
		if h.Reply.Term == 3 && h.Reply.Bits&ccp.BitForward != 0 && h.Reply.LeaseAgeMs > oldLease {
			aged++
		}
	}
	if aged < 4 {
		t.Errorf("%d of %d answers told that the share ages", aged, len(heard))
	}
}
