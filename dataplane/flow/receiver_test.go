// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
)

// delta is a batch of the log 0xA whose payload says its sequence.
func delta(seq, floor uint64) Batch {
	b := Batch{Lane: LaneDelta, Log: 0xA, Sequence: seq, Floor: floor}
	if seq > 0 {
		b.Payload = fmt.Appendf(nil, "payload of %d", seq)
	}
	return b
}

// handed returns the sequences handed out, after a look at their payloads.
func handed(t testing.TB, got Received) string {
	t.Helper()
	for _, b := range got.Ready {
		if want := delta(b.Sequence, 1).Payload; b.Log == 0xA && !bytes.Equal(b.Payload, want) {
			t.Errorf("batch %d was handed out with %q", b.Sequence, b.Payload)
		}
	}
	return sequences(got.Ready)
}

// TestReceive: what becomes of batches, one after the other. SEQUENCE, or SEQUENCE/FLOOR; the floor is 1 unless it is told.
func TestReceive(t *testing.T) {
	for _, tc := range []struct{ what, batches, ready, verdicts, ack string }{
		{"in order", "1 2 3", "1 2 3", "taken taken taken", "4 []"},
		{"out of order", "2 4 3 1", "1 2 3 4", "taken taken taken taken", "5 []"},
		{"twice", "1 1 3 3 2 2", "1 2 3", "taken duplicate taken duplicate taken duplicate", "4 []"},
		{"a gap", "1 3 4 7", "1", "taken taken taken taken", "2 [{3 4} {7 7}]"},
		{"it begins at the floor", "7/5 5/5 6/5", "5 6 7", "taken taken taken", "8 []"},
		{"a floor alone", "0/9 9/9", "9", "taken taken", "10 []"},
		{"what is below the floor never comes", "1 3 5 9/4 6", "1 3", "taken taken taken taken taken", "4 [{5 6} {9 9}]"},
		{"but what comes is taken", "1 3 5 0/5 6", "1 3 5 6", "taken taken taken taken taken", "7 []"},
		{"the floor rises above all", "1 3 20/20", "1 3 20", "taken taken taken", "21 []"},
		{"the floor falls: an older frame", "1 8/5 4/1 5 6 7", "1 5 6 7 8", "taken taken duplicate taken taken taken", "9 []"},
		{"too far ahead", "1 9 10 2", "1 2", "taken taken beyond taken", "3 [{9 9}]"},
		{"too far ahead, with a floor", "3 20/3 4", "3 4", "taken beyond taken", "5 []"},
	} {
		r := newReceiver(t, ReceiverConfig{Hold: 8})
		var ready, verdicts []string
		for i, f := range strings.Fields(tc.batches) {
			seq, floor := uint64(0), uint64(1)
			fmt.Sscanf(f, "%d/%d", &seq, &floor)
			got := r.Receive(0, delta(seq, floor))
			if s := handed(t, got); s != "" {
				ready = append(ready, s)
			}
			verdicts = append(verdicts, got.Verdict.String())
			if got.Started != (i == 0) {
				t.Errorf("%s: batch %s starts a log: %v", tc.what, f, got.Started)
			}
		}
		if got := strings.Join(ready, " "); got != tc.ready {
			t.Errorf("%s: handed out %q; want %q", tc.what, got, tc.ready)
		}
		if got := strings.Join(verdicts, " "); got != tc.verdicts {
			t.Errorf("%s: verdicts %q; want %q", tc.what, got, tc.verdicts)
		}
		a, _ := r.Ack(math.MaxInt64 - 1)
		if got := fmt.Sprintf("%d %v", a.Next, a.Ranges); got != tc.ack {
			t.Errorf("%s: acknowledges %s; want %s", tc.what, got, tc.ack)
		}
	}
}

func TestMalformedBatches(t *testing.T) {
	for what, b := range map[string]Batch{
		"of no lane":               {Log: 0xA, Sequence: 2, Floor: 1, Payload: []byte("x")},
		"of the other lane":        {Lane: LaneBulk, Log: 0xA, Sequence: 2, Floor: 1, Payload: []byte("x")},
		"of no log":                {Lane: LaneDelta, Sequence: 2, Floor: 1, Payload: []byte("x")},
		"without a floor":          {Lane: LaneDelta, Log: 0xA, Sequence: 2, Payload: []byte("x")},
		"below its own floor":      {Lane: LaneDelta, Log: 0xA, Sequence: 2, Floor: 3, Payload: []byte("x")},
		"without a payload":        {Lane: LaneDelta, Log: 0xA, Sequence: 2, Floor: 1},
		"a floor with a payload":   {Lane: LaneDelta, Log: 0xA, Floor: 2, Payload: []byte("x")},
		"a sequence without end":   {Lane: LaneDelta, Log: 0xA, Sequence: math.MaxUint64, Floor: 1, Payload: []byte("x")},
		"a floor without end":      {Lane: LaneDelta, Log: 0xA, Floor: math.MaxUint64},
		"a floor above everything": {Lane: LaneDelta, Log: 0xA, Sequence: math.MaxUint64, Floor: math.MaxUint64, Payload: []byte("x")},
	} {
		r := newReceiver(t, ReceiverConfig{})
		r.Receive(0, delta(1, 1))
		if got := r.Receive(0, b); got.Verdict != Malformed || got.Ready != nil || got.Started || r.Position() != 1 || r.count != 0 {
			t.Errorf("%s: %+v", what, got)
		}
		if n := r.Counters(); n.Malformed != 1 || n.Received != 2 || n.Delivered != 1 {
			t.Errorf("%s: %+v", what, n)
		}
	}
}

// TestMissed: what will not come is told, once, and what is held is handed out all the same.
func TestMissed(t *testing.T) {
	r := newReceiver(t, ReceiverConfig{})
	for _, seq := range []uint64{1, 2, 5, 6, 9} {
		r.Receive(0, delta(seq, 1))
	}
	if n, d := r.Held(3 * ms); n != 3 || d != 3*ms {
		t.Errorf("%d are held, missing for %d ns; want 3 and 3 ms", n, d)
	}
	if got := r.Receive(0, delta(0, 8)); got.Missed != 3 || handed(t, got) != "5 6" {
		t.Errorf("below a floor of 8: %+v; want 3, 4 and 7 missed, 5 and 6 handed out", got)
	}
	if got := r.Receive(0, delta(0, 8)); got.Missed != 0 {
		t.Errorf("told again: %d missed", got.Missed)
	}
	r.Receive(0, delta(11, 8))
	ready, missed := r.Drain(0)
	if missed != 2 || handed(t, Received{Ready: ready}) != "9 11" || r.Position() != 7 {
		t.Errorf("drained %v, missing %d, up to %d; want 9 and 11, without 8 and 10", ready, missed, r.Position())
	}
	if ready, missed := r.Drain(0); len(ready) > 0 || missed != 2 {
		t.Errorf("drained again: %v, missing %d", ready, missed)
	}
	if a, ok := r.Ack(0); !ok || a.Next != 8 || len(a.Ranges) != 2 {
		t.Errorf("acknowledges %+v, %v; want 9 and 11: it still waits for 8 and 10", a, ok)
	}
	if got := r.Receive(0, delta(8, 1)); got.Verdict != Taken || handed(t, got) != "8" || r.Position() != 9 {
		t.Errorf("8 comes after all: %+v, up to %d; want 8 and not 9 again", got, r.Position())
	}
	if got := r.Receive(0, delta(0, 12)); got.Missed != 1 || len(got.Ready) > 0 || r.Position() != 11 {
		t.Errorf("below a floor of 12: %+v, up to %d; want 10 missed, and not 11 again", got, r.Position())
	}
	if got := r.Receive(0, delta(12, 12)); handed(t, got) != "12" {
		t.Errorf("12: %+v", got)
	}
	if n := r.Counters(); n.Missed != 4 || n.Delivered != 8 {
		t.Errorf("%+v", n)
	}
}

// TestNewLog: a sender that was restarted begins anew; what is held of it from before is handed out, and its old log does not come back while the
// new one is heard. If that one was a late frame of a log between, the right one is found again.
func TestNewLog(t *testing.T) {
	r := newReceiver(t, ReceiverConfig{Hold: 8})
	for _, seq := range []uint64{1, 3, 4} {
		r.Receive(0, delta(seq, 1))
	}
	b := Batch{Lane: LaneDelta, Log: 0xB, Sequence: 20, Floor: 19, Payload: []byte("of the new log")}
	got := r.Receive(0, b)
	// 20 is held where 4 was: its payload must not have become that of 4.
	if !got.Started || got.Missed != 1 || handed(t, got) != "3 4" || r.Position() != 18 || r.Log() != 0xB {
		t.Errorf("%+v, position %d; want 3 and 4 of the old log, 2 missed", got, r.Position())
	}
	if got := r.Receive(0, delta(2, 1)); got.Verdict != Stale || r.Log() != 0xB {
		t.Errorf("of the old log: %+v", got)
	}
	b.Sequence = 19
	if got := r.Receive(0, b); got.Started || sequences(got.Ready) != "19 20" || string(got.Ready[1].Payload) != "of the new log" {
		t.Errorf("%+v", got)
	}
	if got := r.Receive(leftFor-1, delta(2, 1)); got.Verdict != Stale {
		t.Errorf("of the old log, a second later: %+v", got)
	}
	r.Receive(leftFor-1, b)
	if got := r.Receive(2*leftFor-2, delta(2, 1)); got.Verdict != Stale {
		t.Errorf("of the old log, while the new one is heard: %+v", got)
	}
	if got := r.Receive(2*leftFor-1, delta(7, 7)); !got.Started || sequences(got.Ready) != "7" || r.Log() != 0xA {
		t.Errorf("of the old log, when the new one was not heard for a second: %+v", got)
	}
}

// TestWhenToAsk: for what is missing, after the reordering allowance, and again, ever more rarely.
func TestWhenToAsk(t *testing.T) {
	r := newReceiver(t, ReceiverConfig{Reorder: 2 * ms})
	ask := func(now int64, want ...Range) {
		t.Helper()
		g, ok := r.Gap(now)
		if ok != (len(want) > 0) || (ok && !reflect.DeepEqual(g.Missing, want)) {
			t.Errorf("at %d us asks for %v; want %v", now/1000, g.Missing, want)
		}
	}
	r.Receive(0, delta(1, 1))
	r.Receive(0, delta(4, 1))
	r.Receive(ms, delta(6, 1))
	if r.askAt != 2*ms {
		t.Errorf("wakes to ask at %d", r.askAt)
	}
	ask(2*ms - 1)
	ask(2*ms, Range{2, 3}) // 5 has been missing for 1 ms only
	ask(4*ms-1, []Range{}...)
	ask(4*ms, Range{5, 5})
	r.Receive(4*ms, delta(3, 1))
	ask(7*ms-1, []Range{}...)
	ask(7*ms, Range{2, 2})
	for _, at := range []int64{17, 37, 77, 157, 237} {
		if now := r.askAt; now/ms > at {
			t.Errorf("asks again at %d ms; want %d", now/ms, at)
		}
		for now := r.askAt; now < at*ms; now = r.askAt {
			if g, ok := r.Gap(now); ok && g.Missing[0].First == 2 {
				t.Errorf("asks for 2 again at %d ms; want %d", now/ms, at)
			}
		}
		if g, ok := r.Gap(at * ms); !ok || g.Missing[0].First != 2 {
			t.Errorf("does not ask for 2 at %d ms", at)
		}
	}
	r.Receive(240*ms, delta(2, 1))
	r.Receive(240*ms, delta(5, 1))
	if r.askAt != never {
		t.Errorf("with nothing missing asks at %d", r.askAt)
	}
	// What overtakes on the other interface is not asked for.
	r.Receive(250*ms, delta(8, 1))
	r.Receive(252*ms-1, delta(7, 1))
	ask(260 * ms)
	if n := r.Counters(); n.Gaps != 2 {
		t.Errorf("%d gaps counted; want 2", n.Gaps)
	}
}

// TestManyGaps: no message names more than MaxRanges, and all are asked for.
func TestManyGaps(t *testing.T) {
	r := newReceiver(t, ReceiverConfig{})
	for seq := uint64(2); seq <= 200; seq += 2 {
		r.Receive(0, delta(seq, 1))
	}
	a, _ := r.Ack(ms * 10)
	if len(a.Ranges) != MaxRanges || a.Ranges[0] != (Range{2, 2}) {
		t.Errorf("%d ranges acknowledged: %v", len(a.Ranges), a.Ranges)
	}
	// The first gap was there before the others.
	r.Gap(ms)
	asked := map[uint64]bool{1: true}
	for range 4 {
		g, ok := r.Gap(2 * ms)
		if !ok || len(g.Missing) > MaxRanges {
			t.Fatalf("asks for %v", g.Missing)
		}
		for _, m := range g.Missing {
			asked[m.First] = true
		}
	}
	if len(asked) != 100 {
		t.Errorf("asked for %d of 100", len(asked))
	}
	if g, ok := r.Gap(2 * ms); ok {
		t.Errorf("asks again at once: %v", g)
	}
}

// TestWhenToAcknowledge: after so many batches at once, else after the delay; a duplicate too, since its acknowledgement seems lost.
func TestWhenToAcknowledge(t *testing.T) {
	r := newReceiver(t, ReceiverConfig{AckEvery: 3, AckDelay: 2 * ms})
	r.Receive(0, delta(1, 1))
	r.Receive(ms, delta(2, 1))
	if _, ok := r.Ack(2*ms - 1); ok || r.Wake() != 2*ms {
		t.Errorf("acknowledges at once, or wakes at %d", r.Wake())
	}
	if a, ok := r.Ack(2 * ms); !ok || a.Next != 3 || r.Wake() != never {
		t.Errorf("after the delay: %+v %v", a, ok)
	}
	for seq := range uint64(3) {
		r.Receive(3*ms, delta(3+seq, 1))
	}
	if a, ok := r.Ack(3 * ms); !ok || a.Next != 6 {
		t.Errorf("after three: %+v %v", a, ok)
	}
	r.Receive(4*ms, delta(3, 1))
	if a, ok := r.Ack(6 * ms); !ok || a.Next != 6 {
		t.Errorf("after a duplicate: %+v %v", a, ok)
	}
	r.Receive(7*ms, delta(0, 1))
	if a, ok := r.Ack(7 * ms); !ok || a.Next != 6 {
		t.Errorf("after a floor: %+v %v", a, ok)
	}
}
