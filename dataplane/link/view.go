// SPDX-License-Identifier: Apache-2.0

package link

import (
	"maps"
	"net/netip"
	"slices"
	"time"
)

// view is what was reported so far. It turns what the kernel says into changes, each reported once. It knows no kernel
// and no clock.
type view struct {
	links map[int]*linkView
	addrs map[addrKey]bool // value: tentative
	// listing is the complete listing that is being taken in, by index: what is not in links yet is there.
	listing map[int]State
}

type linkView struct {
	State
	baseline uint64 // RxPackets when the carrier came
}

type addrKey struct {
	index  int
	prefix netip.Prefix
}

func newView() *view { return &view{links: make(map[int]*linkView), addrs: make(map[addrKey]bool)} }

// link takes a link's present state, or its end, and returns what changed.
func (v *view) link(s State, gone bool) []Event {
	old, known := v.links[s.Index]
	if gone {
		return v.linkGone(s.Index)
	}
	baseline := uint64(0)
	if known {
		baseline = old.baseline
		if s.Carrier && !old.Carrier {
			baseline = s.RxPackets
		}
	}
	s.Received = s.RxPackets > baseline
	if known && old.Carrier && s.Carrier && old.Received {
		s.Received = true // also when the driver has reset its counters
	}
	s.Bond = v.bond(s)
	v.links[s.Index] = &linkView{State: s, baseline: baseline}
	var events []Event
	if !known || !sameState(old.State, s) {
		events = append(events, LinkChanged{State: s})
	}
	if known {
		return append(events, v.recount(old.State, s)...)
	}
	return append(events, v.recount(State{}, s)...)
}

// sameState compares all but the counter, which changes without news.
func sameState(a, b State) bool {
	a.RxPackets = b.RxPackets
	return a == b
}

func (v *view) linkGone(index int) []Event {
	old, known := v.links[index]
	if !known {
		return nil
	}
	delete(v.links, index)
	var events []Event
	for k := range v.addrs {
		if k.index == index {
			delete(v.addrs, k)
			events = append(events, AddressChanged{Index: index, Prefix: k.prefix, Gone: true})
		}
	}
	events = append(events, LinkChanged{State: State{Index: index, Name: old.Name}, Gone: true})
	return append(events, v.recount(old.State, State{})...)
}

// address takes an address's present state, or its end, and returns what changed.
func (v *view) address(a AddressChanged) []Event {
	k := addrKey{a.Index, a.Prefix}
	was, known := v.addrs[k]
	if a.Gone {
		delete(v.addrs, k)
		a.Tentative = false
		if !known {
			return nil
		}
		return []Event{a}
	}
	v.addrs[k] = a.Tentative
	if known && was == a.Tentative {
		return nil
	}
	return []Event{a}
}

// replace takes a complete listing: what is not in it is gone.
func (v *view) replace(links []State, addrs []AddressChanged) []Event {
	var events []Event
	v.listing = make(map[int]State, len(links))
	defer func() { v.listing = nil }()
	for _, s := range links {
		v.listing[s.Index] = s
	}
	for _, index := range slices.Sorted(maps.Keys(v.links)) {
		if _, present := v.listing[index]; !present {
			events = append(events, v.linkGone(index)...)
		}
	}
	for _, s := range links {
		events = append(events, v.link(s, false)...)
	}
	listed := make(map[addrKey]bool, len(addrs))
	for _, a := range addrs {
		listed[addrKey{a.Index, a.Prefix}] = true
	}
	for k := range v.addrs {
		if !listed[k] {
			events = append(events, v.address(AddressChanged{Index: k.index, Prefix: k.prefix, Gone: true})...)
		}
	}
	for _, a := range addrs {
		events = append(events, v.address(a)...)
	}
	return events
}

// silent are the interfaces with carrier that have received nothing since it came, in their order.
func (v *view) silent() []int {
	var indices []int
	for index, l := range v.links {
		if l.Carrier && !l.Received {
			indices = append(indices, index)
		}
	}
	slices.Sort(indices)
	return indices
}

// lookout says when silent interfaces are to be looked at: not at all while there are none.
type lookout struct {
	at    []int         // those that it is about
	spent time.Duration // on them, in vain
	armed bool
}

// wait returns in how long to look, and 0 if nothing is to be changed about that: it has been said, or there is nothing to look at.
func (l *lookout) wait(silent []int) time.Duration {
	if !slices.Equal(silent, l.at) {
		again := l.spent >= receivedSoon // the next look is far away
		l.at, l.spent, l.armed = silent, 0, l.armed && !again
	}
	if l.armed || len(silent) == 0 {
		return 0
	}
	l.armed = true
	if l.spent >= receivedSoon {
		return receivedSeldom
	}
	l.spent += receivedPoll
	return receivedPoll
}

// looked notes that the time has come.
func (l *lookout) looked() { l.armed = false }
