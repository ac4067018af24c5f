// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
)

const aSession = 0x5E551

// bulkPair is both ends of a session, and a link between them that can be cut.
type bulkPair struct {
	t    *testing.T
	s    *BulkSender
	r    *BulkReceiver
	now  int64
	cut  bool
	lose func(what any) bool
	slow bool // what is handed out is not consumed
	got  []byte
	owed int // bytes handed out and not consumed
}

func newBulkPair(t *testing.T, window int, c ReceiverConfig) *bulkPair {
	t.Helper()
	s, err := NewBulkSender(0, BulkConfig{Session: aSession, Payload: 100, Window: window})
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewBulkReceiver(c)
	if err != nil {
		t.Fatal(err)
	}
	r.Open(0, aSession)
	return &bulkPair{t: t, s: s, r: r, lose: func(any) bool { return false }}
}

// step has both ends send what is due, and time pass to the next wake, at most d.
func (p *bulkPair) step(d int64) {
	for {
		b, ok := p.s.Next(p.now)
		if !ok {
			break
		}
		if p.cut || p.lose(b) {
			continue
		}
		for _, b := range p.r.Receive(p.now, b).Ready {
			p.got = append(p.got, b.Payload...)
			p.owed += len(b.Payload)
		}
	}
	if !p.slow {
		p.r.Consumed(p.now, p.owed)
		p.owed = 0
	}
	if a, ok := p.r.Ack(p.now); ok && !p.cut && !p.lose(a) {
		p.s.Acked(p.now, a)
	}
	if g, ok := p.r.Gap(p.now); ok && !p.cut && !p.lose(g) {
		p.s.Requested(p.now, g)
	}
	if c, ok := p.r.Credit(p.now); ok && !p.cut && !p.lose(c) {
		p.s.Credit(p.now, c)
	}
	p.now = max(p.now+1, min(p.s.Wake(), p.r.Wake(), p.now+d))
}

// transfer offers n items and waits until all are there; it returns what they were.
func (p *bulkPair) transfer(n int) (want []byte) {
	p.t.Helper()
	for i := 0; !p.s.Done(); {
		if p.now > 1e12 {
			p.t.Fatalf("not done after %d s: %+v", p.now/1e9, p.s.Counters())
		}
		for i < n {
			item := fmt.Appendf(nil, "item %d.", i)
			ok, err := p.s.Offer(p.now, item)
			if err != nil {
				p.t.Fatal(err)
			}
			if !ok {
				break
			}
			want = append(want, item...)
			i++
		}
		if i == n {
			p.s.Close()
		}
		p.step(100 * ms)
	}
	if !bytes.Equal(p.got, want) {
		p.t.Errorf("%d bytes arrived, %d were offered, and they differ", len(p.got), len(want))
	}
	return want
}

// TestBulkTransfer: a table many times larger than the credit arrives whole, and neither side ever holds more than the credit.
func TestBulkTransfer(t *testing.T) {
	p := newBulkPair(t, 512, ReceiverConfig{Credit: 4000})
	want := p.transfer(20_000)
	if n := p.s.Counters(); len(want) < 100_000 || n.PeakBytes > 4000 || n.Sent != n.Batches || n.TimedOut > 0 {
		t.Errorf("%d bytes: %+v", len(want), n)
	}
	if p.s.Silent(p.now+1e9) != 0 {
		t.Errorf("silent for %d though done", p.s.Silent(p.now+1e9))
	}
}

// TestBulkLoss: whatever kind of frame is lost, it goes on.
func TestBulkLoss(t *testing.T) {
	for _, kind := range []any{Batch{}, Ack{}, Gap{}, Credit{}} {
		p := newBulkPair(t, 4, ReceiverConfig{Credit: 4000})
		rng := rand.New(rand.NewPCG(1, 2))
		p.lose = func(what any) bool {
			return fmt.Sprintf("%T", what) == fmt.Sprintf("%T", kind) && rng.IntN(3) != 0
		}
		p.transfer(3000)
		if n := p.s.n; n.PeakBatches > 8 {
			t.Errorf("with %T lost %d batches are held at most; want twice the window", kind, n.PeakBatches)
		}
	}
}

// TestBulkOutage: after an outage it goes on where it was.
func TestBulkOutage(t *testing.T) {
	p := newBulkPair(t, 512, ReceiverConfig{Credit: 100_000})
	p.lose = func(any) bool { return p.now > 3*ms && p.now < 30_000*ms }
	for p.s.limit == 0 {
		p.step(ms)
	}
	p.now = 2 * ms
	for i := 0; ; i++ {
		if ok, _ := p.s.Offer(p.now, fmt.Appendf(nil, "early item %d.", i)); !ok || i == 2000 {
			break
		}
	}
	for p.now < 25_000*ms {
		p.step(100 * ms)
	}
	if s := p.s.Silent(p.now); s < 20_000*ms {
		t.Errorf("silent for %d ms; want about 22 s", s/ms)
	}
	if p.s.n.Sent > p.s.n.Batches+1000 {
		t.Errorf("%d batches sent for %d: an outage is filled with retransmissions", p.s.n.Sent, p.s.n.Batches)
	}
	p.s.Close()
	before := p.s.una
	for p.now < 31_000*ms {
		p.step(100 * ms)
	}
	if !p.s.Done() || p.s.una <= before {
		t.Errorf("a second after the outage: %+v", p.s.Counters())
	}
}

// TestBulkCredit: nothing beyond the credit is taken, and consumption is what renews it.
func TestBulkCredit(t *testing.T) {
	p := newBulkPair(t, 512, ReceiverConfig{Credit: 1000})
	p.slow = true
	item := bytes.Repeat([]byte("x"), 100)
	if ok, err := p.s.Offer(0, item); ok || err != nil {
		t.Errorf("without credit it takes %v, %v", ok, err)
	}
	p.step(ms)
	taken := 0
	for p.now < 5_000*ms {
		if ok, _ := p.s.Offer(p.now, item); ok {
			taken++
		}
		p.step(10 * ms)
	}
	if taken != 10 || p.s.Room() != 0 || len(p.got) != 1000 {
		t.Errorf("%d items taken, room for %d bytes, %d arrived; want 10, 0 and 1000", taken, p.s.Room(), len(p.got))
	}
	if n := p.s.n.Announcements; n < 4 || n > 12 {
		t.Errorf("asked for credit %d times in 5 s", n)
	}
	p.r.Consumed(p.now, 200)
	if _, ok := p.r.Credit(p.now); ok {
		t.Error("a fifth of the credit is told at once")
	}
	p.r.Consumed(p.now, 100)
	if c, ok := p.r.Credit(p.now); !ok || c.Limit != 1300 || p.s.Credit(p.now, c) != Taken || p.s.Room() != 300 {
		t.Errorf("credit %+v %v; want 1300", c, ok)
	}
	for _, c := range []struct {
		c    Credit
		want Verdict
	}{{Credit{aSession, 1300}, Duplicate}, {Credit{aSession, 5}, Duplicate}, {Credit{aSession + 1, 5000}, Stale}} {
		if v := p.s.Credit(p.now, c.c); v != c.want || p.s.Room() != 300 {
			t.Errorf("%+v is %v, room %d", c.c, v, p.s.Room())
		}
	}
	// More than was handed out cannot be consumed.
	p.r.Consumed(p.now, 1<<40)
	p.r.Consumed(p.now, -5)
	if p.r.limit() != 2000 {
		t.Errorf("the limit is %d; want 2000", p.r.limit())
	}
	// A sender that does not keep to it is not listened to.
	b := Batch{LaneBulk, aSession, 11, 11, bytes.Repeat([]byte("x"), 1001)}
	if got := p.r.Receive(p.now, b); got.Verdict != Beyond || got.Ready != nil {
		t.Errorf("beyond the credit: %+v", got)
	}
	b.Sequence, b.Payload = 12, b.Payload[:600]
	if got := p.r.Receive(p.now, b); got.Verdict != Taken {
		t.Errorf("within the credit, out of order: %+v", got)
	}
	b.Sequence = 13
	if got := p.r.Receive(p.now, b); got.Verdict != Beyond {
		t.Errorf("together beyond the credit: %+v", got)
	}
}

func TestBulkSessions(t *testing.T) {
	p := newBulkPair(t, 512, ReceiverConfig{})
	p.step(ms)
	first := Batch{LaneBulk, aSession, 1, 1, []byte("x")}
	for what, tc := range map[string]struct {
		b    Batch
		want Verdict
	}{
		"of another session":       {Batch{LaneBulk, 9, 1, 1, []byte("x")}, Stale},
		"of the other lane":        {Batch{LaneDelta, aSession, 1, 1, []byte("x")}, Malformed},
		"of what was acknowledged": {Batch{LaneBulk, aSession, 3, 2, []byte("x")}, Malformed},
	} {
		if got := p.r.Receive(0, tc.b); got.Verdict != tc.want || got.Ready != nil || got.Missed != 0 {
			t.Errorf("%s: %+v", what, got)
		}
	}
	if got := p.r.Receive(0, first); sequences(got.Ready) != "1" {
		t.Errorf("the first: %+v", got)
	}
	for _, a := range []Ack{{LaneBulk, 9, 1, nil}, {LaneDelta, aSession, 1, nil}} {
		if v := p.s.Acked(0, a); v != Stale {
			t.Errorf("%+v is %v", a, v)
		}
	}
	if v := p.s.Acked(0, Ack{LaneBulk, aSession, 5, nil}); v != Malformed {
		t.Errorf("an acknowledgement of what was never sent is %v", v)
	}
	if v := p.s.Requested(0, Gap{LaneBulk, aSession, []Range{{5, 5}}}); v != Malformed {
		t.Errorf("a request for what was never sent is %v", v)
	}
	if v := p.s.Requested(0, Gap{LaneDelta, aSession, nil}); v != Stale {
		t.Errorf("a request of the other lane is %v", v)
	}
	p.r.Shut()
	if got := p.r.Receive(0, Batch{LaneBulk, aSession, 2, 1, []byte("x")}); got.Verdict != Stale || p.r.Session() != 0 || p.r.Wake() != never {
		t.Errorf("after it was shut: %+v, wakes at %d", got, p.r.Wake())
	}
	p.r.Open(0, aSession+1)
	if got := p.r.Receive(0, Batch{LaneBulk, aSession + 1, 1, 1, []byte("x")}); sequences(got.Ready) != "1" {
		t.Errorf("the first of the next session: %+v", got)
	}
	if _, err := p.s.Offer(0, nil); !errors.Is(err, ErrEmpty) {
		t.Error(err)
	}
	if _, err := p.s.Offer(0, make([]byte, 101)); !errors.Is(err, ErrTooLong) {
		t.Error(err)
	}
	p.s.Close()
	if ok, err := p.s.Offer(0, []byte("x")); ok || err != nil || p.s.Room() != 0 || !p.s.Done() {
		t.Errorf("closed, it takes %v %v, has room for %d, done %v", ok, err, p.s.Room(), p.s.Done())
	}
}
