// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"encoding/hex"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ianaMulticast is where IPv4 multicast groups have their MACs (RFC 1112).
var ianaMulticast = [3]byte{0x01, 0x00, 0x5e}

// mode reads the mode and what of its section the interfaces need.
func (b *builder) mode(s scalar) Mode {
	if method, ok := strings.CutPrefix(s.text, "load-sharing-"); ok {
		b.add(s, "write mode: load-sharing, and load-sharing: {method: "+method+"}", "not known here")
		return ModeHA
	}
	mode := choice(b, s, ModeHA, ModeHA, ModeLoadSharing)
	r := b.raw.LoadSharing
	switch {
	case mode == ModeLoadSharing:
		b.c.LoadSharing = &LoadSharing{Method: choice(b, r.Method, MethodUnicast, MethodMulticast, MethodUnicast)}
		b.c.LoadSharing.MulticastMAC = b.multicastMAC(r.MulticastMAC)
	case r.Line != 0:
		b.at(r.Line, "load-sharing", "write mode: load-sharing, or remove the section", "not in mode %s", mode)
	}
	return mode
}

// multicastMAC is the MAC that virtual addresses resolve to; nil if the method is unicast.
func (b *builder) multicastMAC(s scalar) *[6]byte {
	if b.c.LoadSharing.Method != MethodMulticast {
		if s.set {
			b.add(s, "remove it, or write method: multicast", "with method unicast virtual addresses resolve to virtual MACs of single stations")
		}
		return nil
	}
	derived := &[6]byte{0x01, 0x00, 0x5e, byte(b.c.ID >> 8 & 0x7f), byte(b.c.ID), 0}
	if !s.set {
		if derived[3] == 0 && derived[4] == 0 {
			b.at(b.raw.LoadSharing.Line, "load-sharing.multicast-mac", "give one: \"01:00:5e:01:07\"", "missing: that of cluster %d would be of a group that routing protocols use", b.c.ID)
		}
		return derived
	}
	const form = `write five octets of a multicast MAC, "01:00:5e:01:07": the sixth is Holdfast's`
	octets := strings.Split(s.text, ":")
	var m [6]byte
	for i, o := range octets {
		v, err := hex.DecodeString(o)
		if err != nil || len(v) != 1 || len(octets) != 5 {
			b.add(s, form, "not five octets of a MAC address")
			return derived
		}
		m[i] = v[0]
	}
	iana := [3]byte(m[:3]) == ianaMulticast
	switch {
	case m[0]&1 == 0:
		b.add(s, "use an odd first octet: 01 or 03", "not a multicast MAC: it lacks the group bit")
	case m[0] == 0x33 && m[1] == 0x33:
		b.add(s, form, "belongs to IPv6 multicast")
	case [3]byte(m[:3]) == [3]byte{0x01, 0x80, 0xc2}:
		b.add(s, form, "belongs to protocols of bridges, which do not forward it")
	case [5]byte(m[:5]) == [5]byte{0xff, 0xff, 0xff, 0xff, 0xff}:
		b.add(s, form, "belongs to broadcast")
	case iana && m[3]&0x80 != 0:
		b.add(s, "let the fourth octet be 7f at most", "not the MAC of an IPv4 multicast group")
	case iana && m[3] == 0 && m[4] == 0:
		b.add(s, form, "belongs to groups of routing protocols")
	default:
		return &m
	}
	return derived
}

// sharing reads the rest of the section. Members, interfaces and synchronisation are there already.
func (b *builder) sharing() {
	l, r := b.c.LoadSharing, b.raw.LoadSharing
	if l == nil {
		return
	}
	l.Key = choice(b, r.Key, KeyPorts, KeyIPs, KeyPorts, KeySPI)
	l.Weights = b.memberWeights(r.Weights)
	l.SNATPorts = b.snatPorts(r.SNATPorts)
	l.Published = b.published(r.Published)
	l.Adaptive = b.flag(r.Adaptive, false)
	if d := b.duration(r.Interval, time.Second, time.Hour, defaultAdaptive); d != defaultAdaptive {
		l.AdaptiveInterval = d // an earlier version does not know it, and has the same digest without
	}
	l.BlockNew = b.flag(r.BlockNew, false)
	if !b.c.Sync.Enabled {
		b.add(cmp.Or(b.raw.Sync.Enabled, scalar{line: b.raw.Mode.line, path: "sync"}), "give a monitored interface the role sync or cluster+sync, and leave sync.enabled at true",
			"load sharing needs state synchronisation: a packet must find its connection at whichever member it meets")
	}
	for i := range b.c.Interfaces {
		b.sharedVMAC(i)
		b.memberMACs(i)
	}
}

// memberMACs wants the members' MACs on an interface where they do not hear each other: that is how a packet is passed on.
func (b *builder) memberMACs(i int) {
	iface := b.c.Interfaces[i]
	if !iface.Role.Gated() || iface.Monitored || iface.Name == "" {
		return
	}
	for k, m := range b.c.Members {
		if mi, ok := m.Interfaces[iface.Name]; ok && mi.MAC == nil {
			b.at(b.raw.Members[k].Interfaces[iface.Name].Line, "members["+strconv.Itoa(k)+"].interfaces."+iface.Name+".mac",
				"give its MAC, or have the interface monitored", "missing: with load sharing members pass packets to each other, and learn their MACs on monitored interfaces only")
		}
	}
}

// sharedVMAC refuses an interface whose virtual addresses could not be shared.
func (b *builder) sharedVMAC(i int) {
	iface, raw := b.c.Interfaces[i], b.raw.Interfaces[i]
	if !iface.Role.Gated() || raw.Line == 0 {
		return
	}
	multicast := b.c.LoadSharing.Method == MethodMulticast
	s := raw.VMAC
	switch {
	case multicast && s.set && s.text != "true":
		b.add(s, "remove it, and give load-sharing.multicast-mac if the derived one does not do", "with method multicast all interfaces answer with the multicast MAC")
	case !multicast && iface.VMAC == nil && s.set:
		b.add(s, "remove it, or write true", "load sharing needs a virtual MAC")
	case iface.VMAC == nil && b.raw.VMAC.set:
		b.add(b.raw.VMAC, "remove it, or write true", "load sharing needs virtual MACs")
	}
}

// memberWeights reads the weights by name: all members or none, so that nobody's share is a guess.
func (b *builder) memberWeights(raw map[string]scalar) []uint16 {
	if len(raw) == 0 {
		return nil
	}
	const path = "load-sharing.weights"
	line := b.raw.LoadSharing.Line
	before, sum := len(b.all), uint64(0)
	all := make([]uint16, len(b.c.Members))
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		s := raw[name]
		if s.set {
			line = s.line
		}
		i := slices.IndexFunc(b.c.Members, func(m Member) bool { return m.Name == name })
		if i < 0 {
			b.at(s.line, join(path, shorten(name)), "use the name of a member", "not a member of the cluster")
			continue
		}
		w := b.number(s, 0, MaxShare, 0)
		all[i] = uint16(w) //nolint:gosec // bounded
		sum += w
	}
	for _, m := range b.c.Members {
		if _, given := raw[m.Name]; !given && m.Name != "" && len(b.all) == before {
			b.at(line, join(path, m.Name), "give all members a weight, or none", "missing")
		}
	}
	if sum == 0 && len(b.all) == before {
		b.at(line, path, "give at least one member more than 0", "nobody would take any traffic")
	}
	return all
}

// snatPorts reads FIRST-LAST.
func (b *builder) snatPorts(s scalar) PortRange {
	def := PortRange{defaultSNATFirst, defaultSNATLast}
	if !s.set {
		return def
	}
	first, last, _ := strings.Cut(s.text, "-")
	lo, err1 := strconv.ParseUint(strings.TrimSpace(first), 10, 16)
	hi, err2 := strconv.ParseUint(strings.TrimSpace(last), 10, 16)
	n := len(b.c.Members)
	switch {
	case err1 != nil || err2 != nil || lo > hi:
		b.add(s, "write FIRST-LAST: "+def.String(), "not a range of ports")
	case lo < minSNATFirst:
		b.add(s, "begin at "+strconv.Itoa(minSNATFirst)+" or above", "ports of services are in it, and a packet to a virtual address within it that belongs to no connection is dropped")
	case hi-lo+1 < uint64(n)*minSNATPart: //nolint:gosec // a handful
		b.add(s, "give each of the "+strconv.Itoa(n)+" members "+strconv.Itoa(minSNATPart)+" ports at least", "too small")
	default:
		return PortRange{uint16(lo), uint16(hi)}
	}
	return def
}

// published reads addresses and networks of servers.
func (b *builder) published(raw []scalar) []netip.Prefix {
	if len(raw) > MaxPublished {
		b.at(raw[MaxPublished].line, "load-sharing.published", "name networks instead of single servers", "%d entries, more than %d", len(raw), MaxPublished)
		return nil
	}
	var all []netip.Prefix
	for _, s := range raw {
		if !s.set {
			continue
		}
		p, ok := b.server(s)
		if !ok {
			continue
		}
		if i := slices.IndexFunc(all, p.Overlaps); i >= 0 {
			b.add(s, "keep the larger one", "in common with %s", all[i])
			continue
		}
		if who := b.clusterAddressIn(p); who != "" {
			b.add(s, "name the servers that connections to it are led to", "%s is in it", who)
			continue
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	return all
}

// server reads an address, or a network.
func (b *builder) server(s scalar) (netip.Prefix, bool) {
	if strings.Contains(s.text, "/") {
		return b.network(s)
	}
	a, ok := b.address(s)
	if !ok {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a, a.BitLen()), true
}

// clusterAddressIn names a virtual address within p, or "".
func (b *builder) clusterAddressIn(p netip.Prefix) string {
	for _, i := range b.c.Interfaces {
		for _, v := range i.VIPs {
			if p.Contains(v.Addr) {
				return "virtual address " + v.Addr.String()
			}
		}
	}
	return ""
}
