// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/control"
)

// staticEntry is what a router that refuses a multicast MAC needs for one virtual address.
type staticEntry struct {
	Address   string `json:"address"`
	Interface string `json:"interface"`
	MAC       string `json:"mac"`
	Linux     string `json:"linux"`
	CiscoIOS  string `json:"cisco_ios"`
	Junos     string `json:"junos"`
}

func (a *app) loadARP() *cobra.Command {
	cmd := noun(a, "arp", "Static entries for routers and hosts that refuse a multicast MAC",
		func(c *control.Client, ctx context.Context) ([]staticEntry, error) {
			l, err := c.Load(ctx)
			if err != nil {
				return nil, err
			}
			v, err := c.VIPs(ctx)
			return staticEntries(l, v), err
		}, drawARP)
	cmd.Long = "With method multicast, virtual addresses resolve to a multicast MAC. Routers may refuse to learn one for a unicast address\n" +
		"(RFC 1812, 3.3.2); a static entry tells them. Put in their own interface and address for the words in capitals."
	return cmd
}

// staticEntries are those of all virtual addresses, none unless they resolve to a multicast MAC.
func staticEntries(l control.Load, v control.VIPs) []staticEntry {
	all := []staticEntry{}
	if l.MulticastMAC == "" {
		return all
	}
	for _, vip := range v.VIPs {
		addr, err := netip.ParseAddr(vip.Address)
		if err != nil {
			continue
		}
		e := staticEntry{Address: vip.Address, Interface: vip.Interface, MAC: vip.MAC, Linux: "ip neigh replace " + vip.Address + " lladdr " + vip.MAC + " nud permanent dev DEVICE",
			CiscoIOS: "arp " + vip.Address + " " + dotted(vip.MAC) + " arpa",
			Junos:    "set interfaces INTERFACE unit 0 family inet address OWN/LENGTH arp " + vip.Address + " multicast-mac " + vip.MAC}
		if addr.Is6() {
			e.CiscoIOS = "ipv6 neighbor " + vip.Address + " INTERFACE " + dotted(vip.MAC)
			e.Junos = "set interfaces INTERFACE unit 0 family inet6 address OWN/LENGTH ndp " + vip.Address + " multicast-mac " + vip.MAC
		}
		all = append(all, e)
	}
	return all
}

// dotted is a MAC in three groups of four digits.
func dotted(mac string) string {
	digits := strings.ReplaceAll(mac, ":", "")
	if len(digits) != 12 {
		return mac
	}
	return digits[:4] + "." + digits[4:8] + "." + digits[8:]
}

func drawARP(p *page, all []staticEntry) {
	if len(all) == 0 {
		p.line("Virtual addresses resolve to virtual MACs of single stations, which every router learns: no entry is needed.")
		return
	}
	p.wrapped("", "", "Virtual addresses resolve to the multicast MAC "+all[0].MAC+". Routers and hosts that refuse to learn that for a unicast address need these:")
	for _, kind := range []struct {
		title string
		line  func(staticEntry) string
	}{{"Linux", func(e staticEntry) string { return e.Linux }}, {"Cisco IOS", func(e staticEntry) string { return e.CiscoIOS }},
		{"Junos", func(e staticEntry) string { return e.Junos }}} {
		p.line("")
		p.line("%s", p.paint(cell{kind.title, bold}))
		iface := ""
		for _, e := range all {
			if e.Interface != iface {
				iface = e.Interface
				p.line("  # segment %s", iface)
			}
			p.line("  %s", kind.line(e))
		}
	}
	p.line("")
	p.wrapped("", "", "A Cisco switch that does not flood the MAC needs, with the ports of all members: mac address-table static "+dotted(all[0].MAC)+
		" vlan VLAN interface PORT PORT")
}
