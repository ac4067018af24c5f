// SPDX-License-Identifier: Apache-2.0

package link

import (
	"net/netip"
	"reflect"
	"testing"
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
