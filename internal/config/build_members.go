// SPDX-License-Identifier: Apache-2.0

package config

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

func (b *builder) members() {
	raw := b.raw.Members
	switch n := len(raw); {
	case n < MinMembers:
		b.at(b.raw.Line, "members", "list at least two machines", "%d members: one machine alone cannot hand over", n)
	case n > MaxMembers:
		b.at(raw[MaxMembers].Line, "members", "make two clusters", "%d members, more than %d", n, MaxMembers)
		raw = raw[:MaxMembers]
		b.raw.Members = raw
	}
	names := make(map[string]int)
	for i, r := range raw {
		if r.Line == 0 {
			b.c.Members = append(b.c.Members, Member{ID: uint8(i)})
			continue
		}
		m := b.member(uint8(i), r)
		if first, ok := names[m.Name]; ok && m.Name != "" {
			b.add(r.Name, "give each its own name", "the name of members[%d] too", first)
		} else {
			names[m.Name] = i
		}
		b.c.Members = append(b.c.Members, m)
	}
	b.memberIDs()
	b.ownAddresses()
}

// memberIDs checks the numbers that the file gives: they guard against an accidental change of the order.
func (b *builder) memberIDs() {
	seen := make(map[uint64]int)
	for i, r := range b.raw.Members {
		if !r.ID.set {
			continue
		}
		n := b.number(r.ID, 0, MaxMembers-1, MaxMembers)
		first, twice := seen[n]
		switch {
		case n == MaxMembers: // reported
		case twice:
			b.add(r.ID, "give each its own, or none", "the id of members[%d] too", first)
		case n != uint64(i):
			b.add(r.ID, "write "+strconv.Itoa(i)+", remove the id, or restore the order",
				"members are numbered in the order of the file, which is their priority, and this is number %d", i)
		}
		if _, ok := seen[n]; !ok {
			seen[n] = i
		}
	}
}

func (b *builder) member(id uint8, r rawMember) Member {
	path := "members[" + strconv.Itoa(int(id)) + "]"
	if !r.Name.set {
		b.at(r.Line, path+".name", "give it the name that it is started with", "missing")
	}
	m := Member{ID: id, Name: b.name(r.Name, "member"), Interfaces: make(map[string]MemberInterface)}
	if r.Metrics.Listen.set {
		m.Metrics = &Metrics{Listen: b.listen(r.Metrics.Listen)}
	}
	known := make(map[string]bool)
	for _, i := range b.c.Interfaces {
		known[i.Name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(r.Interfaces)) {
		if !known[name] && r.Interfaces[name].Line != 0 {
			b.at(r.Interfaces[name].Line, join(path+".interfaces", shorten(name)), "add it to interfaces, or use one of its names",
				"not an interface of the cluster")
		}
	}
	devices := make(map[string]string)
	for _, i := range b.c.Interfaces {
		if i.Name == "" {
			continue // reported
		}
		ri, ok := r.Interfaces[i.Name]
		if !ok {
			b.at(r.Line, join(path+".interfaces", i.Name), "add its device and addresses", "missing: every member is on every interface")
			continue
		}
		if ri.Line == 0 {
			continue
		}
		mi := b.memberInterface(join(path+".interfaces", i.Name), i, ri)
		if other, ok := devices[mi.Device]; ok && mi.Device != "" {
			b.add(ri.Device, "give each interface its own device", "the device of %s too", other)
		}
		devices[mi.Device] = i.Name
		m.Interfaces[i.Name] = mi
	}
	return m
}

func (b *builder) memberInterface(path string, i Interface, r rawMemberInterface) MemberInterface {
	m := MemberInterface{Device: r.Device.text}
	switch {
	case !r.Device.set:
		b.at(r.Line, path+".device", "name the kernel's device: eth0, bond0.100", "missing")
	case !deviceName(m.Device):
		b.add(r.Device, "use the kernel's name, at most 15 characters", "not the name of a network device")
		m.Device = ""
	}
	for _, s := range r.Addresses {
		p, ok := b.prefix(s)
		switch {
		case !ok:
		case slices.Contains(m.Addresses, p):
			b.add(s, "keep one of them", "given twice")
		default:
			m.Addresses = append(m.Addresses, p)
		}
	}
	if len(r.Addresses) == 0 && i.Role != RolePrivate {
		b.at(r.Line, path+".addresses", "give the member an own address on it, 10.0.0.2/24",
			"missing: without one a member cannot ask for virtual addresses, nor be told apart")
	}
	if r.MAC.set {
		m.MAC = b.mac(r.MAC, false)
		if m.MAC != nil && i.VMAC != nil && [5]byte(m.MAC[:5]) == [5]byte(i.VMAC[:5]) {
			b.add(r.MAC, "use the MAC of the device itself", "a virtual MAC of interface %s", i.Name)
		}
	}
	return m
}

// deviceName reports whether the kernel could have a device of that name (dev_valid_name).
func deviceName(s string) bool {
	return s != "" && len(s) <= 15 && s != "." && s != ".." && !strings.ContainsFunc(s, func(r rune) bool {
		return r == '/' || r == ':' || r <= ' ' || r > '~'
	})
}

// ownAddresses refuses an address that two members, or two interfaces of one, have. IPv6 link-local ones are each segment's own.
func (b *builder) ownAddresses() {
	type place struct{ iface, path string }
	seen := make(map[netip.Addr]string)
	links := make(map[place]string)
	for _, m := range b.raw.Members {
		for _, i := range b.c.Interfaces {
			for _, s := range m.Interfaces[i.Name].Addresses {
				addr, _, _ := strings.Cut(s.text, "/")
				a, err := netip.ParseAddr(addr)
				if err != nil {
					continue // reported
				}
				if a.Is6() && a.IsLinkLocalUnicast() {
					at := place{i.Name, a.String()}
					if other, ok := links[at]; ok && other != s.path {
						b.add(s, "give each member its own", "the address of %s too", other)
					}
					links[at] = s.path
					continue
				}
				if other, ok := seen[a]; ok && !sameList(other, s.path) {
					b.add(s, "give each member and interface its own", "the address of %s too", other)
					continue
				}
				seen[a] = s.path
			}
		}
	}
}

// sameList reports whether two paths are elements of one list: a repetition there is reported already.
func sameList(a, b string) bool {
	i, j := strings.LastIndexByte(a, '['), strings.LastIndexByte(b, '[')
	return i >= 0 && j >= 0 && a[:i] == b[:j]
}
