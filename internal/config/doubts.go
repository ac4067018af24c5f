// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net/netip"
	"slices"
)

// Doubts says what of the file can be meant, and hardly is, one sentence each, beside what Hidden says. They are no errors.
func (c *Cluster) Doubts() (warnings []string) {
	for i := range c.Interfaces {
		in := &c.Interfaces[i]
		near := c.networks(in)
		for _, addr := range in.Neighbours {
			if !slices.ContainsFunc(near, func(p netip.Prefix) bool { return p.Contains(addr) }) {
				warnings = append(warnings, fmt.Sprintf("interface %s: neighbour %v is in no network of it, so hardly anybody there answers for it: "+
					"name a host of that segment", in.Name, addr))
			}
		}
	}
	for _, m := range c.Members {
		listen := c.Metrics.Listen
		if m.Metrics != nil {
			listen = m.Metrics.Listen
		}
		at, err := netip.ParseAddrPort(listen)
		if err != nil {
			continue // every address, a name, or nowhere
		}
		if other := c.owner(at.Addr()); other != "" && other != m.Name {
			warnings = append(warnings, fmt.Sprintf("member %s: metrics.listen: %s is %s's own address, so %s has no metrics: give members[].metrics an address of each member",
				m.Name, listen, other, m.Name))
		}
	}
	return warnings
}

// owner is the name of the member that has an address, "" if none has.
func (c *Cluster) owner(addr netip.Addr) string {
	for _, m := range c.Members {
		for _, i := range m.Interfaces {
			if slices.ContainsFunc(i.Addresses, func(p netip.Prefix) bool { return p.Addr() == addr }) {
				return m.Name
			}
		}
	}
	return ""
}

// networks are those of the members' own addresses on an interface and of its virtual ones, and what is link-local.
func (c *Cluster) networks(in *Interface) []netip.Prefix {
	all := []netip.Prefix{netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10")}
	for _, m := range c.Members {
		for _, own := range m.Interfaces[in.Name].Addresses {
			all = append(all, own.Masked())
		}
	}
	for _, v := range in.VIPs {
		if v.Prefix.IsValid() {
			all = append(all, v.Prefix.Masked())
		}
	}
	return all
}
