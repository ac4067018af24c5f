// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
)

// TestYieldReplyNeedsItsNonce: a grant is believed once, from the gate that was asked, on the interface where it was asked.
func TestYieldReplyNeedsItsNonce(t *testing.T) {
	type frame struct {
		source uint8
		nonce  uint64
		iface  int
	}
	for name, k := range map[string]struct {
		spoil func(*frame)
		want  Drop
	}{
		"taken":                {func(*frame) {}, DropCount},
		"another nonce":        {func(f *frame) { f.nonce++ }, DropNonce},
		"no nonce":             {func(f *frame) { f.nonce = 0 }, DropNonce},
		"of the other peer":    {func(f *frame) { f.source = 2 }, DropNonce},
		"on another interface": {func(f *frame) { f.iface = 1 }, DropNonce},
	} {
		b := newBench(t)
		b.do(command{kind: msgYield, target: 1, yield: ccp.YieldClaim, term: 6})
		asked := b.sent()
		if len(asked) != 2 || asked[0].head.Target != 1 || asked[1].head.Target != 1 {
			t.Fatalf("asked %+v, want member 1 alone, on both interfaces", asked)
		}
		y, _ := ccp.ParseYield(asked[0].body)
		f := frame{source: 1, nonce: y.Nonce}
		k.spoil(&f)
		reply := ccp.AppendReply(append(make([]byte, 12), 0x88, 0xb5), ccp.Header{Type: ccp.TypeYieldReply, Key: 1, Cluster: 7, Source: f.source,
			Incarnation: 111, Sequence: 5, EchoIncarnation: 100, EchoStamp: asked[0].head.Sequence},
			ccp.Reply{Nonce: f.nonce, Result: ccp.ResultGranted, FenceTerm: 6}, b.cfg.Key)
		b.events = nil
		if got := b.accept(b.at, f.iface, reply); got != k.want {
			t.Errorf("%s: %v, want %v", name, got, k.want)
		}
		if again := b.accept(b.at, f.iface, reply); again != DropNonce {
			t.Errorf("%s, again: %v", name, again)
		}
		if told := len(take[YieldReply](b)); (told == 1) != (k.want == DropCount) || told > 1 {
			t.Errorf("%s: main was told %d times", name, told)
		}
	}
}

// TestHearsYouEnds: a probe says that its target is heard for no longer than the dead interval: a gate that is late goes on for that word.
func TestHearsYouEnds(t *testing.T) {
	b, p := newBench(t, func(c *Config) { c.Peers = []uint8{1} }), newTwin(1, 111)
	b.step(0, p)
	heard := b.at + ms/10
	for b.at < heard+60*ms {
		b.at += 10 * ms
		b.advance(b.at)
		for _, f := range b.sent() {
			pr, _ := ccp.ParseProbe(f.body)
			if got, want := pr.Bits&ccp.BitHearsYou != 0, b.at-heard < 30*ms; got != want {
				t.Errorf("%v after the last answer: hears it %v", time.Duration(b.at-heard), got)
			}
		}
	}
}

// TestReconfiguredTimers: with other timers silence is judged by these, and what was known of each link stays that link's.
func TestReconfiguredTimers(t *testing.T) {
	b, one, two := newBench(t), newTwin(1, 111), newTwin(2, 222)
	b.step(0, one, two)
	for range 6 {
		b.step(10*ms, one)
	}
	if gone := take[Silent](b); len(gone) != 2 || gone[0].Peer != 2 {
		t.Fatalf("silent: %+v, want member 2 on both interfaces", gone)
	}
	c := testConfig()
	c.Peers = []uint8{2, 1}
	c.Probe, c.Dead = 50*time.Millisecond, 150*time.Millisecond
	b.configure(c, b.at)
	for _, l := range b.links {
		if silent, want := l.silence != audible, l.peer == 2; silent != want || l.macKnown != true || l.mac != map[uint8]*twin{1: one, 2: two}[l.peer].mac(l.iface) {
			t.Errorf("member %d on slot %d: silent %v, at %x", l.peer, l.slot, silent, l.mac)
		}
	}
	last := int64(0)
	for range 3 {
		b.step(50*ms, one)
		last = b.at
	}
	b.events = nil
	for b.at < last+1000*ms && len(b.events) == 0 {
		b.step(5 * ms)
		for _, s := range take[Silent](b) {
			if s.Peer == 1 && b.at < last+150*ms {
				t.Fatalf("member 1 is silent %v after its last answer, by the timers of before", time.Duration(b.at-last))
			}
			if s.Peer == 1 {
				return
			}
		}
		b.events = nil
	}
	t.Error("member 1 never falls silent")
}

// TestJudging: before silence is concluded the loop is told to read everything that has come.
func TestJudging(t *testing.T) {
	b, p := newBench(t, func(c *Config) { c.Peers = []uint8{1}; c.Interfaces = c.Interfaces[:1] }), newTwin(1, 111)
	b.step(0, p)
	if b.judging(b.at) {
		t.Error("something is to be concluded while all is well")
	}
	b.at += 10 * ms
	b.advance(b.at)
	b.at += 6 * ms // more than half a probe interval
	if !b.judging(b.at) {
		t.Error("an unanswered probe is judged before what has come is read")
	}
}
