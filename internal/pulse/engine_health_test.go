// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
)

func TestHealth(t *testing.T) {
	b := newBench(t)
	b.step(0)
	if h := take[Health](b); len(h) != 1 || h[0].OnTimeSince != b.at {
		t.Fatalf("at the start: %+v", h)
	}
	began := b.at
	for range 9 {
		b.step(10 * ms)
	}
	if h := take[Health](b); len(h) != 0 {
		t.Errorf("before its time: %+v", h)
	}
	b.step(15 * ms) // 5 ms late: within an interval
	b.advance(b.at) // as when the answers come, with which it is told
	if h := take[Health](b); len(h) != 1 || h[0].OnTimeSince != began || h[0].Late != 5*time.Millisecond {
		t.Errorf("5 ms late: %+v", h)
	}
	b.step(30 * ms)
	late := b.at
	for range 9 {
		b.step(10 * ms)
		b.advance(b.at)
	}
	if h := take[Health](b); len(h) != 1 || h[0].OnTimeSince != late || h[0].Late < 20*time.Millisecond {
		t.Errorf("20 ms late: %+v", h)
	}
	for range 60 { // main says nothing more
		b.step(10 * ms)
	}
	var health []Health
	var notices []Notice
	for _, e := range b.events {
		switch e := e.(type) {
		case Health:
			health = append(health, e)
		case Notice:
			notices = append(notices, e)
		}
	}
	if len(health) < 5 || health[len(health)-1].OnTimeSince != 0 || len(notices) != 1 || notices[0].Code != NoticeWord {
		t.Errorf("without main's word: %+v, %+v", health, notices)
	}
}

func TestStats(t *testing.T) {
	b, p := newBench(t), newTwin(1, 111)
	lease(b, 3, false)
	for range 120 {
		b.word()
		b.step(10*ms, p)
	}
	s := take[Stats](b)
	if len(s) != 1 {
		t.Fatalf("%d stats in 1.2 s", len(s))
	}
	got := s[0]
	if got.Ticks < 100 || got.Ticks > 111 || got.Renewals < got.Ticks || got.WorstRenewal != 10*time.Millisecond || got.Late.Count != got.Ticks || len(got.Links) != 4 {
		t.Errorf("stats %+v", got)
	}
	for _, l := range got.Links {
		if answered := l.Answered == got.Ticks-1; answered != (l.Peer == 1) || l.Silent == (l.Peer == 1) || l.Sent != got.Ticks {
			t.Errorf("link %+v", l)
		}
	}
}

// TestStatsComeWithHealth: once a second, and main does not wake for them alone.
func TestStatsComeWithHealth(t *testing.T) {
	b, p := newBench(t), newTwin(1, 111)
	var at []int64
	for range 520 {
		b.word()
		b.step(10*ms, p)
		b.advance(b.at + ms/5)
		stats, health := 0, 0
		for _, e := range b.events {
			switch e.(type) {
			case Stats:
				stats++
			case Health:
				health++
			}
		}
		if b.events = nil; stats > 0 {
			at = append(at, b.at)
		}
		if stats > health {
			t.Errorf("%d stats and %d healths", stats, health)
		}
	}
	if len(at) != 5 {
		t.Fatalf("%d stats in 5.2 s", len(at))
	}
	for i := range at[1:] {
		if d := at[i+1] - at[i]; d != 1000*ms {
			t.Errorf("stats %d ms after the ones before", d/ms)
		}
	}
}

// TestStatsWithoutHealth: they wait for it, but not for ever.
func TestStatsWithoutHealth(t *testing.T) {
	b := newBench(t)
	b.nextStats, b.health.toldAt = b.at, b.at+10000*ms
	for range 9 {
		b.step(10 * ms)
	}
	if s := take[Stats](b); len(s) != 0 {
		t.Errorf("%d stats without the Health that comes in a moment", len(s))
	}
	b.step(10 * ms)
	if s := take[Stats](b); len(s) != 1 {
		t.Errorf("%d stats after their time", len(s))
	}
}

// Between two deadlines nothing is allocated: there is no collector.
func TestNothingIsAllocated(t *testing.T) {
	b, p := newBench(t), newTwin(1, 111)
	quiet := quietKernel{&b.at}
	lease(b, 3, false)
	b.step(0, p)
	b.at += 10 * ms
	b.advance(b.at)
	var answers [][]byte
	for _, f := range b.sent() {
		if f.head.Target == 1 {
			answers = append(answers, p.reply(t, b.at, f, b.cfg.Key))
		}
	}
	b.engine.kernel = quiet
	word := command{kind: msgWord}
	yield := command{kind: msgYield, target: 1, yield: ccp.YieldClaim, term: 4}
	query := command{kind: msgQuery}
	n := testing.AllocsPerRun(1000, func() { // 10 s: silence, stats and health are told too
		b.at += 10 * ms
		word.at = b.at
		b.engine.command(b.at, &word)
		b.engine.command(b.at, &yield)
		b.engine.command(b.at, &query)
		for i, a := range answers {
			b.receive(b.at, i, a)
		}
		b.advance(b.at)
		if b.wake() <= b.at {
			t.Fatal("the loop would spin")
		}
	})
	if n != 0 {
		t.Errorf("%v allocations a round", n)
	}
	if n := testing.AllocsPerRun(1000, func() {
		if err := decodeCommand(appendCommand(b.engine.message[:0], &yield), &word); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a command", n)
	}
}

// quietKernel keeps nothing.
type quietKernel struct{ at *int64 }

func (q quietKernel) now() int64                { return *q.at }
func (q quietKernel) transmit(int, []byte) fate { return left }
func (q quietKernel) tell([]byte) bool          { return true }
func (q quietKernel) later([]byte) bool         { return true }
