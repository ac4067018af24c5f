// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Interface is one interface of the cluster on one member.
type Interface struct {
	Name   string         // the cluster's name for it
	Device string         // the kernel's
	Own    []netip.Prefix // the member's own addresses with their networks
	VIPs   []netip.Addr   // of the cluster, the same for all members
}

// Member is one machine.
type Member struct {
	Name       string
	Interfaces []Interface
}

// Cluster is what rulesets may refer to.
type Cluster struct {
	ID      uint16
	Members []Member
	// SNATFirst and SNATLast bound the ports that the gateway translates sources to; 0: not given.
	SNATFirst, SNATLast uint16
	// EtherType of CCP frames; 0: not given.
	EtherType uint16
}

// Definition is one "define": a name that a ruleset uses as $Name, and its value in nft's language.
type Definition struct {
	Name, Value string
}

// Definitions are those that Holdfast supplies on a member. docs/POLICY.md lists them. A name without a value on this cluster (IPv6
// addresses where there are none) is not defined, so that a rule that uses it is refused and not empty.
func (c *Cluster) Definitions(member int) []Definition {
	var all []Definition
	add := func(name, value string) {
		if value != "" {
			all = append(all, Definition{name, value})
		}
	}
	m := &c.Members[member]
	var own, vips, members []netip.Addr
	for i := range m.Interfaces {
		f := &m.Interfaces[i]
		add("if_"+f.Name, `"`+f.Device+`"`)
		var networks []netip.Prefix
		var mine, every []netip.Addr
		for _, p := range f.Own {
			mine = append(mine, p.Addr())
			networks = append(networks, p.Masked())
		}
		for j := range c.Members {
			every = append(every, c.Members[j].addresses(f.Name)...)
		}
		own, vips, members = append(own, mine...), append(vips, f.VIPs...), append(members, every...)
		for _, v := range []bool{false, true} {
			d := digit(v)
			add("own"+d+"_"+f.Name, set(mine, v))
			add("members"+d+"_"+f.Name, set(every, v))
			add("net"+d+"_"+f.Name, networkSet(networks, v))
			if i := slices.IndexFunc(f.VIPs, func(a netip.Addr) bool { return a.Is6() == v }); i >= 0 {
				add("vip"+d+"_"+f.Name, f.VIPs[i].String())
			}
			add("vips"+d+"_"+f.Name, set(f.VIPs, v))
		}
	}
	for _, v := range []bool{false, true} {
		d := digit(v)
		add("own"+d, set(own, v))
		add("members"+d, set(members, v))
		add("vips"+d, set(vips, v))
	}
	if c.SNATFirst != 0 {
		add("snat_ports", fmt.Sprintf("%d-%d", c.SNATFirst, c.SNATLast))
	}
	return all
}

func (m *Member) addresses(name string) []netip.Addr {
	var all []netip.Addr
	for i := range m.Interfaces {
		if m.Interfaces[i].Name == name {
			for _, p := range m.Interfaces[i].Own {
				all = append(all, p.Addr())
			}
		}
	}
	return all
}

func digit(six bool) string {
	if six {
		return "6"
	}
	return "4"
}

func set(addrs []netip.Addr, six bool) string {
	var all []string
	for _, a := range addrs {
		if a.Is6() == six && !slices.Contains(all, a.String()) {
			all = append(all, a.String())
		}
	}
	return braces(all)
}

func networkSet(networks []netip.Prefix, six bool) string {
	var all []string
	for i, p := range networks {
		// Overlapping elements are refused by nft.
		covered := func(q netip.Prefix) bool { return q != p && q.Bits() < p.Bits() && q.Contains(p.Addr()) }
		if p.Addr().Is6() == six && !slices.ContainsFunc(networks, covered) && slices.Index(networks, p) == i {
			all = append(all, p.String())
		}
	}
	return braces(all)
}

func braces(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return "{ " + strings.Join(all, ", ") + " }"
}

// DefinitionsFile writes definitions as a file that nft can include.
func DefinitionsFile(definitions []Definition) string {
	var b strings.Builder
	for _, d := range definitions {
		fmt.Fprintf(&b, "define %s = %s\n", d.Name, d.Value)
	}
	return b.String()
}
