// SPDX-License-Identifier: Apache-2.0

package node

import (
	"net"
	"net/netip"
	"slices"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/link"
	"github.com/holdfast-project/holdfast/internal/config"
)

// localAddresses are what the host has, by interface and prefix, as the kernel tells of it. What cluster.yaml does not list is there too:
// addresses by DHCP and SLAAC, of management interfaces, of bridges for containers.
type localAddresses map[localAddress]bool

type localAddress struct {
	index  int
	prefix netip.Prefix
}

// loopback is the index of lo in every network namespace: LOOPBACK_IFINDEX in linux/include/net/flow.h.
const loopback = 1

// take takes one change and says whether there was one.
func (l *localAddresses) take(a link.AddressChanged) bool {
	k, there := localAddress{a.Index, a.Prefix}, !a.Gone && !a.Tentative
	if (*l)[k] == there {
		return false
	}
	if *l == nil {
		*l = localAddresses{}
	}
	if there {
		(*l)[k] = true
	} else {
		delete(*l, k)
	}
	return true
}

// has reports whether an interface has an address that can be used.
func (l localAddresses) has(index int, addr netip.Addr) bool {
	for k, there := range l {
		if there && k.index == index && k.prefix.Addr() == addr {
			return true
		}
	}
	return false
}

// list takes what is there now: the watcher tells of it later, when the plane may have begun.
func (l *localAddresses) list() {
	all, err := net.Interfaces()
	if err != nil {
		return // the watcher has the same trouble, and says so
	}
	for _, i := range all {
		on, _ := i.Addrs() // it may be gone
		for _, a := range on {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				l.take(link.AddressChanged{Index: i.Index, Prefix: p})
			}
		}
	}
}

// besides are the addresses that are not listed anyway, in their order; those that are left out for a rule of their own, link-local
// and loopback ones, are not there either.
func (l localAddresses) besides(listed ...[]netip.Addr) []ccp.SyncAddress {
	var all []ccp.SyncAddress
	for k := range l {
		a := k.prefix.Addr().Unmap()
		if a.IsLoopback() || a.IsLinkLocalUnicast() && a.Is6() || slices.ContainsFunc(listed, func(list []netip.Addr) bool { return slices.Contains(list, a) }) {
			continue
		}
		all = append(all, ccp.SyncAddress{Addr: a, Shared: k.index == loopback})
	}
	slices.SortFunc(all, func(a, b ccp.SyncAddress) int {
		if c := a.Addr.Compare(b.Addr); c != 0 || a.Shared == b.Shared {
			return c
		}
		if a.Shared {
			return -1
		}
		return 1
	})
	return slices.CompactFunc(all, func(a, b ccp.SyncAddress) bool { return a.Addr == b.Addr })
}

// syncAddresses are the members' own addresses, the cluster's, and the networks of both: what ends at a member itself, or is meant for
// everybody, is nothing that another member could go on with.
func syncAddresses(c *config.Cluster) (own, virtual []netip.Addr, networks []netip.Prefix) {
	for _, m := range c.Members {
		for _, i := range c.Interfaces {
			for _, a := range m.Interfaces[i.Name].Addresses {
				own = append(own, a.Addr())
				networks = append(networks, a.Masked())
			}
		}
	}
	for _, i := range c.Interfaces {
		for _, v := range i.VIPs {
			virtual = append(virtual, v.Addr)
			networks = append(networks, v.Prefix.Masked())
		}
		if i.LinkLocal.IsValid() {
			virtual = append(virtual, i.LinkLocal)
		}
	}
	slices.SortFunc(networks, comparePrefixes)
	return own, virtual, slices.Compact(networks)
}

func comparePrefixes(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}
