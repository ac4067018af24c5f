// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/members/gate"
)

func lease(b *bench, term uint32, alone bool) {
	b.do(command{kind: msgLease, term: term, alone: alone, at: b.at})
}

func TestLeaseIsRenewedWhileTheWordIsFresh(t *testing.T) {
	b, p := newBench(t), newTwin(1, 111) // a member that is there
	b.step(0, p)
	lease(b, 3, false)
	if l, bits := b.own0(); l.Term() != 3 || !bits.Has(gate.Answer) {
		t.Fatalf("lease %d, bits %b: a lease opens at once", l.Term(), bits)
	}
	spoken := b.at
	for b.at < spoken+490*ms {
		b.step(10*ms, p)
		if l, _ := b.own0(); l.Age(b.at) > 0 {
			t.Fatalf("lease %d ms old, %d ms after the word", l.Age(b.at)/ms, (b.at-spoken)/ms)
		}
	}
	for range 4 {
		b.own.w.Probed = b.at // by the member that is there
		b.step(10*ms, p)
	}
	if l, bits := b.own0(); l.Age(b.at) < 30*ms || bits.Has(gate.Answer) || l.Term() != 3 {
		t.Errorf("term %d, age %d ms, bits %b: must have aged, not gone, once the word was 500 ms old", l.Term(), l.Age(b.at)/ms, bits)
	}
	closed := take[GateChanged](b)
	if last := closed[len(closed)-1]; last.Bits&ccp.BitAnswer != 0 || last.Leased != 3 {
		t.Errorf("last event %+v, want closed and still to be renewed", last)
	}
	b.word()
	b.step(10*ms, p)
	if l, bits := b.own0(); l.Age(b.at) > 0 || !bits.Has(gate.Answer) {
		t.Errorf("age %d ms, bits %b after a new word", l.Age(b.at)/ms, bits)
	}
}

// A word that waited in the socket while the pulse was stalled says that main lived then, not now.
func TestOldWordIsOld(t *testing.T) {
	b := newBench(t)
	lease(b, 3, false)
	b.at += 800 * ms
	b.do(command{kind: msgWord, at: b.at - 600*ms})
	if b.fresh(b.at) {
		t.Error("a word of 600 ms ago is fresh")
	}
	b.do(command{kind: msgWord, at: b.at + time.Hour.Nanoseconds()})
	if b.at += 501 * ms; b.fresh(b.at) {
		t.Error("a word from the future is fresh for longer than others")
	}
}

func TestOvertakenLeaseIsDropped(t *testing.T) {
	for name, c := range map[string]struct {
		fence gate.Fence
		lost  Lost
	}{
		"a higher term":                   {gate.Fence{Term: 4, Grantee: 1}, LostOvertaken},
		"this term, for another":          {gate.Fence{Term: 3, Grantee: 1}, LostOvertaken},
		"this term, for nobody":           {gate.Fence{Term: 3, Grantee: gate.Nobody}, LostOvertaken},
		"this term, for us":               {gate.Fence{Term: 3, Grantee: 0}, LostNot},
		"a lower term, whoever's it was.": {gate.Fence{Term: 2, Grantee: 1}, LostNot},
	} {
		b := newBench(t)
		lease(b, 3, true)
		b.step(10 * ms)
		b.events = nil
		b.own.w.Group[0].Fence = c.fence
		b.word()
		b.step(10 * ms)
		events := take[GateChanged](b)
		if len(events) != 1 || events[0].Lost != c.lost {
			t.Errorf("%s: events %+v", name, events)
		}
		if l, _ := b.own0(); (l.Term() == 0) != (c.lost != LostNot) {
			t.Errorf("%s: lease of term %d", name, l.Term())
		}
		if c.lost != LostNot && (events[0].Leased != 0 || b.own.Alone(0) != 0) {
			t.Errorf("%s: %+v, alone since %d", name, events[0], b.own.Alone(0))
		}
	}
}

// A lease that lay for longer than the hard expiry is main's to claim again.
func TestExpiredLeaseIsNotPickedUp(t *testing.T) {
	b := newBench(t)
	lease(b, 3, true)
	b.at += 1100 * ms
	b.word()
	b.step(10 * ms)
	events := take[GateChanged](b)
	if l, _ := b.own0(); l != 0 || len(events) == 0 || events[len(events)-1].Lost != LostExpired {
		t.Errorf("lease %x, events %+v", l, events)
	}
	lease(b, 3, false) // on its way while the loss was told
	if l, _ := b.own0(); l != 0 {
		t.Error("the lost term was opened again")
	}
	lease(b, 4, false)
	if l, bits := b.own0(); l.Term() != 4 || !bits.Has(gate.Answer) {
		t.Errorf("a new claim was refused: lease %d, bits %b", l.Term(), bits)
	}
}

// No request opens a gate whose lease lay for the hard expiry: it closed meanwhile, and every opening is a claim.
func TestRequestForAnOldLeaseIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		lay     int64
		prepare func(*bench)
		alone   bool
		open    bool
	}{
		"repeated for alone":          {1000 * ms, func(b *bench) { lease(b, 3, false) }, true, false},
		"repeated, alone taken back":  {1000 * ms, func(b *bench) { lease(b, 3, true) }, false, false},
		"repeated in time":            {990 * ms, func(b *bench) { lease(b, 3, false) }, true, true},
		"adopted":                     {1000 * ms, func(b *bench) { b.own.w.Renew(0, 3, b.at) }, true, false},
		"adopted in time":             {990 * ms, func(b *bench) { b.own.w.Renew(0, 3, b.at) }, true, true},
		"adopted, of the future":      {0, func(b *bench) { b.own.w.Renew(0, 3, b.at+5000*ms) }, true, false},
		"claimed after another's own": {5000 * ms, func(b *bench) { b.own.w.Renew(0, 2, b.at) }, false, true},
		"claimed":                     {5000 * ms, func(*bench) {}, false, true},
	} {
		b := newBench(t)
		c.prepare(b)
		b.at += c.lay
		lease(b, 3, c.alone) // the gate opens with the request, not with the next round
		l, bits := b.own0()
		if open := bits.Has(gate.Answer); open != c.open || open != (l.Term() == 3) {
			t.Errorf("%s: lease of term %d, bits %b", name, l.Term(), bits)
		}
		if !c.open && b.own.Alone(0) != 0 {
			t.Errorf("%s: marked as alone since %d", name, b.own.Alone(0))
		}
		b.advance(b.at)
		events := take[GateChanged](b)
		if last := events[len(events)-1]; (last.Lost == LostExpired) == c.open || (last.Leased == 3) != c.open {
			t.Errorf("%s: told %+v", name, last)
		}
	}
}

// A claim that waited in the socket while the pulse was stopped was settled without it.
func TestOldRequestIsRefused(t *testing.T) {
	b := newBench(t)
	b.at += 5000 * ms
	b.do(command{kind: msgLease, term: 3, at: b.at - 1000*ms})
	b.word()
	b.step(10 * ms)
	if l, _ := b.own0(); l != 0 {
		t.Errorf("lease of term %d", l.Term())
	}
	b = newBench(t)
	b.at += 5000 * ms
	b.do(command{kind: msgLease, term: 4, at: b.at - 700*ms}) // too old a word to open, young enough to wait for the next
	if l, _ := b.own0(); l != 0 {
		t.Errorf("lease of term %d with a word of 700 ms ago", l.Term())
	}
	b.word()
	b.step(10 * ms)
	if l, _ := b.own0(); l.Term() != 4 {
		t.Errorf("lease of term %d", l.Term())
	}
}

// A new pulse takes over from one that died: main asks for the term that is being served, and no word but the time of renewal
// changes, in no order of stores is the gate closed.
func TestAdoptionTouchesNothing(t *testing.T) {
	b := newBench(t)
	b.own.w.Renew(0, 3, b.at-300*ms) // late, but alone: open
	b.own.w.Group[0].Alone = b.at - 5000*ms
	b.own.w.Group[0].Fence = gate.Fence{Term: 3, Grantee: 0}
	b.step(0)
	if l, bits := b.own0(); l.Age(b.at) < 299*ms || !bits.Has(gate.Answer) {
		t.Fatal("the new pulse changed the gate before it was asked to")
	}
	lease(b, 3, true)
	if l, bits := b.own0(); l.Age(b.at) != 0 || !bits.Has(gate.Answer|gate.Alone) || b.own.Alone(0) != b.at-5000*ms {
		t.Errorf("age %d ms, bits %b, alone since %d", l.Age(b.at)/ms, bits, b.own.Alone(0))
	}
	lease(b, 3, false) // the first peer was heard
	if b.own.Alone(0) != 0 {
		t.Error("still marked as alone")
	}
}

func TestLeaseMarksAloneAnew(t *testing.T) {
	b := newBench(t)
	lease(b, 3, true)
	first := b.own.Alone(0)
	b.at += 10 * ms
	lease(b, 3, true)
	if b.own.Alone(0) != first {
		t.Error("repeating a lease renewed its mark: probes that came between would no longer count")
	}
	lease(b, 4, true)
	if b.own.Alone(0) != b.at {
		t.Error("a new term kept the mark of the old one")
	}
}

func TestDropClosesAtOnce(t *testing.T) {
	b := newBench(t)
	lease(b, 3, true)
	b.step(10 * ms)
	b.events = nil
	b.do(command{kind: msgDrop})
	if l, bits := b.own0(); l != 0 || bits != 0 {
		t.Errorf("lease %x, bits %b", l, bits)
	}
	b.step(0)
	if e := take[GateChanged](b); len(e) != 1 || e[0].Lease != 0 || e[0].Leased != 0 || e[0].Lost != LostNot {
		t.Errorf("events %+v", e)
	}
	b.step(10 * ms)
	if l, _ := b.own0(); l != 0 {
		t.Error("renewed after a drop")
	}
}

// Every Lease and Drop is answered, also one that changes nothing.
func TestRequestsAreAnswered(t *testing.T) {
	b := newBench(t)
	b.own.w.Group[2].Fence = gate.Fence{Term: 9, Grantee: 1}
	for _, c := range []struct {
		command command
		want    GateChanged
	}{
		{command{kind: msgDrop, group: 2}, GateChanged{}},
		{command{kind: msgDrop, group: 2}, GateChanged{}},
		{command{kind: msgLease, group: 2, term: 9}, GateChanged{Lost: LostOvertaken}},
		{command{kind: msgLease, group: 2, term: 10}, GateChanged{Leased: 10, Lease: 10, Bits: ccp.BitAnswer | ccp.BitForward}},
		{command{kind: msgLease, group: 2, term: 10}, GateChanged{Leased: 10, Lease: 10, Bits: ccp.BitAnswer | ccp.BitForward}},
	} {
		b.events = nil
		c.command.at = b.at
		b.do(c.command)
		b.step(0)
		c.want.Group, c.want.FenceTerm, c.want.Grantee, c.want.At = 2, 9, 1, b.at
		var got []GateChanged
		for _, e := range take[GateChanged](b) {
			if e.Group == 2 {
				got = append(got, e)
			}
		}
		if len(got) != 1 || got[0] != c.want {
			t.Errorf("%+v:\n got %+v\nwant %+v", c.command, got, c.want)
		}
	}
	// Other groups are probed only while they are leased.
	b.step(10 * ms)
	b.frames = nil
	b.at += 10 * ms
	b.advance(b.at)
	groups := map[uint8]int{}
	for _, f := range b.sent() {
		p, _ := ccp.ParseProbe(f.body)
		groups[p.Group]++
	}
	if groups[0] != 4 || groups[2] != 4 || len(groups) != 2 {
		t.Errorf("probes by group: %v", groups)
	}
}
