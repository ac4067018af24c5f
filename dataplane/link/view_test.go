// SPDX-License-Identifier: Apache-2.0

package link

import (
	"net/netip"
	"reflect"
	"testing"
	"time"
)

func TestViewReportsEachChangeOnce(t *testing.T) {
	eth := State{Index: 2, Name: "eth0", AdminUp: true, Carrier: true, RxPackets: 7}
	with := func(change func(*State)) State {
		s := eth
		change(&s)
		return s
	}
	heard := with(func(s *State) { s.Received = true })
	prefix := netip.MustParsePrefix("10.0.0.1/24")
	v := newView()
	for i, step := range []struct {
		why  string
		do   func() []Event
		want []Event
	}{
		{"an interface that had carrier at the first look has received since boot",
			func() []Event { return v.link(eth, false) }, []Event{LinkChanged{State: heard}}},
		{"the counter alone is no news",
			func() []Event { return v.link(with(func(s *State) { s.RxPackets = 9 }), false) }, nil},
		{"carrier lost", func() []Event { return v.link(with(func(s *State) { s.Carrier = false; s.RxPackets = 9 }), false) },
			[]Event{LinkChanged{State: with(func(s *State) { s.Carrier = false; s.RxPackets = 9; s.Received = true })}}},
		{"carrier back: nothing received since",
			func() []Event { return v.link(with(func(s *State) { s.RxPackets = 9 }), false) },
			[]Event{LinkChanged{State: with(func(s *State) { s.RxPackets = 9 })}}},
		{"a frame", func() []Event { return v.link(with(func(s *State) { s.RxPackets = 10 }), false) },
			[]Event{LinkChanged{State: with(func(s *State) { s.RxPackets = 10; s.Received = true })}}},
		{"counters reset by the driver", func() []Event { return v.link(with(func(s *State) { s.RxPackets = 0 }), false) }, nil},
		{"an address", func() []Event { return v.address(AddressChanged{Index: 2, Prefix: prefix, Tentative: true}) },
			[]Event{AddressChanged{Index: 2, Prefix: prefix, Tentative: true}}},
		{"usable", func() []Event { return v.address(AddressChanged{Index: 2, Prefix: prefix}) },
			[]Event{AddressChanged{Index: 2, Prefix: prefix}}},
		{"still", func() []Event { return v.address(AddressChanged{Index: 2, Prefix: prefix}) }, nil},
		{"an unknown address goes", func() []Event { return v.address(AddressChanged{Index: 3, Prefix: prefix, Gone: true}) }, nil},
		{"a listing without the interface", func() []Event { return v.replace(nil, nil) },
			[]Event{AddressChanged{Index: 2, Prefix: prefix, Gone: true},
				LinkChanged{State: State{Index: 2, Name: "eth0"}, Gone: true}}},
	} {
		if got := step.do(); !reflect.DeepEqual(got, step.want) {
			t.Fatalf("step %d, %s: got %+v, want %+v", i, step.why, got, step.want)
		}
	}
}

func TestViewReplaceRemovesAddresses(t *testing.T) {
	v := newView()
	a := AddressChanged{Index: 2, Prefix: netip.MustParsePrefix("10.0.0.1/24")}
	b := AddressChanged{Index: 2, Prefix: netip.MustParsePrefix("10.0.0.2/24")}
	links := []State{{Index: 2, Name: "eth0"}}
	v.replace(links, []AddressChanged{a})
	got := v.replace(links, []AddressChanged{b})
	a.Gone = true
	if want := []Event{a, b}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestLookout: interfaces that have received nothing are looked at often for a minute and then each second, and nobody wakes while there are
// none.
func TestLookout(t *testing.T) {
	var l lookout
	if d := l.wait(nil); d != 0 {
		t.Fatalf("looks in %v for nothing", d)
	}
	looks := 0
	for spent := time.Duration(0); spent < receivedSoon; spent += receivedPoll {
		if d := l.wait([]int{3}); d != receivedPoll {
			t.Fatalf("after %v: looks in %v", spent, d)
		}
		if d := l.wait([]int{3}); d != 0 {
			t.Fatalf("an event put the look off, to %v from then on", d)
		}
		l.looked()
		looks++
	}
	if d := l.wait([]int{3}); d != receivedSeldom {
		t.Fatalf("after %d looks in vain: looks in %v", looks, d)
	}
	// Another one is news, and does not wait for the look that is far away.
	if d := l.wait([]int{3, 5}); d != receivedPoll {
		t.Fatalf("another one is silent: looks in %v", d)
	}
	if d := l.wait([]int{5}); d != 0 {
		t.Fatalf("one was heard while a look is near: looks in %v instead", d)
	}
	l.looked()
	if d := l.wait(nil); d != 0 {
		t.Fatalf("all were heard: looks in %v", d)
	}
	if d := l.wait([]int{5}); d != receivedPoll {
		t.Fatalf("silent again: looks in %v", d)
	}
}
