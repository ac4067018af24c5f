// SPDX-License-Identifier: Apache-2.0

package announce

import (
	"testing"
	"time"
)

func TestRoundsAreSpaced(t *testing.T) {
	s := &station{set: Set{MAC: vmac}, refresh: defaultRefresh}
	s.begin(0)
	want := []time.Duration{0, 100, 1100, 3100, 8100, 18100, 78100, 138100}
	for i, ms := range want[1:] {
		if got := time.Duration(s.nextRound); got != ms*time.Millisecond {
			t.Fatalf("round %d at %v, want %v", i+1, got, ms*time.Millisecond)
		}
		s.beginRound(s.nextRound)
	}
	s.begin(int64(time.Hour))
	if got := time.Duration(s.nextRound) - time.Hour; got != 100*time.Millisecond {
		t.Errorf("after Announce again the second round comes after %v", got)
	}
}

func TestAdvertiser(t *testing.T) {
	second := int64(time.Second)
	a := advertiser{min: 200 * time.Second, max: 600 * time.Second}
	a.start(1000 * second)
	if a.due != 1000*second {
		t.Fatalf("the first is due at %d", a.due)
	}
	a.advertised(a.due, 0.5)
	if got := a.due; got != 1016*second {
		t.Errorf("the second is due at %d s, want within 16 s of the first", got/second)
	}
	a.solicited(1001*second, 0.5)
	if got := a.due; got != 1003*second {
		t.Errorf("a solicitation 1 s after an advertisement is answered at %d s, want 3 s after it", got/second)
	}
	a.solicited(1002*second, 0.9)
	if got := a.due; got != 1003*second {
		t.Errorf("another does not delay it: %d s", got/second)
	}
	a.advertised(1003*second, 0)
	a.advertised(1019*second, 0.5)
	if got := a.due; got != 1419*second {
		t.Errorf("after the initial ones the interval is random between the bounds: %d s, want 400 s", (got-1019*second)/second)
	}
	a.solicited(1100*second, 0.5)
	if got := a.due - 1100*second; got != second/4 {
		t.Errorf("a solicitation is answered after %v", time.Duration(got))
	}
}

func TestRefreshIsConfigurable(t *testing.T) {
	a := New(nil)
	s := &station{set: Set{MAC: vmac}, refresh: defaultRefresh}
	a.stations = []*station{s}
	s.begin(a.now())
	for range gaps {
		s.beginRound(a.now())
	}
	next := func() time.Duration { return time.Duration(s.nextRound - a.now()).Round(time.Second) }
	if got := next(); got != defaultRefresh {
		t.Fatalf("the next round is in %v", got)
	}
	a.SetRefresh(20 * time.Second)
	if got := next(); got != 20*time.Second {
		t.Errorf("made shorter, the next round is in %v", got)
	}
	a.SetRefresh(200 * time.Second)
	if got := next(); got != 20*time.Second {
		t.Errorf("made longer, the next round, which was planned, is in %v", got)
	}
	s.beginRound(a.now())
	if got := next(); got != 200*time.Second {
		t.Errorf("the one after it is in %v", got)
	}
	s.begin(a.now())
	a.SetRefresh(5 * time.Second)
	if got := time.Duration(s.nextRound - a.now()); got > gaps[0] {
		t.Errorf("the series is disturbed: the second round is in %v", got)
	}
	a.SetRefresh(0)
	if a.refresh != defaultRefresh {
		t.Errorf("0 is %v, want the default", a.refresh)
	}
}
