// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"testing"
	"time"
)

const ms = int64(time.Millisecond)

// made builds a history of a flow that sends every millisecond. sends are the moments of sending in ms; arrive maps a sequence
// number to its moments of arrival in ms (none: lost); what is not in it arrives at once.
func made(sends []int64, arrive map[uint64][]int64, horizon int64) history {
	var sent, got log
	for i, at := range sends {
		sent.append(entry{seq: uint64(i), at: at * ms})
	}
	for now := int64(0); now <= horizon; now++ {
		for i, at := range sends {
			times, special := arrive[uint64(i)]
			if !special {
				times = []int64{at}
			}
			for _, a := range times {
				if a == now {
					got.append(entry{seq: uint64(i), at: a * ms})
				}
			}
		}
	}
	return history{interval: ms, horizon: horizon * ms, judged: horizon * ms, sent: sent.view(), got: got.view()}
}

// every returns the moments from to until, one a millisecond, without those for which skip is true.
func every(until int64, skip func(int64) bool) []int64 {
	var out []int64
	for at := range until {
		if skip == nil || !skip(at) {
			out = append(out, at)
		}
	}
	return out
}

func lose(from, to uint64) map[uint64][]int64 {
	m := map[uint64][]int64{}
	for i := from; i < to; i++ {
		m[i] = nil
	}
	return m
}

func TestJudge(t *testing.T) {
	tests := []struct {
		name               string
		sends              []int64
		arrive             map[uint64][]int64
		from, to           int64
		sent, lost         int
		duplicated         int
		reordered          int
		arrival, corrected int64
	}{
		{name: "perfect", sends: every(100, nil), from: 10, to: 90, sent: 80, arrival: 1, corrected: 1},
		{name: "an outage is as long as the time between arrivals", sends: every(100, nil), arrive: lose(20, 50), from: 10, to: 90,
			sent: 80, lost: 30, arrival: 31, corrected: 31},
		{name: "a sender that stalls is no outage",
			sends: every(100, func(at int64) bool { return at >= 20 && at < 50 }), from: 10, to: 90, sent: 50, arrival: 31, corrected: 1},
		{name: "a stall within an outage hides nothing",
			sends:  every(100, func(at int64) bool { return at >= 30 && at < 40 }),
			arrive: lose(20, 40), from: 10, to: 90, sent: 70, lost: 20, arrival: 31, corrected: 31},
		{name: "a stall before an outage is not part of it",
			sends:  every(100, func(at int64) bool { return at >= 20 && at < 30 }),
			arrive: lose(20, 30), from: 10, to: 90, sent: 70, lost: 10, arrival: 21, corrected: 11},
		{name: "a stall after an outage is not part of it",
			sends:  every(100, func(at int64) bool { return at >= 30 && at < 40 }),
			arrive: lose(20, 30), from: 10, to: 90, sent: 70, lost: 10, arrival: 21, corrected: 11},
		{name: "packets that wait in a queue are an outage without loss", sends: every(100, nil),
			arrive: map[uint64][]int64{20: {30}, 21: {30}, 22: {30}, 23: {30}, 24: {30}, 25: {30}, 26: {30}, 27: {30}, 28: {30}, 29: {30}},
			from:   10, to: 90, sent: 80, arrival: 11, corrected: 11},
		{name: "copies", sends: every(100, nil), arrive: map[uint64][]int64{20: {20, 20}, 21: {21, 40}}, from: 10, to: 90,
			sent: 80, duplicated: 2, arrival: 1, corrected: 1},
		{name: "order", sends: every(100, nil), arrive: map[uint64][]int64{20: {22}}, from: 10, to: 90,
			sent: 80, reordered: 1, arrival: 2, corrected: 2},
		{name: "an outage outside the window", sends: every(100, nil), arrive: lose(20, 30), from: 40, to: 90, sent: 50, arrival: 1, corrected: 1},
		{name: "an outage that began before the window", sends: every(100, nil), arrive: lose(20, 30), from: 25, to: 90,
			sent: 65, lost: 5, arrival: 11, corrected: 11},
		{name: "an outage that has not ended", sends: every(100, nil), arrive: lose(50, 100), from: 10, to: 90,
			sent: 80, lost: 40, arrival: 51, corrected: 51},
		{name: "nothing ever arrived", sends: every(100, nil), arrive: lose(0, 100), from: 10, to: 90,
			sent: 80, lost: 80, arrival: 100, corrected: 100},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Now()
			rep := made(tt.sends, tt.arrive, 100).judge(tt.from*ms, tt.to*ms, 3*ms, start)
			if rep.Sent != tt.sent || rep.Lost != tt.lost || rep.Received != tt.sent-tt.lost {
				t.Errorf("sent %d received %d lost %d, want sent %d lost %d", rep.Sent, rep.Received, rep.Lost, tt.sent, tt.lost)
			}
			if rep.Duplicated != tt.duplicated || rep.Reordered != tt.reordered {
				t.Errorf("duplicated %d reordered %d, want %d, %d", rep.Duplicated, rep.Reordered, tt.duplicated, tt.reordered)
			}
			if got := int64(rep.LongestArrival.Arrival); got != tt.arrival*ms {
				t.Errorf("arrival gap %v, want %d ms", rep.LongestArrival.Arrival, tt.arrival)
			}
			if got := int64(rep.Longest.Corrected); got != tt.corrected*ms {
				t.Errorf("corrected gap %v, want %d ms", rep.Longest.Corrected, tt.corrected)
			}
			if listed := len(rep.Gaps) > 0; listed != (tt.arrival > 3) {
				t.Errorf("%d gaps listed above 3 ms, longest %d ms", len(rep.Gaps), tt.arrival)
			}
		})
	}
}

func TestJudgeNamesTheGap(t *testing.T) {
	start := time.Now()
	rep := made(every(100, nil), lose(20, 50), 100).judge(0, 100*ms, 3*ms, start)
	g := rep.Longest
	if g.AfterSeq != 19 || g.BeforeSeq != 50 || g.Lost != 30 || g.Open {
		t.Errorf("gap after %d before %d lost %d open %v, want 19, 50, 30, closed", g.AfterSeq, g.BeforeSeq, g.Lost, g.Open)
	}
	if from := g.From.Sub(start); from != 19*time.Millisecond {
		t.Errorf("gap from %v, want 19ms", from)
	}
}

func TestJudgeLeavesRecentPacketsOpen(t *testing.T) {
	h := made(every(100, nil), lose(90, 100), 100)
	h.judged = 94 * ms
	rep := h.judge(0, 100*ms, 3*ms, time.Now())
	if rep.Lost != 5 || rep.Unjudged != 5 {
		t.Errorf("lost %d unjudged %d, want 5 and 5", rep.Lost, rep.Unjudged)
	}
}

func TestLogIsReadWhileWritten(t *testing.T) {
	var l log
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range uint64(3 * chunkLen) {
			l.append(entry{seq: i})
		}
	}()
	for n := 0; n < 3*chunkLen; {
		v := l.view()
		if v.n < n {
			t.Fatalf("log shrank from %d to %d", n, v.n)
		}
		if n = v.n; n > 0 && v.at(n-1).seq != uint64(n-1) {
			t.Fatalf("entry %d holds %d", n-1, v.at(n-1).seq)
		}
	}
	<-done
}

func TestPacketRoundTrip(t *testing.T) {
	b := make([]byte, 64)
	want := Packet{Run: 1, Flow: 2, Sequence: 3, Sent: 4}
	want.put(b)
	if got, intact, ok := ParsePacket(b); !ok || !intact || got != want {
		t.Errorf("got %+v intact %v ok %v, want %+v", got, intact, ok, want)
	}
	b[50] ^= 1
	if _, intact, ok := ParsePacket(b); !ok || intact {
		t.Errorf("a changed byte: intact %v ok %v, want a packet that is not intact", intact, ok)
	}
	if _, _, ok := ParsePacket(b[:HeaderLen-1]); ok {
		t.Error("a truncated packet was taken for one")
	}
}

func TestBlockRoundTrip(t *testing.T) {
	b := make([]byte, blockLen)
	putBlock(b, 7)
	if n, intact := checkBlock(b); n != 7 || !intact {
		t.Errorf("block %d intact %v, want 7 intact", n, intact)
	}
	b[1000] ^= 1
	if _, intact := checkBlock(b); intact {
		t.Error("a changed byte was not noticed")
	}
}
