// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"reflect"
	"strings"
	"testing"
)

// play lets time pass to until, the peers that answer acknowledging everything at once, and returns the events.
func play(t *testing.T, s *Sender, from, until int64, answers ...uint8) (events []Event) {
	t.Helper()
	for now := from; now <= until; now = max(now+1, min(s.Wake(), now+ownStall)) {
		for {
			id, b, ok := s.Next(now)
			if !ok {
				break
			}
			for _, a := range answers {
				if a == id {
					acked(t, s, now, id, max(b.Sequence+1, b.Floor))
				}
			}
		}
		events = s.Events(events)
	}
	return events
}

// TestSilentPeer: a peer that says nothing is evicted at the deadline, costs the others nothing, and returns with what comes then.
func TestSilentPeer(t *testing.T) {
	s := joined(t, SenderConfig{Payload: 10, Deadline: 1000 * ms}, 1, 2)
	start := 500 * ms
	play(t, s, 0, start)
	fill(t, s, start, 3)
	if e := play(t, s, start, start+1000*ms-1, 2); e != nil {
		t.Fatalf("before the deadline: %+v", e)
	}
	if !s.Settled(2) || s.Settled(1) || s.log.len() != 3 {
		t.Errorf("settled %v and %v with %d batches kept; want the second one settled, and all kept for the first", s.Settled(2), s.Settled(1), s.log.len())
	}
	want := []Event{{Kind: Evicted, Peer: 1, Reason: Silent, Lost: 3}}
	if e := play(t, s, start+1000*ms-1, start+1000*ms, 2); !reflect.DeepEqual(e, want) {
		t.Fatalf("at the deadline: %+v; want %+v", e, want)
	}
	if s.log.len() != 0 {
		t.Errorf("%d batches are kept for an evicted peer", s.log.len())
	}
	st := s.Peers(start+1000*ms, nil)
	if !st[0].Evicted || st[0].Reason != Silent || st[1].Evicted {
		t.Errorf("peers: %+v", st)
	}
	now := start + 1200*ms
	fill(t, s, now, 2)
	play(t, s, now, now+10*ms, 2)
	if v := s.Acked(now, 1, 101, Ack{LaneDelta, 0xA, 3, nil}); v != Stale {
		t.Errorf("an acknowledgement from before the floor it was told is %v", v)
	}
	// It is told where it stands until it answers, ever more rarely, but not more rarely than once a second.
	told := s.n.Announcements
	play(t, s, now+10*ms, now+10_010*ms, 2)
	if n := s.n.Announcements - told; n < 9 || n > 12 {
		t.Errorf("told its floor %d times in ten seconds", n)
	}
	now += 20_000 * ms
	if e := play(t, s, now, now+1000*ms, 1, 2); len(e) != 1 || e[0] != (Event{Kind: Returned, Peer: 1}) {
		t.Fatalf("when it answers: %+v", e)
	}
	now += 1000 * ms
	fill(t, s, now, 1)
	play(t, s, now, now+10*ms, 1, 2)
	if !s.Settled(1) || !s.Settled(2) {
		t.Errorf("after its return: %+v", s.Peers(now, nil))
	}
}

// TestReturnAfterReturn: one that is evicted again soon stays away for longer each time.
func TestReturnAfterReturn(t *testing.T) {
	s := joined(t, SenderConfig{Payload: 10, Deadline: 300 * ms}, 1)
	now := int64(0)
	var pauses []int64
	for range 7 {
		fill(t, s, now, 1)
		play(t, s, now, now+700*ms)
		now += 700 * ms
		if p := s.peers[0]; !p.evicted {
			t.Fatal("a silent peer is not evicted")
		}
		for s.peers[0].evicted {
			play(t, s, now, now+10*ms, 1)
			now += 10 * ms
		}
		pauses = append(pauses, (now-s.peers[0].evictAt)/1e9)
	}
	if want := []int64{0, 1, 2, 4, 8, 16, 16}; !reflect.DeepEqual(pauses, want) {
		t.Errorf("away for %v s; want %v", pauses, want)
	}
	now += calmAfter
	fill(t, s, now, 1)
	play(t, s, now, now+700*ms)
	if play(t, s, now+700*ms, now+1300*ms, 1); s.peers[0].evicted {
		t.Error("after a calm time it has to stay away all the same")
	}
}

// TestRestartedPeerBeginsAnew: what a peer was evicted for, and how long its answers took, is no word about the one that comes up in its place.
func TestRestartedPeerBeginsAnew(t *testing.T) {
	s := joined(t, SenderConfig{Payload: 10, Deadline: 300 * ms}, 1)
	now := int64(0)
	for range 2 { // the second time it would have to stay away for a second
		fill(t, s, now, 1)
		if play(t, s, now, now+700*ms); !s.peers[0].evicted {
			t.Fatal("a silent peer is not evicted")
		}
		now += 700 * ms
		if s.peers[0].pause == 0 {
			play(t, s, now, now+100*ms, 1)
			now += 100 * ms
		}
	}
	s.peers[0].rtt.measured(80 * ms)
	s.SetPeer(now, 1, 0xC)
	if st := s.Peers(now, nil)[0]; st.Evicted || st.Reason != 0 || st.RoundTrip != 0 || st.Confirmed {
		t.Errorf("after it was restarted: %+v", st)
	}
	if e := s.peers[0]; e.pause != 0 || e.evictAt != 0 {
		t.Errorf("its first eviction would count as another one: away for %d ms, evicted last at %d", e.pause/ms, e.evictAt/ms)
	}
}

// TestOwnStall: a sender that was not asked for a while blames nobody for it.
func TestOwnStall(t *testing.T) {
	s := joined(t, SenderConfig{Payload: 10, Deadline: 1000 * ms}, 1)
	fill(t, s, 0, 1)
	play(t, s, 0, 100*ms)
	if e := play(t, s, 5000*ms, 5000*ms+999*ms); e != nil {
		t.Errorf("after a stall of its own: %+v", e)
	}
	if e := play(t, s, 5999*ms, 6000*ms); len(e) != 1 || e[0].Reason != Silent {
		t.Errorf("a deadline later: %+v", e)
	}
}

// TestLaggingPeer: one that acknowledges, but too slowly, is evicted too.
func TestLaggingPeer(t *testing.T) {
	s := joined(t, SenderConfig{Payload: 10, Window: 4, Deadline: 1000 * ms, Lag: 2000 * ms}, 1, 2)
	var events []Event
	now := int64(0)
	for ; now < 10_000*ms && len(events) == 0; now += 100 * ms {
		fill(t, s, now, 10)
		next := s.peers[0].una + 1
		events = play(t, s, now, now+100*ms-1, 2)
		if len(events) == 0 && next <= s.peers[0].end {
			acked(t, s, now+100*ms-1, 1, next)
		}
	}
	if len(events) != 1 || events[0].Reason != Lagging || events[0].Peer != 1 || now < 2000*ms || now > 3500*ms {
		t.Errorf("after %d ms: %+v", now/ms, events)
	}
}

// TestFull: when memory runs out the slowest is evicted, not the others; and what is held never exceeds its bound.
func TestFull(t *testing.T) {
	s := joined(t, SenderConfig{Payload: 1000, Bytes: 100_000}, 1, 2, 3)
	var events []Event
	for i := range 400 {
		now := int64(i) * ms
		fill(t, s, now, 1)
		if s.held() > s.cfg.Bytes {
			t.Fatalf("%d bytes are held after %d items", s.held(), i)
		}
		events = append(events, play(t, s, now, now, 2)...)
		if i == 50 {
			acked(t, s, now, 3, 20)
		}
	}
	if len(events) != 2 || events[0].Peer != 1 || events[1].Peer != 3 || events[0].Reason != Full || events[1].Reason != Full {
		t.Errorf("%+v; want the first evicted, then the third", events)
	}
	if !s.Settled(2) {
		t.Error("the one that keeps up has suffered")
	}
	// With nobody left what waits is dropped, and what comes too.
	s.RemovePeer(2)
	add(t, s, 400*ms, 1, News, "x")
	if s.held() != 0 || s.Counters().Unheard != 1 {
		t.Errorf("%d bytes are held for nobody, %d items were dropped", s.held(), s.Counters().Unheard)
	}
}

// TestUnheardLeavesATrace: what was dropped while the only peer was evicted is missing when it returns, though no batch of it was ever made.
func TestUnheardLeavesATrace(t *testing.T) {
	s, r := newSender(t, SenderConfig{Payload: 10, Deadline: 300 * ms, Window: 4}), newReceiver(t, ReceiverConfig{})
	s.SetPeer(0, 1, 101)
	deliver := func(now int64) (missed uint64) {
		for _, b := range all(now, s) {
			missed += r.Receive(now, b).Missed
		}
		if a, ok := r.Ack(now + DefaultAckDelay); ok {
			s.Acked(now, 1, 101, a)
		}
		return missed
	}
	fill(t, s, 0, 4)
	deliver(0) // its acknowledgement is the last that is heard
	fill(t, s, 0, 1)
	for _, b := range all(0, s) {
		r.Receive(0, b)
	}
	play(t, s, 0, 400*ms)
	if !s.peers[0].evicted || s.log.next != r.next {
		t.Fatalf("not as the test needs it: %v %d %d", s.peers[0].evicted, s.log.next, r.next)
	}
	add(t, s, 400*ms, 9, News, "unheard")
	missed := uint64(0)
	for now := 1000 * ms; now < 3000*ms; now += 100 * ms {
		missed += deliver(now)
	}
	if missed == 0 || !s.Settled(1) {
		t.Errorf("%d batches are missing, settled %v; want at least one, and peace", missed, s.Settled(1))
	}
}

// TestRefreshesUnderOverload: above three quarters of the bound no refresh is taken, and nobody is evicted for the sake of one.
func TestRefreshesUnderOverload(t *testing.T) {
	s := joined(t, SenderConfig{Payload: 1000, Window: 4, Bytes: 100_000}, 1)
	fill(t, s, 0, 20)
	play(t, s, 0, ms)
	for i := range uint64(1000) {
		add(t, s, ms, mix(1e6+i), Refresh, strings.Repeat("r", 500))
	}
	if e := s.Events(nil); e != nil || s.held() > s.cfg.Bytes/4*3+700 {
		t.Errorf("%+v, %d bytes held; want at most three quarters, and nobody evicted", e, s.held())
	}
	if n := s.Counters(); n.Refreshes < 900 {
		t.Errorf("%d of 1000 refreshes given up", n.Refreshes)
	}
	refreshes := s.queue.items
	fill(t, s, ms, 40)
	if e := s.Events(nil); e != nil || s.queue.items >= refreshes+40 {
		t.Errorf("%+v, %d items wait; want the refreshes given up for news", e, s.queue.items)
	}
}
