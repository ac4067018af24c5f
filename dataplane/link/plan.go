// SPDX-License-Identifier: Apache-2.0

package link

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// wish is an item that is wanted, with the value for sysctls and priorities.
type wish struct {
	item
	value string
}

// plan lists what d asks for, in order of application. index gives the index of an interface; those it does not know
// (gone for the moment) keep only what does not depend on it. It looks at nothing else.
func plan(d Desired, index func(name string) (int, bool)) []wish {
	p := &planner{seen: make(map[item]bool)}
	if len(d.Interfaces) > 0 {
		p.sysctl("", 0, "ipv4/conf/all/send_redirects", "0")
		// For ARP the kernel takes the maximum of `all` and the interface. VIPs on lo are local for every interface: one that is not
		// the cluster's but on the same segment, or one made anew that the gate is not on yet, must not speak for them either.
		p.sysctl("", 0, "ipv4/conf/all/arp_ignore", "1")
		p.sysctl("", 0, "ipv4/conf/all/arp_announce", "2")
	}
	families := make(map[int]bool)
	groups := make(map[item]bool)
	for _, in := range d.Interfaces {
		if i, known := index(in.Name); known {
			p.networkInterface(in, i, d.OwnStays)
		}
		for _, v := range in.VIPs {
			if addr := plain(v.Addr); !onInterface(addr) {
				p.add(wish{item: item{Kind: kindAddress, Addr: addr}})
			}
			families[family(v.Addr)] = true
			if !d.OwnStays {
				groups[item{Kind: kindRule, Family: family(v.Addr), Group: v.Group}] = true
			}
		}
	}
	for nth, name := range d.napiDevices() {
		if i, known := index(name); known {
			p.add(wish{item: item{Kind: kindNAPI, Link: name, Index: i}, value: napiWish{d.NAPIPriority, nth}.String()})
		}
	}
	for f := range families {
		if !d.OwnStays {
			p.add(wish{item: item{Kind: kindMoved, Family: f}})
		}
		if d.ManageForwarding {
			p.sysctl("", 0, forwardingPath(f), "1")
		}
	}
	for g := range groups {
		p.add(wish{item: g})
	}
	for _, s := range d.Sysctls {
		p.sysctl("", 0, s.Path, s.Value)
	}
	slices.SortStableFunc(p.wishes, func(a, b wish) int { return order[a.Kind] - order[b.Kind] })
	return p.wishes
}

// napiDevices are the devices whose threads are to be raised.
func (d Desired) napiDevices() []string {
	if d.NAPIPriority <= 0 {
		return nil
	}
	if d.NAPIDevices != nil {
		return d.NAPIDevices
	}
	names := make([]string, len(d.Interfaces))
	for i, in := range d.Interfaces {
		names[i] = in.Name
	}
	return names
}

type planner struct {
	wishes []wish
	seen   map[item]bool
}

func (p *planner) add(w wish) {
	if !p.seen[w.item] {
		p.seen[w.item] = true
		p.wishes = append(p.wishes, w)
	}
}

func (p *planner) sysctl(link string, index int, path, value string) {
	p.add(wish{item: item{Kind: kindSysctl, Link: link, Index: index, Path: path}, value: value})
}

func (p *planner) networkInterface(in Interface, index int, ownStays bool) {
	conf := "ipv4/conf/" + in.Name + "/"
	// Answer ARP only for addresses of the interface itself, and name only those: VIPs are on lo, and the gate's. This is so by `all`
	// already, and stays so when somebody sets that back.
	p.sysctl(in.Name, index, conf+"arp_ignore", "1")
	p.sysctl(in.Name, index, conf+"arp_announce", "2")
	// A redirect would tell hosts to go around the VIP.
	p.sysctl(in.Name, index, conf+"send_redirects", "0")
	for _, mac := range in.VMACs {
		p.add(wish{item: item{Kind: kindFilter, Link: in.Name, Index: index, MAC: mac}})
	}
	for _, g := range in.Groups {
		p.add(wish{item: item{Kind: kindJoined, Link: in.Name, Index: index, Addr: plain(g)}})
	}
	for _, v := range in.VIPs {
		addr := plain(v.Addr)
		if onInterface(addr) {
			p.add(wish{item: item{Kind: kindLocal, Link: in.Name, Index: index, Addr: addr}})
		}
		if !ownStays {
			p.add(wish{item: item{Kind: kindRoute, Link: in.Name, Index: index, Addr: addr, Group: v.Group}})
		}
		if v.Prefix.IsValid() {
			p.add(wish{item: item{Kind: kindPrefix, Link: in.Name, Index: index, Prefix: v.Prefix.Masked()}})
		}
	}
}

// plain is an address as the kernel lists it.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// onInterface says that addr cannot be local on lo: the kernel looks for a link-local destination on the interface where
// the packet arrived. There a local route makes it local without an address, for which the stack would answer.
func onInterface(addr netip.Addr) bool { return addr.Is6() && addr.IsLinkLocalUnicast() }

// multicastGroups are the solicited-node groups of an interface's IPv6 addresses.
func multicastGroups(in Interface) []netip.Addr {
	var groups []netip.Addr
	add := func(a netip.Addr) {
		if a = a.Unmap(); !a.Is6() {
			return
		}
		if g := solicitedNode(a); !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
	}
	for _, v := range in.VIPs {
		add(v.Addr)
	}
	for _, a := range in.Proxy {
		add(a)
	}
	return groups
}

// solicitedNode is ff02::1:ffXX:XXXX (RFC 4291 section 2.7.1).
func solicitedNode(a netip.Addr) netip.Addr {
	b := a.As16()
	return netip.AddrFrom16([16]byte{0: 0xff, 1: 2, 11: 1, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]})
}

func family(a netip.Addr) int {
	if a.Unmap().Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func familyName(f int) string {
	if f == unix.AF_INET {
		return "ipv4"
	}
	return "ipv6"
}

func forwardingPath(f int) string { return familyName(f) + "/conf/all/forwarding" }
