// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"testing"
	"time"
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
