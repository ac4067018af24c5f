// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// addresses reads the virtual addresses, which need the members' own, and looks for overlaps.
func (b *builder) addresses() {
	taken := b.taken()
	for i := range b.c.Interfaces {
		iface, raw := &b.c.Interfaces[i], b.raw.Interfaces[i]
		if !iface.Role.Gated() {
			continue
		}
		if len(raw.VIPs) == 0 && len(raw.ProxyARP) == 0 && !iface.LinkLocal.IsValid() {
			b.at(raw.Line, "interfaces["+strconv.Itoa(i)+"].vips", "add one, or use role: sync or private", "none on an interface with role %s", iface.Role)
		}
		for k, r := range raw.VIPs {
			path := "interfaces[" + strconv.Itoa(i) + "].vips[" + strconv.Itoa(k) + "]"
			if v, ok := b.vip(path, iface, r); ok && taken.claim(b, r.Address, v.Addr) {
				iface.VIPs = append(iface.VIPs, v)
			}
		}
		for _, s := range raw.ProxyARP {
			if a, err := netip.ParseAddr(s.text); err == nil && slices.Contains(iface.ProxyARP, a) {
				taken.claim(b, s, a)
			}
		}
		b.linkLocalClash(iface, raw)
		b.neighbours(iface, raw, taken)
	}
}

// owners says who has an address: the path of a virtual one, or a member's interface.
type owners map[netip.Addr]string

// taken holds the members' own addresses.
func (b *builder) taken() owners {
	o := make(owners)
	for _, m := range b.c.Members {
		for name, i := range m.Interfaces {
			for _, p := range i.Addresses {
				if !p.Addr().Is6() || !p.Addr().IsLinkLocalUnicast() {
					o[p.Addr()] = m.Name + "'s own address on " + name
				}
			}
		}
	}
	return o
}

// claim enters an address of the cluster and refuses it if it has an owner.
func (o owners) claim(b *builder, s scalar, a netip.Addr) bool {
	if who, ok := o[a]; ok {
		b.add(s, "give every address one owner", "overlaps: it is %s too", who)
		return false
	}
	o[a] = s.path
	return true
}

func (b *builder) vip(path string, iface *Interface, r rawVIP) (VIP, bool) {
	if !r.Address.set {
		if r.Line != 0 {
			b.at(r.Line, path+".address", "write the address", "missing")
		}
		return VIP{}, false
	}
	s, v, short := r.Address, VIP{}, strings.Contains(r.Address.text, "/")
	if short {
		p, ok := b.prefix(s)
		if !ok {
			return VIP{}, false
		}
		v.Addr, v.Prefix = p.Addr(), p.Masked()
	} else {
		a, ok := b.address(s)
		if !ok {
			return VIP{}, false
		}
		v.Addr = a
	}
	if v.Addr.Is6() && v.Addr.IsLinkLocalUnicast() {
		b.add(s, "write link-local: "+v.Addr.String()+" on the interface instead", "a link-local address is not a virtual address of its own")
		return VIP{}, false
	}
	if r.Prefix.set {
		return b.vipOwnPrefix(r, v)
	}
	if !b.vipMembersPrefix(iface, s, &v, short) {
		return VIP{}, false
	}
	return v, b.hostAddress(s, v)
}

// vipOwnPrefix is a virtual address that declares its prefix: one public address over private members.
func (b *builder) vipOwnPrefix(r rawVIP, v VIP) (VIP, bool) {
	p, ok := b.network(r.Prefix)
	if !ok {
		return VIP{}, false
	}
	if !p.Contains(v.Addr) {
		b.add(r.Prefix, "write the network that the address is in", "does not contain %s", v.Addr)
		return VIP{}, false
	}
	v.Prefix, v.Own = p, true
	return v, b.hostAddress(r.Address, v)
}

// vipMembersPrefix finds the prefix of the members' own addresses that a virtual address is in: the same on all of them.
func (b *builder) vipMembersPrefix(iface *Interface, s scalar, v *VIP, given bool) bool {
	var found netip.Prefix
	for _, m := range b.c.Members {
		mi, ok := m.Interfaces[iface.Name]
		if !ok || len(mi.Addresses) == 0 {
			continue // reported
		}
		var best netip.Prefix
		for _, p := range mi.Addresses {
			if p.Contains(v.Addr) && p.Bits() > best.Bits() {
				best = p.Masked()
			}
		}
		switch {
		case !best.IsValid():
			b.add(s, "use an address of "+list(mi.Addresses)+", or declare: {address: "+v.Addr.String()+", prefix: NETWORK}",
				"outside every prefix of %s on %s", m.Name, iface.Name)
			return false
		case found.IsValid() && best != found:
			b.add(s, "give all members the same prefix length on "+iface.Name, "in %s on %s, but in %s on a member before it", best, m.Name, found)
			return false
		}
		found = best
	}
	if given && found.IsValid() && found != v.Prefix {
		b.add(s, "write "+v.Addr.String()+" alone, or declare: {address: "+v.Addr.String()+", prefix: "+v.Prefix.String()+"}",
			"the members' prefix is %s", found)
		return false
	}
	v.Prefix = found
	return true
}

// hostAddress refuses the network's own address and the broadcast address of an IPv4 prefix.
func (b *builder) hostAddress(s scalar, v VIP) bool {
	if !v.Addr.Is4() || !v.Prefix.IsValid() || v.Prefix.Bits() >= 31 {
		return true
	}
	if v.Addr == v.Prefix.Masked().Addr() {
		b.add(s, "use an address of a host", "the network's own address in %s", v.Prefix)
		return false
	}
	last := v.Prefix.Masked().Addr().As4()
	for bit := v.Prefix.Bits(); bit < 32; bit++ {
		last[bit/8] |= 0x80 >> (bit % 8)
	}
	if v.Addr == netip.AddrFrom4(last) {
		b.add(s, "use an address of a host", "the broadcast address of %s", v.Prefix)
		return false
	}
	return true
}

func (b *builder) linkLocalClash(iface *Interface, raw rawInterface) {
	for _, m := range b.c.Members {
		for _, p := range m.Interfaces[iface.Name].Addresses {
			if iface.LinkLocal.IsValid() && p.Addr() == iface.LinkLocal {
				b.at(raw.Line, "interfaces["+strconv.Itoa(int(iface.Slot))+"].link-local", "choose another of fe80::/64",
					"%s is %s's own address", p.Addr(), m.Name)
			}
		}
	}
}

// neighbours must be other stations: a member or the cluster itself proves nothing about the segment.
func (b *builder) neighbours(iface *Interface, raw rawInterface, taken owners) {
	for _, s := range raw.Neighbours {
		a, err := netip.ParseAddr(s.text)
		if err != nil || !slices.Contains(iface.Neighbours, a) {
			continue
		}
		if b.unanswerable(iface, s, a) {
			continue
		}
		if who, ok := taken[a]; ok {
			b.add(s, "name a host that is not a member", "%s, so its answer proves nothing about the segment", strings.Replace(who, "interfaces[", "virtual: interfaces[", 1))
		}
	}
}

func list(prefixes []netip.Prefix) string {
	words := make([]string, len(prefixes))
	for i, p := range prefixes {
		words[i] = p.Masked().String()
	}
	return strings.Join(words, ", ")
}
