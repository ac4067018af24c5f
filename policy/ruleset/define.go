// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
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
	// SNATFirst and SNATLast bound the ports that it translates to in load sharing; 0: all.
	SNATFirst, SNATLast uint16
}

// Cluster is what rulesets may refer to.
type Cluster struct {
	ID      uint16
	Members []Member
	// SNATFirst and SNATLast bound the ports that all members together translate to, in load sharing; 0: all.
	SNATFirst, SNATLast uint16
	// Published are the servers that connections to virtual addresses are led to, in load sharing.
	Published []netip.Prefix
	// EtherType of CCP frames; 0: not given.
	EtherType uint16
}

// Definition is one "define": a name that a ruleset uses as $Name, and its value in nft's language.
type Definition struct {
	Name, Value string
}

// Prefix begins the names of all definitions.
const Prefix = "holdfast_"

// Definitions are those that Holdfast supplies on a member. docs/POLICY.md lists them. A name without a value on this cluster (IPv6
// addresses where there are none) is not defined, so that a rule that uses it is refused and not empty.
func (c *Cluster) Definitions(member int) []Definition {
	var all []Definition
	add := func(name, value string) {
		if value != "" {
			all = append(all, Definition{Prefix + name, value})
		}
	}
	m := &c.Members[member]
	add("member", strconv.Itoa(member))
	add("members", strconv.Itoa(len(c.Members)))
	if c.SNATFirst != 0 {
		add("snat_ports", fmt.Sprintf("%d-%d", m.SNATFirst, m.SNATLast))
		add("snat_all", fmt.Sprintf("%d-%d", c.SNATFirst, c.SNATLast))
	}
	var vips, owns []netip.Addr
	for i := range m.Interfaces {
		vips = append(vips, m.Interfaces[i].VIPs...)
	}
	for i := range c.Members {
		owns = append(owns, c.Members[i].addresses("")...)
	}
	for _, six := range []bool{false, true} {
		d := digit(six)
		add("published"+d, networkSet(c.Published, six))
		add("vips"+d, set(vips, six))
		add("owns"+d, set(owns, six))
	}
	for i := range m.Interfaces {
		f := &m.Interfaces[i]
		name := c.identifier(i)
		add("dev_"+name, `"`+f.Device+`"`)
		var networks []netip.Prefix
		var owns []netip.Addr
		for _, p := range f.Own {
			networks = append(networks, p.Masked())
		}
		for j := range c.Members {
			owns = append(owns, c.Members[j].addresses(f.Name)...)
		}
		for _, six := range []bool{false, true} {
			d := digit(six)
			add("vip"+d+"_"+name, first(f.VIPs, six))
			add("vips"+d+"_"+name, set(f.VIPs, six))
			add("own"+d+"_"+name, first(m.addresses(f.Name), six))
			add("owns"+d+"_"+name, set(owns, six))
			add("net"+d+"_"+name, networkSet(networks, six))
		}
	}
	return all
}

// identifier is the name of an interface as definitions have it: nft takes no other letters everywhere. Two that are the same then have their
// place behind them.
func (c *Cluster) identifier(i int) string {
	all := c.Members[0].Interfaces
	plain := strings.NewReplacer("-", "_", ".", "_")
	name := plain.Replace(all[i].Name)
	for j := range i {
		if plain.Replace(all[j].Name) == name {
			return name + "_" + strconv.Itoa(i)
		}
	}
	return name
}

func first(addrs []netip.Addr, six bool) string {
	if i := slices.IndexFunc(addrs, func(a netip.Addr) bool { return a.Is6() == six }); i >= 0 {
		return addrs[i].String()
	}
	return ""
}

// addresses are the member's own on an interface, or on all.
func (m *Member) addresses(name string) []netip.Addr {
	var all []netip.Addr
	for i := range m.Interfaces {
		if name == "" || m.Interfaces[i].Name == name {
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
			if p.IsSingleIP() {
				all = append(all, p.Addr().String())
			} else {
				all = append(all, p.String())
			}
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
