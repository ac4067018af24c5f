// SPDX-License-Identifier: Apache-2.0

package link

import (
	"fmt"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
)

// bonded is a bond of eth0 and eth1 with a VLAN on it that has a VLAN on it, and eth2 in a bridge.
func bonded() []State {
	up := func(index int, name, kind string, parent, master int) State {
		return State{Index: index, Name: name, Kind: kind, Parent: parent, Master: master, AdminUp: true, Carrier: true}
	}
	return []State{
		up(7, "bond0.100.5", kindVLAN, 6, 0), up(6, "bond0.100", kindVLAN, 5, 0), up(2, "eth0", "device", 0, 5), up(3, "eth1", "device", 0, 5),
		up(5, "bond0", kindBond, 0, 0), up(4, "eth2", "device", 0, 8), up(8, "br0", "bridge", 0, 0),
	}
}

func said(events []Event) []string {
	var words []string
	for _, e := range events {
		c, is := e.(LinkChanged)
		switch {
		case !is:
		case c.Gone:
			words = append(words, c.Name+" gone")
		case c.Bond.Name == "":
			words = append(words, c.Name)
		default:
			words = append(words, fmt.Sprintf("%s on %s %d/%d", c.Name, c.Bond.Name, c.Bond.Up, c.Bond.Links))
		}
	}
	return words
}

// TestBondCounts: a listing tells each device once, with the right count whatever the order; a link that changes is told with all that
// stand on its bond.
func TestBondCounts(t *testing.T) {
	v := newView()
	index := func(i int) State {
		return bonded()[slices.IndexFunc(bonded(), func(s State) bool { return s.Index == i })]
	}
	with := func(i int, change func(*State)) State {
		s := index(i)
		change(&s)
		return s
	}
	for i, step := range []struct {
		why  string
		do   func() []Event
		want []string
	}{
		{"the listing", func() []Event { return v.replace(bonded(), nil) },
			[]string{"bond0.100.5 on bond0 2/2", "bond0.100 on bond0 2/2", "eth0", "eth1", "bond0 on bond0 2/2", "eth2", "br0"}},
		{"the same again", func() []Event { return v.replace(bonded(), nil) }, nil},
		{"a link loses carrier", func() []Event { return v.link(with(2, func(s *State) { s.Carrier = false }), false) },
			[]string{"eth0", "bond0 on bond0 1/2", "bond0.100 on bond0 1/2", "bond0.100.5 on bond0 1/2"}},
		{"the other one is set down", func() []Event { return v.link(with(3, func(s *State) { s.AdminUp = false }), false) },
			[]string{"eth1", "bond0 on bond0 0/2", "bond0.100 on bond0 0/2", "bond0.100.5 on bond0 0/2"}},
		{"carrier is back, but the bond's monitor waits", func() []Event { return v.link(with(2, func(s *State) { s.Unused = true }), false) }, []string{"eth0"}},
		{"it is taken", func() []Event { return v.link(index(2), false) },
			[]string{"eth0", "bond0 on bond0 1/2", "bond0.100 on bond0 1/2", "bond0.100.5 on bond0 1/2"}},
		{"a link is taken out", func() []Event { return v.link(with(3, func(s *State) { s.Master = 0 }), false) },
			[]string{"eth1", "bond0 on bond0 1/1", "bond0.100 on bond0 1/1", "bond0.100.5 on bond0 1/1"}},
		{"a link vanishes", func() []Event { return v.link(State{Index: 2}, true) },
			[]string{"eth0 gone", "bond0 on bond0 0/0", "bond0.100 on bond0 0/0", "bond0.100.5 on bond0 0/0"}},
		{"a bridge's port is no link", func() []Event { return v.link(with(4, func(s *State) { s.Carrier = false }), false) }, []string{"eth2"}},
		{"a new listing", func() []Event { return v.replace(bonded()[:6], nil) },
			[]string{"br0 gone", "bond0.100.5 on bond0 2/2", "bond0.100 on bond0 2/2", "eth0", "bond0 on bond0 2/2", "eth1", "eth2"}},
	} {
		got := said(step.do())
		slices.Sort(got)
		slices.Sort(step.want)
		if !slices.Equal(got, step.want) {
			t.Errorf("%d, %s:\n got %q\nwant %q", i, step.why, got, step.want)
		}
	}
}

// TestStateOfBonds: what netlink says of bonds, their links and VLANs. The laboratory's kernel has no bonds.
func TestStateOfBonds(t *testing.T) {
	for _, k := range []struct {
		name           string
		link           netlink.Link
		kind           string
		parent, master int
		unused         bool
	}{
		{"bond", &netlink.Bond{LinkAttrs: netlink.LinkAttrs{Index: 5, Name: "bond0"}}, kindBond, 0, 0, false},
		{"VLAN", &netlink.Vlan{LinkAttrs: netlink.LinkAttrs{Index: 6, ParentIndex: 5}}, kindVLAN, 5, 0, false},
		{"link in use", &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: 2, MasterIndex: 5, Slave: &netlink.BondSlave{MiiStatus: netlink.BondLinkUp}}}, "device", 0, 5, false},
		{"link that went down", &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: 2, MasterIndex: 5, Slave: &netlink.BondSlave{MiiStatus: netlink.BondLinkDown}}}, "device", 0, 5, true},
		{"link that waits", &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: 2, MasterIndex: 5, Slave: &netlink.BondSlave{MiiStatus: netlink.BondLinkBack}}}, "device", 0, 5, true},
		{"veth", &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Index: 3, ParentIndex: 5}}, "veth", 0, 0, false},
	} {
		s := stateOf(k.link)
		if s.Kind != k.kind || s.Parent != k.parent || s.Master != k.master || s.Unused != k.unused {
			t.Errorf("%s: %+v", k.name, s)
		}
	}
}
