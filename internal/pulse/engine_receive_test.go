// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
)

func onePeer(c *Config) { c.Peers, c.Interfaces = []uint8{1}, c.Interfaces[:1] }

func TestHeardIsToldWhenItIsNews(t *testing.T) {
	b, p := newBench(t, onePeer), newTwin(1, 111)
	b.step(0, p)
	first := take[Heard](b)
	if len(first) != 1 || first[0].Peer != 1 || first[0].Slot != 1 || first[0].Incarnation != 111 || first[0].RTT != 100*time.Microsecond {
		t.Fatalf("first answer: %+v", first)
	}
	b.step(10*ms, p) // the peer's gate is watched from now on: that is news
	if h := take[Heard](b); len(h) != 1 || h[0].Reply.Bits != ccp.BitWatched {
		t.Fatalf("second answer: %+v", h)
	}
	// What is not new is told with all other answers, 100 ms after the first; and then every 100 ms.
	for _, quiet := range []int{8, 9, 9} {
		for range quiet {
			b.step(10*ms, p)
		}
		if again := take[Heard](b); len(again) != 0 {
			t.Errorf("%d events within 100 ms of nothing new", len(again))
		}
		b.step(10*ms, p)
		if again := take[Heard](b); len(again) != 1 {
			t.Errorf("%d events after 100 ms, want 1", len(again))
		}
	}
	// If just that answer is lost, the next one is told.
	for range 9 {
		b.step(10*ms, p)
	}
	b.step(10 * ms)
	b.events = nil
	b.step(10*ms, p)
	if again := take[Heard](b); len(again) != 1 {
		t.Errorf("%d events after a lost answer, want 1", len(again))
	}
	for name, change := range map[string]func(){
		"fence":       func() { p.w.Group[0].Fence.Term++ },
		"closed":      func() { p.w.Group[0].ClosedRx++ },
		"lease":       func() { p.w.Renew(0, p.w.Group[0].Fence.Term+1, b.at+p.skew) },
		"incarnation": func() { p.w.Incarnation++ },
	} {
		change()
		b.step(10*ms, p)
		if n := len(take[Heard](b)); n != 1 {
			t.Errorf("%s changed: %d events, want 1 at once", name, n)
		}
		for range 3 { // bits settle: the lease of this twin is not renewed
			b.step(10*ms, p)
		}
		b.events = nil
	}
}

func TestAgingLeaseIsToldEachTime(t *testing.T) {
	b, p := newBench(t, onePeer), newTwin(1, 111)
	p.w.Renew(0, 5, b.at+p.skew)
	b.step(0, p)
	for range 5 {
		b.step(10*ms, p)
	}
	b.events = nil
	for range 5 {
		b.step(10*ms, p)
	}
	heard := take[Heard](b)
	if len(heard) != 5 {
		t.Fatalf("%d answers told of a watched gate whose lease is 60..100 ms old, want all 5", len(heard))
	}
	if last := heard[4].Reply; last.Bits&ccp.BitAnswer == 0 || last.LeaseAgeMs != 100 {
		t.Errorf("last answer %+v", last)
	}
}

func TestQueryIsAlwaysAnswered(t *testing.T) {
	b, p := newBench(t, onePeer), newTwin(1, 111)
	b.step(0, p)
	b.events = nil
	b.do(command{kind: msgQuery})
	frames := b.sent()
	if len(frames) != 1 || frames[0].head.Flags != ccp.FlagQuery {
		t.Fatalf("query sent %+v", frames)
	}
	b.receive(b.at, 0, p.reply(t, b.at, frames[0], b.cfg.Key))
	if h := take[Heard](b); len(h) != 1 || !h[0].Query {
		t.Errorf("events %+v", h)
	}
}

// Dead: 30 ms since the last answered probe was sent, three later ones sent, the last 2 ms ago; told at that moment.
func TestSilenceIsToldAtTheDeadline(t *testing.T) {
	b, p := newBench(t, onePeer), newTwin(1, 111)
	b.step(0, p)
	start := b.at
	b.events = nil
	var missed, silent int64
	for silent == 0 && b.at < start+100*ms {
		b.at = b.wake()
		b.advance(b.at)
		for _, e := range b.events {
			switch e := e.(type) {
			case Missed:
				if missed != 0 || e.Since != start {
					t.Errorf("missed again, or since %d: %+v", start, e)
				}
				missed = e.At
			case Silent:
				if e.Since != start || e.Peer != 1 || e.Slot != 1 {
					t.Errorf("silent %+v, last answered at %d", e, start)
				}
				silent = e.At
			}
		}
		b.events, b.frames = nil, nil
	}
	if missed != start+15*ms || silent != start+32*ms {
		t.Errorf("missed after %d µs, silent after %d µs; want 15000 and 32000", (missed-start)/1000, (silent-start)/1000)
	}
	b.step(b.wake()-b.at, p)
	if h := take[Heard](b); len(h) != 1 {
		t.Errorf("%d events for the first answer after silence, want Heard", len(h))
	}
}

// A stall of the prober is not the peer's silence: one probe after it has three to go.
func TestOwnStallIsNoSilence(t *testing.T) {
	b, p := newBench(t, onePeer), newTwin(1, 111)
	b.step(0, p)
	b.step(500*ms, p)
	b.step(10*ms, p)
	if s := take[Silent](b); len(s) != 0 {
		t.Errorf("silence after an own stall: %+v", s)
	}
}

// What does not fit into main's socket is told as a state when there is room, once.
func TestDeafMainLearnsTheStateLater(t *testing.T) {
	b, p := newBench(t, onePeer), newTwin(1, 111)
	b.step(0, p)
	b.events, b.deaf = nil, true
	for range 500 {
		b.step(10 * ms)
	}
	if b.wake() <= b.at {
		t.Error("the loop would spin: a full socket is tried at ticks only")
	}
	b.deaf = false
	for range 3 {
		b.step(10 * ms)
	}
	if n := len(take[Silent](b)); n != 1 {
		t.Errorf("%d silences told once there was room, want 1", n)
	}
}

func TestYield(t *testing.T) {
	b, p := newBench(t, func(c *Config) { c.Peers = []uint8{1} }), newTwin(1, 111)
	p.w.Renew(0, 5, b.at+p.skew)
	b.step(0, p)
	b.events = nil
	// To be granted: once per term, to one member, on whichever interface comes first.
	b.do(command{kind: msgYield, target: 1, yield: ccp.YieldClaim, term: 6})
	b.answer(p)
	for _, y := range take[YieldReply](b) {
		if y.Reply.Result != ccp.ResultGranted || y.Term != 6 || y.Peer != 1 || y.Reply.FenceTerm != 6 || y.Kind != ccp.YieldClaim {
			t.Errorf("reply %+v", y)
		}
	}
	b.do(command{kind: msgYield, target: 1, yield: ccp.YieldClaim, term: 5})
	b.answer(p)
	replies := take[YieldReply](b)
	if len(replies) != 2 || replies[0].Reply.Result != ccp.ResultRefused || replies[1].Slot == replies[0].Slot {
		t.Errorf("replies %+v, want a refusal on each interface", replies)
	}
	// Another gate has taken its place: its refusal teaches its incarnation, and the next YIELD names it.
	p.w = newTwin(1, 112).w
	for _, want := range []ccp.Result{ccp.ResultWrongIncarnation, ccp.ResultGranted} {
		b.do(command{kind: msgYield, target: 1, yield: ccp.YieldClaim, term: 9})
		b.answer(p)
		if r := take[YieldReply](b); len(r) != 2 || r[0].Reply.Result != want {
			t.Errorf("replies %+v, want %v", r, want)
		}
	}
}

// Every negative row is one change to a frame that is otherwise taken.
func TestRefusedFrames(t *testing.T) {
	type frame struct {
		head  ccp.Header
		reply ccp.Reply
		key   ccp.GateKey
		iface int
		cut   int
	}
	for name, c := range map[string]struct {
		spoil func(*frame)
		want  Drop
	}{
		"taken":                {func(*frame) {}, DropCount},
		"too short":            {func(f *frame) { f.cut = 1 }, DropMalformed},
		"a group beyond":       {func(f *frame) { f.reply.Group = MaxGroups }, DropMalformed},
		"another cluster":      {func(f *frame) { f.head.Cluster++ }, DropCluster},
		"for another member":   {func(f *frame) { f.head.Target = 2 }, DropCluster},
		"unknown key":          {func(f *frame) { f.head.Key = 2 }, DropKey},
		"unknown key, slot 1":  {func(f *frame) { f.head.Key = 5 }, DropKey},
		"forged":               {func(f *frame) { f.key[0]++ }, DropTag},
		"of a stranger":        {func(f *frame) { f.head.Source = 3 }, DropSource},
		"of member 200":        {func(f *frame) { f.head.Source = 200 }, DropSource},
		"another nonce":        {func(f *frame) { f.reply.Nonce++ }, DropNonce},
		"of the other peer":    {func(f *frame) { f.head.Source = 2 }, DropNonce},
		"on another interface": {func(f *frame) { f.iface = 1 }, DropNonce},
		"to the gate before":   {func(f *frame) { f.head.EchoIncarnation-- }, DropNonce},
	} {
		b := newBench(t)
		b.advance(b.at)
		probe := b.sent()[0] // to member 1 on interface 0
		p, _ := ccp.ParseProbe(probe.body)
		f := frame{
			head:  ccp.Header{Key: 1, Cluster: 7, Source: 1, Target: 0, Incarnation: 111, Sequence: 5, EchoIncarnation: 100, EchoStamp: probe.head.Sequence},
			reply: ccp.Reply{Nonce: p.Nonce}, key: b.cfg.Key,
		}
		c.spoil(&f)
		eth := append(make([]byte, 12), 0x88, 0xb5)
		bytes := ccp.AppendReply(eth, f.head, f.reply, f.key)
		got := b.accept(b.at, f.iface, bytes[:len(bytes)-f.cut])
		if got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		if got == DropCount {
			if again := b.accept(b.at, f.iface, bytes); again != DropNonce {
				t.Errorf("%s, again: %v, want nonce", name, again)
			}
		}
	}
	// A probe, authentic as it may be, is none of the pulse's business.
	b := newBench(t)
	b.advance(b.at)
	if got := b.accept(b.at, 0, b.frames[0].bytes); got != DropMalformed {
		t.Errorf("own probe: %v", got)
	}
}

// How slow answers are is told of the last second, so that what was does not hide what is.
func TestSlowAnswersOfTheLastSecond(t *testing.T) {
	b, p := newBench(t, onePeer), newTwin(1, 111)
	second := func(delay int64) LinkStats {
		t.Helper()
		for range 100 {
			b.advance(b.at)
			frames := b.sent()
			b.at += delay
			for _, f := range frames {
				b.receive(b.at, 0, p.reply(t, b.at, f, b.cfg.Key))
			}
			b.at += 10*ms - delay
		}
		b.advance(b.statsBy()) // behind the last answer
		b.sent()
		s := take[Stats](b)
		if len(s) != 1 {
			t.Fatalf("%d stats in a second", len(s))
		}
		return s[0].Links[0]
	}
	b.cfg.Probe = 5 * time.Millisecond // what counts as slow
	for i, want := range []struct {
		delay int64
		slow  uint64
	}{{ms, 0}, {6 * ms, 100}, {5 * ms, 0}} {
		b.nextStats, b.nextTick = b.at+1000*ms, b.at
		got := second(want.delay)
		if got.AnswersLastSecond != 100 || got.SlowAnswers != want.slow || got.Answered != uint64(100*(i+1)) {
			t.Errorf("answers after %d ms: %+v, want 100 answers, %d slow", want.delay/ms, got, want.slow)
		}
	}
}
