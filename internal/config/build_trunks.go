// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// maxVLAN is the highest tag (802.1Q); maxLinks is more links than a bond has in practice.
const (
	maxVLAN  = 4094
	maxLinks = 32
)

// trunks reads the trunks and which of their interfaces are monitored. names holds the slots of the interfaces.
func (b *builder) trunks(names map[string]int) {
	known := make(map[string]int)
	for i, r := range b.raw.Trunks {
		path := "trunks[" + strconv.Itoa(i) + "]"
		if r.Line == 0 {
			continue
		}
		if !r.Name.set {
			b.at(r.Line, path+".name", "give it the name that its interfaces' trunk: says", "missing")
			continue
		}
		t := Trunk{Name: b.name(r.Name, "trunk"), Monitor: TrunkAll}
		if first, ok := known[t.Name]; ok {
			b.add(r.Name, "give each its own name", "the name of trunks[%d] too", first)
			continue
		}
		known[t.Name] = i
		if r.Monitor.List != nil {
			t.Monitor = TrunkNamed
		} else {
			t.Monitor = choice(b, r.Monitor.Word, TrunkAll, TrunkAll, TrunkLowestAndHighest)
		}
		b.c.Trunks = append(b.c.Trunks, t)
	}
	tags, used := make(map[string][]int), make(map[string]bool) // slots by trunk
	for i, r := range b.raw.Interfaces {
		used[r.Trunk.text] = true
		if b.trunkOf(i, r, known, tags) {
			name := b.c.Interfaces[i].Trunk
			tags[name] = append(tags[name], i)
		}
	}
	for k := range b.c.Trunks {
		t := &b.c.Trunks[k]
		r := b.raw.Trunks[known[t.Name]]
		path := "trunks[" + strconv.Itoa(known[t.Name]) + "]"
		if !used[t.Name] && t.Name != "" {
			b.at(r.Line, path, "say trunk: "+t.Name+" on its interfaces, or remove it", "no interface is on this trunk")
			continue
		}
		if t.Monitor == TrunkNamed && len(r.Monitor.List) == 0 {
			b.at(r.Line, path+".monitor", "name at least one interface, or write all", "an empty list: no fault of the trunk would count")
		}
		b.watch(t, r, tags[t.Name], names)
	}
}

// trunkOf reads an interface's place on a trunk and reports whether it has a sound one.
func (b *builder) trunkOf(i int, r rawInterface, known map[string]int, tags map[string][]int) bool {
	iface := &b.c.Interfaces[i]
	path := "interfaces[" + strconv.Itoa(i) + "]"
	if !r.Trunk.set {
		if r.VLAN.set {
			b.add(r.VLAN, "name its trunk, or remove it", "a tag without a trunk")
		}
		return false
	}
	if _, ok := known[r.Trunk.text]; !ok {
		b.add(r.Trunk, "add it to trunks, or use one of its names", "not a trunk of the cluster")
		return false
	}
	if r.Monitored.set {
		b.add(r.Monitored, "remove it, and let trunks say what is monitored", "what is monitored of a trunk is for the trunk to say")
	}
	if !r.VLAN.set {
		b.at(r.Line, path+".vlan", "write its tag, 1..4094, or 0 for the untagged VLAN", "missing")
		return false
	}
	tag := b.number(r.VLAN, 0, maxVLAN, maxVLAN+1)
	if tag > maxVLAN {
		return false
	}
	iface.Trunk, iface.VLAN = r.Trunk.text, uint16(tag)
	for _, other := range tags[iface.Trunk] {
		if b.c.Interfaces[other].VLAN == iface.VLAN {
			b.add(r.VLAN, "give each interface of a trunk its own tag", "the tag of interfaces[%d] on %s too", other, iface.Trunk)
			return false
		}
	}
	return true
}

// watch says which of a trunk's interfaces are monitored.
func (b *builder) watch(t *Trunk, r rawTrunk, slots []int, names map[string]int) {
	all := b.c.Interfaces
	if t.Monitor == TrunkNamed {
		for _, i := range b.named(r.Monitor.List, names, func(s scalar, i int) bool {
			if !slices.Contains(slots, i) {
				b.add(s, "name interfaces with trunk: "+t.Name, "not an interface of this trunk")
				return false
			}
			return true
		}) {
			t.Named = append(t.Named, all[i].Name)
		}
	}
	low, high := uint16(maxVLAN), uint16(0)
	for _, i := range slots {
		low, high = min(low, all[i].VLAN), max(high, all[i].VLAN)
	}
	for _, i := range slots {
		switch t.Monitor {
		case TrunkNamed:
			all[i].Monitored = slices.Contains(t.Named, all[i].Name)
		case TrunkLowestAndHighest:
			all[i].Monitored = all[i].VLAN == low || all[i].VLAN == high
		default:
			all[i].Monitored = true
		}
	}
}

// named turns a list of names of interfaces into slots, in their order; fits may refuse one.
func (b *builder) named(list []scalar, names map[string]int, fits func(scalar, int) bool) []int {
	var slots []int
	for _, s := range list {
		if !s.set {
			continue
		}
		i, ok := names[s.text]
		switch {
		case !ok || s.text == "":
			b.add(s, "use a name of interfaces", "not an interface of the cluster")
		case slices.Contains(slots, i):
			b.add(s, "keep one of them", "given twice")
		case fits(s, i):
			slots = append(slots, i)
		}
	}
	slices.Sort(slots)
	return slots
}

// groups reads the groups of interfaces that count as one.
func (b *builder) groups(names map[string]int) {
	groups, in := make(map[string]int), make(map[int]int)
	for k, r := range b.raw.Groups {
		path := "groups[" + strconv.Itoa(k) + "]"
		if r.Line == 0 {
			continue
		}
		if !r.Name.set {
			b.at(r.Line, path+".name", "give it a name", "missing")
		}
		g := Group{Name: b.name(r.Name, "group")}
		if first, ok := groups[g.Name]; ok && g.Name != "" {
			b.add(r.Name, "give each its own name", "the name of groups[%d] too", first)
		}
		groups[g.Name] = k
		slots := b.named(r.Interfaces, names, func(s scalar, i int) bool {
			if other, taken := in[i]; taken {
				b.add(s, "let each interface count in one group", "in groups[%d] too", other)
				return false
			}
			if !b.c.Interfaces[i].Monitored {
				b.add(s, "monitor it, or leave it out", "not monitored, so it cannot count")
				return false
			}
			return true
		})
		for _, i := range slots {
			in[i] = k
			g.Interfaces = append(g.Interfaces, b.c.Interfaces[i].Name)
		}
		if len(r.Interfaces) < 2 {
			b.at(r.Line, path+".interfaces", "list two or more", "a group is of several interfaces that stand in for each other")
		}
		g.MinUp = int(b.number(r.MinUp, 1, uint64(max(1, len(r.Interfaces))), 1))
		b.c.Groups = append(b.c.Groups, g)
	}
}

// minLinks is how many links of an interface's bond must be up; 0 without the key.
func (b *builder) minLinks(path string, r rawBond) int {
	if r.Line == 0 {
		return 0
	}
	if !r.MinLinks.set {
		b.at(r.Line, path+".bond.min-links", "write how many links must be up", "missing")
	}
	return int(b.number(r.MinLinks, 1, maxLinks, 0))
}

// unanswerable refuses a neighbour that some member has no own address to ask from: an echo request needs one, and it must not be a VIP.
func (b *builder) unanswerable(iface *Interface, s scalar, a netip.Addr) bool {
	for _, m := range b.c.Members {
		mi, ok := m.Interfaces[iface.Name]
		if !ok || iface.Role != RolePrivate && len(mi.Addresses) == 0 {
			continue // reported
		}
		if !slices.ContainsFunc(mi.Addresses, func(p netip.Prefix) bool { return p.Addr().Is4() == a.Is4() }) {
			family := "IPv6"
			if a.Is4() {
				family = "IPv4"
			}
			b.add(s, "give "+strings.Join(b.without(iface, a), ", ")+" one in members, or name another neighbour",
				"%s has no own %s address on %s to ask from", m.Name, family, iface.Name)
			return true
		}
	}
	return false
}

// without lists the members that have no own address of a's family on the interface.
func (b *builder) without(iface *Interface, a netip.Addr) []string {
	var names []string
	for _, m := range b.c.Members {
		if !slices.ContainsFunc(m.Interfaces[iface.Name].Addresses, func(p netip.Prefix) bool { return p.Addr().Is4() == a.Is4() }) {
			names = append(names, m.Name)
		}
	}
	return names
}
