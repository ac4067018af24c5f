// SPDX-License-Identifier: Apache-2.0

package link

import (
	"maps"
	"slices"
)

// The kinds of devices that matter for bonds, as the kernel names them.
const (
	kindBond = "bond"
	kindVLAN = "vlan"
)

// maxStack is how many VLANs deep a bond is looked for.
const maxStack = 4

// get returns a device, as listed if a listing is being taken in.
func (v *view) get(index int) (State, bool) {
	if v.listing != nil {
		s, ok := v.listing[index]
		return s, ok
	}
	l, ok := v.links[index]
	if !ok {
		return State{}, false
	}
	return l.State, true
}

// each calls f with every device.
func (v *view) each(f func(State)) {
	if v.listing != nil {
		for _, s := range v.listing {
			f(s)
		}
		return
	}
	for _, l := range v.links {
		f(l.State)
	}
}

// under is the index of the bond that a device is, or is a VLAN on; 0 if there is none.
func (v *view) under(s State) int {
	for range maxStack {
		if s.Kind == kindBond {
			return s.Index
		}
		below, ok := v.get(s.Parent)
		if s.Parent == 0 || !ok {
			return 0
		}
		s = below
	}
	return 0
}

// bond counts the links of the bond that a device is, or is a VLAN on.
func (v *view) bond(s State) Bond {
	index := v.under(s)
	if index == 0 {
		return Bond{}
	}
	b := Bond{Name: s.Name}
	if bond, ok := v.get(index); ok {
		b.Name = bond.Name
	}
	v.each(func(l State) {
		if l.Master != index {
			return
		}
		b.Links++
		if l.AdminUp && l.Carrier && !l.Unused {
			b.Up++
		}
	})
	return b
}

// recount reports the devices whose bond counts otherwise since one device has changed from was to is.
func (v *view) recount(was, is State) []Event {
	concerned := func(s State) bool {
		m, _ := v.get(s.Master)
		return s.Kind == kindBond || s.Master != 0 && (m.Kind == kindBond || m.Kind == "")
	}
	if !concerned(was) && !concerned(is) {
		return nil
	}
	var events []Event
	for _, index := range slices.Sorted(maps.Keys(v.links)) {
		l := v.links[index]
		if b := v.bond(l.State); b != l.Bond {
			l.Bond = b
			events = append(events, LinkChanged{State: l.State})
		}
	}
	return events
}
