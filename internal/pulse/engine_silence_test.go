// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/members/gate"
)

// Where nothing leaves, nothing can be heard: after the dead interval the peers there are silent, by this host's fault.
func TestNothingLeaves(t *testing.T) {
	for name, f := range map[string]fate{"the interface is down": gone, "the queue is full": held} {
		b, p := newBench(t, onePeer), newTwin(1, 111)
		b.step(0, p)
		start := b.at
		b.events = nil
		b.fate[0] = f
		for b.at < start+100*ms {
			b.at = b.wake()
			b.advance(b.at)
		}
		var missed []Missed
		var silent []Silent
		for _, e := range b.events {
			switch e := e.(type) {
			case Missed:
				missed = append(missed, e)
			case Silent:
				silent = append(silent, e)
			}
		}
		if len(missed) != 1 || missed[0].At != start+15*ms || missed[0].Since != start {
			t.Errorf("%s: missed %+v, want once, 15 ms after %d", name, missed, start)
		}
		if want := (Silent{Peer: 1, Slot: 1, Unsent: true, At: start + 30*ms, Since: start}); len(silent) != 1 || silent[0] != want {
			t.Errorf("%s: silent %+v, want %+v", name, silent, want)
		}
		if s := b.links[0].stats; s.Unsent != 10 || s.Sent != 1 {
			t.Errorf("%s: sent %d, unsent %d", name, s.Sent, s.Unsent)
		}
		b.fate[0], b.events = left, nil
		b.step(10*ms, p)
		if h := take[Heard](b); len(h) != 1 {
			t.Errorf("%s, and then frames leave and are answered: %d Heard", name, len(h))
		}
		b.step(0)
		if s := take[Silent](b); len(s) != 0 {
			t.Errorf("%s, and then frames leave and are answered: %+v", name, s)
		}
	}
}

// The pulse that does not run, or is refused once in a while, accuses neither the peer nor the interface.
func TestFewRefusalsAreNoSilence(t *testing.T) {
	for name, run := range map[string]func(*bench, *twin){
		"two refusals": func(b *bench, p *twin) {
			b.fate[0] = held
			b.step(10 * ms)
			b.step(10 * ms)
		},
		"a stall, then a refusal": func(b *bench, p *twin) {
			b.fate[0] = held
			b.step(500 * ms)
		},
		"a stall, then a burst of refusals": func(b *bench, p *twin) {
			b.fate[0] = held
			b.step(500 * ms)
			for range 5 {
				b.do(command{kind: msgQuery})
			}
			b.step(0)
		},
		"every other probe": func(b *bench, p *twin) {
			for range 20 {
				b.fate[0] = held - b.fate[0]
				b.step(10*ms, p)
			}
		},
	} {
		b, p := newBench(t, onePeer), newTwin(1, 111)
		b.step(0, p)
		run(b, p)
		if s := take[Silent](b); len(s) != 0 {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// A peer whose probes did not leave is judged anew when they do: by three new ones. Only then is its silence its own.
func TestSilenceChangesSides(t *testing.T) {
	b, p := newBench(t, onePeer), newTwin(1, 111)
	b.step(0, p)
	last := b.at
	b.step(10 * ms) // two are out unanswered when the transmitter hangs
	b.step(10 * ms)
	b.fate[0] = held
	for range 5 {
		b.step(10 * ms)
	}
	if s := take[Silent](b); len(s) != 1 || !s[0].Unsent {
		t.Fatalf("while nothing leaves: %+v", s)
	}
	b.fate[0] = left
	free := b.at + 10*ms
	for b.at < free+60*ms {
		b.at = b.wake()
		b.advance(b.at)
	}
	if s := take[Silent](b); len(s) != 1 || s[0].Unsent || s[0].At != free+32*ms || s[0].Since != last {
		t.Errorf("once probes leave, the first %d: %+v, want 32 ms after it", free, s)
	}
	b.fate[0] = held
	for range 5 {
		b.step(10 * ms)
	}
	if s := take[Silent](b); len(s) != 1 || !s[0].Unsent {
		t.Errorf("when they do not leave any more: %+v", s)
	}
}

// The answer to a probe from before the silence is late news: main is not told that the peer is heard, for it would not be told of
// the silence again.
func TestLateAnswerDoesNotEndSilence(t *testing.T) {
	b, p := newBench(t, onePeer), newTwin(1, 111)
	b.step(0, p)
	b.at += 10 * ms
	b.advance(b.at)
	slow := b.sent()[0]
	for range 20 {
		b.step(10 * ms)
	}
	b.events = nil
	b.receive(b.at, 0, p.reply(t, b.at, slow, b.cfg.Key))
	for range 20 {
		b.step(10 * ms)
	}
	if h := take[Heard](b); len(h) != 0 {
		t.Errorf("an answer %v late: %+v", 200*time.Millisecond, h)
	}
	b.step(10*ms, p)
	if h := take[Heard](b); len(h) != 1 {
		t.Errorf("%d Heard for an answer in time", len(h))
	}
}

// Who is alone there goes on serving, for the hard expiry, when main or the pulse stands still; a member that probes ends that.
func TestSingle(t *testing.T) {
	b, p := newBench(t, onePeer), newTwin(1, 111)
	b.own.w.Probed = b.at
	b.step(0, p)
	lease(b, 3, false)
	for range 4 {
		b.step(10*ms, p)
	}
	if at := b.own.Single(); at != 0 {
		t.Fatalf("single since %d although a member answers and probed a moment ago", at)
	}
	for range 5 {
		b.own.w.Probed = b.at
		b.step(10 * ms)
	}
	if at := b.own.Single(); at != 0 {
		t.Errorf("single since %d although a member probes", at)
	}
	gone := b.at
	for b.own.Single() == 0 && b.at < gone+time.Second.Nanoseconds() {
		b.word()
		b.step(10 * ms)
	}
	if at := b.own.Single(); at < gone+20*ms || at > gone+40*ms {
		t.Errorf("single since %d ms after the last probe, want a dead interval", (at-gone)/ms)
	}
	if l := b.own.Lease(0); !b.own.Serving(0, b.at+900*ms).Has(gate.Answer) || b.own.Serving(0, b.at+1001*ms).Has(gate.Answer) {
		t.Errorf("with a lease of %d ms: serving %v", (900*ms+l.Age(b.at))/ms, b.own.Serving(0, b.at+900*ms))
	}
	marked := b.own.Single()
	b.engine.links[0].silence = audible // as a pulse finds it that has just started
	b.engine.judgeSingle(b.at + 10*ms)
	if at := b.own.Single(); at != marked {
		t.Errorf("a pulse that knows nothing yet changed %d into %d", marked, at)
	}
	b.own.w.Probed = b.at + 1
	if b.own.Serving(0, b.at+100*ms).Has(gate.Answer) {
		t.Error("serves with an old lease although a member probes")
	}
	// A gate whose pulse is dead answers and never probes.
	before := b.at
	for b.own.Single() <= before && b.at < before+3*time.Second.Nanoseconds() {
		b.word()
		b.step(10*ms, p)
	}
	if at := b.own.Single() - b.own.w.Probed; at < int64(hardExpiry) || at > int64(hardExpiry)+20*ms {
		t.Errorf("single %d ms after the last probe of a gate that answers, want the hard expiry", at/ms)
	}
}
