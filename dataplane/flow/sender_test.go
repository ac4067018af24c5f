// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// joined returns a sender whose peers, of incarnation 100 and more, have answered.
func joined(t testing.TB, c SenderConfig, peers ...uint8) *Sender {
	t.Helper()
	s := newSender(t, c)
	for _, id := range peers {
		s.SetPeer(0, id, 100+uint64(id))
	}
	all(0, s)
	for _, id := range peers {
		acked(t, s, 0, id, 1)
	}
	if w := s.Wake(); w != never {
		t.Fatalf("a sender all of whose peers have answered wakes at %d", w)
	}
	return s
}

func acked(t testing.TB, s *Sender, now int64, id uint8, next uint64, ranges ...Range) {
	t.Helper()
	if v := s.Acked(now, id, 100+uint64(id), Ack{LaneDelta, s.Log(), next, ranges}); v != Taken && v != Duplicate {
		t.Fatalf("the acknowledgement up to %d, %v of peer %d is %v", next, ranges, id, v)
	}
}

func request(t testing.TB, s *Sender, now int64, id uint8, missing ...Range) Verdict {
	t.Helper()
	return s.Requested(now, id, 100+uint64(id), Gap{LaneDelta, s.Log(), missing})
}

// sequences of batches, as text: "1 2 3"; a floor alone is "(4)".
func sequences(bs []Batch) string {
	var out []string
	for _, b := range bs {
		if b.Sequence == 0 {
			out = append(out, fmt.Sprintf("(%d)", b.Floor))
		} else {
			out = append(out, fmt.Sprint(b.Sequence))
		}
	}
	return strings.Join(out, " ")
}

func expect(t testing.TB, what string, got []Batch, want string) {
	t.Helper()
	if g := sequences(got); g != want {
		t.Errorf("%s: sent %q; want %q", what, g, want)
	}
}

// fill adds n items that fill one batch each.
func fill(t testing.TB, s *Sender, now int64, n int) {
	t.Helper()
	for range n {
		s.n.Marks++ // any number that grows
		add(t, s, now, mix(s.n.Marks), News, strings.Repeat("x", s.cfg.Payload))
	}
}

func TestBatching(t *testing.T) {
	s := joined(t, SenderConfig{Payload: 100}, 1)
	add(t, s, 10*ms, 1, News, strings.Repeat("a", 60))
	expect(t, "before a millisecond", all(11*ms-1, s), "")
	add(t, s, 11*ms-1, 2, News, strings.Repeat("b", 60))
	expect(t, "as soon as a batch is full", all(11*ms-1, s), "1")
	expect(t, "what is left, before its own millisecond", all(12*ms-2, s), "")
	expect(t, "and then", all(12*ms-1, s), "2")
	add(t, s, 13*ms, 3, News, "c")
	s.Flush()
	if s.Wake() != 0 {
		t.Errorf("what is to hurry wakes at %d", s.Wake())
	}
	expect(t, "flushed", all(13*ms, s), "3")
	add(t, s, 13*ms, 4, News, "d")
	expect(t, "added after the flush", all(13*ms, s), "")
	if p := s.Position(13 * ms); p != 4 {
		t.Errorf("the position is %d; want 4", p)
	}
	expect(t, "made to learn the position", all(13*ms, s), "4")
	if p := s.Position(13 * ms); p != 4 || s.Newest() != 4 {
		t.Errorf("the position is %d, then %d; want 4", p, s.Newest())
	}
}

func TestWindow(t *testing.T) {
	s := joined(t, SenderConfig{Payload: 10, Window: 4}, 1)
	fill(t, s, 0, 10)
	expect(t, "a window", all(0, s), "1 2 3 4")
	expect(t, "a closed one", all(0, s), "")
	if w := s.Wake(); w != firstRTO {
		t.Errorf("wakes at %d; want the time-out at %d", w, firstRTO)
	}
	acked(t, s, ms, 1, 1, Range{2, 3})
	expect(t, "behind a gap no more than a window from the gap on", all(ms, s), "")
	acked(t, s, ms, 1, 3)
	expect(t, "after an acknowledgement", all(ms, s), "5 6 7")
	if s.log.len() != 4 || s.Newest() != 7 {
		t.Errorf("%d batches are kept, the newest is %d; want 4 and 7: what has no room is not batched", s.log.len(), s.Newest())
	}
}

func TestRetransmission(t *testing.T) {
	s := joined(t, SenderConfig{Payload: 10, Window: 8}, 1)
	fill(t, s, 0, 8)
	all(0, s)
	if v := request(t, s, ms, 1, Range{2, 3}, Range{6, 6}); v != Taken {
		t.Errorf("a request is %v", v)
	}
	if s.Wake() != 0 {
		t.Error("what was asked for does not wake")
	}
	expect(t, "asked for", all(ms, s), "2 3 6")
	if v := request(t, s, 2*ms, 1, Range{2, 3}); v != Duplicate {
		t.Errorf("the same request a moment later is %v", v)
	}
	expect(t, "asked for again too soon", all(2*ms, s), "")
	acked(t, s, 2*ms, 1, 2, Range{4, 4})
	if v := request(t, s, 9*ms, 1, Range{1, 4}); v != Taken {
		t.Errorf("the same request after the round trip is %v", v)
	}
	expect(t, "asked for again, but not what it has", all(9*ms, s), "2 3")
	if rt := s.peers[0].rtt.smooth; rt != 2*ms {
		t.Errorf("the round trip is %d; want 2 ms", rt)
	}
	at := s.Wake()
	if at != 2*ms+minRTO {
		t.Errorf("the time-out is at %d; want %d", at, 2*ms+minRTO)
	}
	// 2 and 3 were sent at 9 ms: only 5 to 8 are overdue, and the window falls to four, those two included.
	expect(t, "at the time-out", all(at, s), "5 6")
	acked(t, s, at, 1, 4)
	expect(t, "with more room", all(at, s), "7 8")
	if rt := s.peers[0].rtt.smooth; rt != 2*ms {
		t.Errorf("the round trip is %d after an acknowledgement of what was sent three times", rt)
	}
	if n := s.Counters(); n.Requested != 5 || n.TimedOut != 4 || n.Sent != 17 {
		t.Errorf("%+v; want 17 sent, of which 5 requested and 4 timed out", n)
	}
	// The time-out doubles while nothing comes, up to a bound.
	var waits []int64
	for last := at; len(waits) < 8; {
		at := s.Wake()
		all(at, s)
		waits = append(waits, (at-last)/ms)
		last = at
	}
	if want := []int64{10, 20, 40, 80, 160, 200, 200, 200}; !slices.Equal(waits, want) {
		t.Errorf("time-outs after %v ms; want %v", waits, want)
	}
}

func TestStaleAnswers(t *testing.T) {
	for _, tc := range []struct {
		what        string
		id          uint8
		incarnation uint64
		lane        Lane
		log, upTo   uint64
		ranges      []Range
		want        Verdict
	}{
		{"right", 1, 101, LaneDelta, 0xA, 3, nil, Taken},
		{"right, by ranges", 1, 101, LaneDelta, 0xA, 1, []Range{{2, 3}, {5, 5}}, Taken},
		{"nothing new", 1, 101, LaneDelta, 0xA, 1, nil, Duplicate},
		{"of no peer", 2, 101, LaneDelta, 0xA, 3, nil, Stale},
		{"of the peer before its restart", 1, 99, LaneDelta, 0xA, 3, nil, Stale},
		{"of the sender's log before its restart", 1, 101, LaneDelta, 0xB, 3, nil, Stale},
		{"of the other lane", 1, 101, LaneBulk, 0xA, 3, nil, Stale},
		{"of what was not sent", 1, 101, LaneDelta, 0xA, 7, nil, Malformed},
		{"of sequence 0", 1, 101, LaneDelta, 0xA, 0, nil, Malformed},
		{"of ranges not sent", 1, 101, LaneDelta, 0xA, 1, []Range{{3, 6}}, Malformed},
		{"of ranges without end", 1, 101, LaneDelta, 0xA, 1, []Range{{3, 1<<64 - 1}}, Malformed},
		{"of ranges upside down", 1, 101, LaneDelta, 0xA, 1, []Range{{4, 3}}, Malformed},
	} {
		s := joined(t, SenderConfig{Payload: 10}, 1)
		fill(t, s, 0, 5)
		all(0, s)
		if v := s.Acked(ms, tc.id, tc.incarnation, Ack{tc.lane, tc.log, tc.upTo, tc.ranges}); v != tc.want {
			t.Errorf("an acknowledgement %s is %v; want %v", tc.what, v, tc.want)
		}
		if p := s.Peers(ms, nil)[0]; (p.Batches < 5) != (tc.want == Taken) {
			t.Errorf("after an acknowledgement %s %d batches of 5 are unacknowledged", tc.what, p.Batches)
		}
		if tc.ranges == nil || tc.want == Duplicate {
			continue
		}
		if v := s.Requested(ms, tc.id, tc.incarnation, Gap{tc.lane, tc.log, tc.ranges}); (v == Malformed) != (tc.want == Malformed) {
			t.Errorf("a request %s is %v; want %v", tc.what, v, tc.want)
		}
		if v := s.Requested(ms, tc.id, 99, Gap{LaneDelta, 0xA, []Range{{1, 1}}}); v != Stale {
			t.Errorf("a request of the peer before its restart is %v", v)
		}
	}
}

// TestPeerRestart: a peer that has forgotten everything gets what is added from then on, and what it said before counts for nothing.
func TestPeerRestart(t *testing.T) {
	s := joined(t, SenderConfig{Payload: 10}, 1)
	fill(t, s, 0, 3)
	all(0, s)
	s.SetPeer(ms, 1, 101) // the same
	expect(t, "told its incarnation again", all(ms, s), "")
	s.SetPeer(ms, 1, 777)
	expect(t, "restarted", all(ms, s), "(4)")
	if v := s.Acked(ms, 1, 101, Ack{LaneDelta, 0xA, 4, nil}); v != Stale || s.Settled(1) {
		t.Errorf("an acknowledgement from before is %v, settled %v", v, s.Settled(1))
	}
	expect(t, "unheard, the floor is told again", all(ms+announceFast, s), "(4)")
	if v := s.Acked(2*ms, 1, 777, Ack{LaneDelta, 0xA, 4, nil}); v != Duplicate || !s.Settled(1) {
		t.Errorf("its acknowledgement is %v, settled %v", v, s.Settled(1))
	}
	s.RemovePeer(1)
	s.RemovePeer(1)
	if len(s.Peers(0, nil)) != 0 || s.Settled(1) {
		t.Error("a peer that was removed is there")
	}
}

func TestAddRefuses(t *testing.T) {
	s := joined(t, SenderConfig{Payload: 10}, 1)
	for _, tc := range []struct {
		it   Item
		want error
	}{
		{Item{1, News, make([]byte, 11)}, ErrTooLong},
		{Item{1, News, nil}, ErrEmpty},
		{Item{1, 0, []byte("x")}, ErrClass},
		{Item{1, Mark + 1, []byte("x")}, ErrClass},
	} {
		if err := s.Add(0, tc.it); !errors.Is(err, tc.want) {
			t.Errorf("%v of %d bytes: %v; want %v", tc.it.Class, len(tc.it.Data), err, tc.want)
		}
	}
	if n := s.Counters(); n.Refused != 4 || n.Added != 0 || s.queue.items != 0 {
		t.Errorf("after refusals: %+v", n)
	}
	s.ResetCounters()
	if s.Counters() != (SenderCounters{}) {
		t.Error("counters are left after their reset")
	}
}

func TestConfigRefuses(t *testing.T) {
	for _, c := range []SenderConfig{
		{}, {Log: 1, Payload: -1}, {Log: 1, Payload: 1 << 17}, {Log: 1, Window: 1}, {Log: 1, Window: 1 << 20}, {Log: 1, BatchDelay: -1},
		{Log: 1, Deadline: -1}, {Log: 1, Lag: -1}, {Log: 1, Bytes: 100},
	} {
		if _, err := NewSender(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for _, c := range []ReceiverConfig{{Reorder: -1}, {AckDelay: -1}, {AckEvery: -1}, {Hold: 1}, {Hold: 1 << 20}, {Credit: -1}} {
		if _, err := NewReceiver(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: %v", c, err)
		}
		if _, err := NewBulkReceiver(c); !errors.Is(err, ErrConfig) {
			t.Errorf("bulk %+v: %v", c, err)
		}
	}
	for _, c := range []BulkConfig{{}, {Session: 1, Payload: -1}, {Session: 1, Window: 1}} {
		if _, err := NewBulkSender(0, c); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestLogGivesBack: what a log needed in a bad time it does not keep.
func TestLogGivesBack(t *testing.T) {
	l := newLog(10)
	for range 3 {
		for range 20_000 {
			l.append(batch{payload: append(l.buffer(), "payload"...)})
		}
		if l.len() != 20_000 || l.bytes != 140_000 {
			t.Fatalf("%d batches of %d bytes", l.len(), l.bytes)
		}
		l.trim(l.next)
		if l.bytes != 0 || len(l.ring) > 4*spareBuffers || len(l.free) > spareBuffers {
			t.Errorf("an empty log keeps %d bytes, room for %d batches and %d payloads", l.bytes, len(l.ring), len(l.free))
		}
	}
}
