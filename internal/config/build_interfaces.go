// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// MaxInterfaces is how many interfaces a cluster may have: a slot is one octet of the VMAC and an index into the gate's arrays.
const MaxInterfaces = 32

// MaxMonitored is how many of them may be monitored: a HELLO and the pulse hold as many.
const MaxMonitored = 16

// interfaces reads the segments; what needs the members' addresses is checked later, in addresses.
func (b *builder) interfaces() {
	raw := b.raw.Interfaces
	if len(raw) == 0 {
		b.at(b.raw.Line, "interfaces", "list at least one with role: cluster", "missing")
		return
	}
	if len(raw) > MaxInterfaces {
		b.at(raw[MaxInterfaces].Line, "interfaces", "leave out those that Holdfast need not know", "more than %d", MaxInterfaces)
		raw = raw[:MaxInterfaces]
		b.raw.Interfaces = raw
	}
	names, gated := make(map[string]int), false
	for i, r := range raw {
		if r.Line == 0 {
			b.c.Interfaces = append(b.c.Interfaces, Interface{Slot: uint8(i), Role: RolePrivate})
			gated = true // perhaps
			continue
		}
		iface := b.iface(uint8(i), r)
		if first, ok := names[iface.Name]; ok && iface.Name != "" {
			b.add(r.Name, "give each its own name", "the name of interfaces[%d] too", first)
			iface.Name = "" // it cannot be asked for by it
		} else {
			names[iface.Name] = i
		}
		gated = gated || iface.Role.Gated()
		b.c.Interfaces = append(b.c.Interfaces, iface)
	}
	if !gated {
		b.at(raw[0].Line, "interfaces", "give at least one role: cluster or cluster+sync", "none carries virtual addresses")
	}
	b.trunks(names)
	b.monitored()
	b.groups(names)
	b.vmacs()
}

// monitored counts what trunks and interfaces say is monitored.
func (b *builder) monitored() {
	monitored := 0
	for i, iface := range b.c.Interfaces {
		r := b.raw.Interfaces[i]
		if r.Line == 0 {
			monitored++ // perhaps
			continue
		}
		if !iface.Monitored {
			continue
		}
		if monitored++; monitored == MaxMonitored+1 {
			b.at(r.Line, "interfaces["+strconv.Itoa(i)+"].monitored", "set monitored: false on those that need not move the gateway",
				"%s is monitored interface %d, and CCP has room for %d", iface.Name, monitored, MaxMonitored)
		}
	}
	if monitored == 0 {
		b.at(b.raw.Interfaces[0].Line, "interfaces", "set monitored: true on at least one", "none is monitored, so members could not hear each other")
	}
}

func (b *builder) iface(slot uint8, r rawInterface) Interface {
	path := "interfaces[" + strconv.Itoa(int(slot)) + "]"
	if !r.Name.set {
		b.at(r.Line, path+".name", "give it a name", "missing")
	}
	if !r.Role.set {
		b.at(r.Line, path+".role", "choose cluster, sync, cluster+sync, private", "missing")
	}
	i := Interface{
		Slot:        slot,
		Name:        b.name(r.Name, "interface"),
		Description: r.Description.text,
		Role:        choice(b, r.Role, RolePrivate, RoleCluster, RoleSync, RoleClusterSync, RolePrivate),
		VMAC:        b.vmac(slot, r.VMAC),
	}
	i.Monitored = b.flag(r.Monitored, i.Role != RolePrivate)
	i.MinLinks = b.minLinks(path, r.Bond)
	if !i.Role.Gated() && r.Role.set {
		b.ungated(path, i.Role, r)
		i.VMAC = nil
	}
	i.ProxyARP = b.hosts(r.ProxyARP)
	i.Neighbours = b.hosts(r.Neighbours)
	i.LinkLocal = b.linkLocal(slot, r)
	i.RouterAdv = b.routerAdv(path+".router-advert", r.RouterAdv)
	if i.RouterAdv != nil && !i.LinkLocal.IsValid() {
		b.at(r.RouterAdv.Line, path+".router-advert", "remove link-local: none",
			"router advertisements need a virtual link-local address as source")
	}
	return i
}

// ungated refuses what only interfaces with virtual addresses have.
func (b *builder) ungated(path string, role Role, r rawInterface) {
	refuse := func(key string, line int, given bool) {
		if given {
			b.at(line, path+"."+key, "remove it, or use role: cluster or cluster+sync", "not on an interface with role %s", role)
		}
	}
	if len(r.VIPs) > 0 {
		refuse("vips", r.VIPs[0].Line, true)
	}
	if len(r.ProxyARP) > 0 {
		refuse("proxy-arp", r.ProxyARP[0].line, true)
	}
	refuse("vmac", r.VMAC.line, r.VMAC.set)
	refuse("link-local", r.LinkLocal.line, r.LinkLocal.set)
	refuse("router-advert", r.RouterAdv.Line, r.RouterAdv.Line != 0)
}

// vmac is the MAC that answers on an interface, its group octet 0; nil if it answers with the members' own.
func (b *builder) vmac(slot uint8, s scalar) *[6]byte {
	derived := &[6]byte{0x02, 0x48, byte(b.c.ID >> 8), byte(b.c.ID), slot, 0}
	if b.c.LoadSharing != nil && b.c.LoadSharing.Method == MethodMulticast {
		if s.set && (s.text == "false" || strings.Contains(s.text, ":")) { // refused, see sharedVMAC
			return nil
		}
		derived = b.c.LoadSharing.MulticastMAC
	}
	switch {
	case !s.set && b.c.VMAC, s.text == "true":
		return derived
	case !s.set, s.text == "false":
		return nil
	case !strings.Contains(s.text, ":"):
		b.add(s, "write true, false, or five octets: 02:aa:bb:cc:dd", "not a virtual MAC")
		return nil
	}
	return b.mac(s, true)
}

// vmacs refuses a virtual MAC on two interfaces: switches that share one table for all VLANs would move it to and fro.
func (b *builder) vmacs() {
	seen := make(map[[6]byte]int)
	for i, iface := range b.c.Interfaces {
		if iface.VMAC == nil || iface.VMAC[0]&1 != 0 { // a multicast MAC is not learned, and is the same everywhere
			continue
		}
		if first, ok := seen[*iface.VMAC]; ok {
			b.add(b.raw.Interfaces[i].VMAC, "give each interface its own", "the virtual MAC of interfaces[%d] too", first)
			continue
		}
		seen[*iface.VMAC] = i
	}
}

// hosts reads a list of addresses of hosts, each once.
func (b *builder) hosts(list []scalar) []netip.Addr {
	var all []netip.Addr
	seen := make(map[netip.Addr]bool)
	for _, s := range list {
		a, ok := b.address(s)
		switch {
		case !ok:
		case seen[a]:
			b.add(s, "keep one of them", "given twice")
		default:
			seen[a] = true
			all = append(all, a)
		}
	}
	return all
}

var linkLocal64 = netip.MustParsePrefix("fe80::/64")

// linkLocal is the virtual link-local address of an interface; the zero Addr if it has none.
func (b *builder) linkLocal(slot uint8, r rawInterface) netip.Addr {
	derived := netip.MustParseAddr(fmt.Sprintf("fe80::48:%x:%x", b.c.ID, slot))
	switch {
	case r.LinkLocal.text == "none":
		return netip.Addr{}
	case r.LinkLocal.text == "auto":
		return derived
	case !r.LinkLocal.set:
		if r.RouterAdv.Line != 0 || hasIPv6(r.VIPs) {
			return derived
		}
		return netip.Addr{}
	}
	a, ok := b.address(r.LinkLocal)
	if !ok {
		return netip.Addr{}
	}
	if !linkLocal64.Contains(a) {
		b.add(r.LinkLocal, "write auto, none, or an address such as fe80::1", "not in fe80::/64")
		return netip.Addr{}
	}
	return a
}

func hasIPv6(vips []rawVIP) bool {
	for _, v := range vips {
		if strings.Contains(v.Address.text, ":") {
			return true
		}
	}
	return false
}
