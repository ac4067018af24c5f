// SPDX-License-Identifier: Apache-2.0

package defines

import (
	"net/netip"
	"net/url"
	"strconv"

	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/policy/bootfilter"
	"github.com/holdfast-project/holdfast/policy/ruleset"
)

// Cluster is what a policy's ruleset may refer to. A policy is given its definitions and includes no file; the names that both have mean the
// same.
func Cluster(c *config.Cluster) *ruleset.Cluster {
	out := &ruleset.Cluster{ID: c.ID, EtherType: c.CCP.EtherType}
	l := c.LoadSharing
	if l != nil {
		out.SNATFirst, out.SNATLast, out.Published = l.SNATPorts.First, l.SNATPorts.Last, l.Published
	}
	for _, m := range c.Members {
		r := ruleset.Member{Name: m.Name}
		if l != nil {
			part := l.SNATPorts.Part(int(m.ID), len(c.Members))
			r.SNATFirst, r.SNATLast = part.First, part.Last
		}
		for _, i := range c.Interfaces {
			f := ruleset.Interface{Name: i.Name, Device: m.Interfaces[i.Name].Device, Own: m.Interfaces[i.Name].Addresses}
			for _, v := range i.VIPs {
				f.VIPs = append(f.VIPs, v.Addr)
			}
			r.Interfaces = append(r.Interfaces, f)
		}
		out.Members = append(out.Members, r)
	}
	return out
}

// Links are the devices of a member, with all addresses that are local there: its own, and the virtual ones on the loopback.
func Links(m *ruleset.Member) map[string][]netip.Prefix {
	all := map[string][]netip.Prefix{}
	for _, f := range m.Interfaces {
		all[f.Device] = append(all[f.Device], f.Own...)
		for _, v := range f.VIPs {
			all["lo"] = append(all["lo"], host(v))
		}
	}
	return all
}

// BootFilter is what a member of the cluster lets pass while it has no policy; nil without a section policy. Management is reached through
// another member where its address is written, not its name: at boot there may be nobody to ask.
func BootFilter(c *config.Cluster) *bootfilter.Filter {
	if c.Policy == nil {
		return nil
	}
	f := &bootfilter.Filter{SSH: c.Policy.SSHFrom}
	for _, m := range c.Members {
		for _, i := range c.Interfaces {
			for _, a := range m.Interfaces[i.Name].Addresses {
				f.Members = append(f.Members, a.Addr())
			}
		}
	}
	for _, text := range c.Policy.Management {
		u, err := url.Parse(text)
		if err != nil {
			continue // config has checked it
		}
		addr, err := netip.ParseAddr(u.Hostname())
		if err != nil {
			continue
		}
		port := uint64(443)
		if text := u.Port(); text != "" {
			port, _ = strconv.ParseUint(text, 10, 16)
		}
		f.Management = append(f.Management, netip.AddrPortFrom(addr, uint16(port)))
	}
	return f
}
