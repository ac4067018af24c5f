// SPDX-License-Identifier: Apache-2.0

package announce

import (
	"net/netip"
	"time"
)

// Set is what one group announces on one interface. (Group, Index, VLAN) identifies it.
type Set struct {
	// Group is the VIP group, 0 for the gateway itself.
	Group uint8
	// Index is the interface's index; Name is used in errors and logs only.
	Index int
	Name  string
	// VLAN tags every frame when it is not 0, for VIPs that live on a VLAN of this very interface. A VLAN device of its
	// own (eth0.10) is an interface like any other and leaves it 0.
	VLAN uint16
	// MAC is the address that is announced and the Ethernet source: the VMAC, or the interface's own with `vmac: false`.
	MAC [6]byte
	// Source is the Ethernet source instead, unless it is zero: the interface's own MAC where MAC is a multicast one, which no
	// station may send from (IEEE 802.3) and switches do not learn. There is no beacon for such a MAC, since there is nothing to learn.
	Source [6]byte
	// Virtual says that MAC is a VMAC: the beacon is sent once a second, and only the beacon is urgent, since neighbours
	// already know the address.
	Virtual bool
	// VIPs are announced by gratuitous ARP (IPv4) or unsolicited neighbour advertisement (IPv6).
	VIPs []netip.Addr
	// Proxy are addresses answered for but not local (proxy ARP); they are announced as VIPs are.
	Proxy []netip.Addr
	// LinkLocal is the virtual link-local address, announced as a VIP and the source of router advertisements. The zero
	// value means none.
	LinkLocal netip.Addr
	// IsRouter sets the router flag of neighbour advertisements: true for a gateway whose hosts route through the VIP.
	IsRouter bool
	// Router makes the server send router advertisements; nil for none. It needs LinkLocal.
	Router *Router
}

// Preference is how hosts choose among default routers (RFC 4191). The zero value is PreferenceMedium.
type Preference string

const (
	// PreferenceLow is for routers that hosts take when there is no other.
	PreferenceLow Preference = "low"
	// PreferenceMedium is what routers without the option have.
	PreferenceMedium Preference = "medium"
	// PreferenceHigh is for routers that hosts take before others.
	PreferenceHigh Preference = "high"
)

// Router is the content of the router advertisements of one interface. Zero durations take RFC 4861's defaults. Configure refuses
// what has no place in an advertisement, and one that is longer than 1280 octets, which every link carries.
type Router struct {
	// MaxInterval (4 s to 1800 s, default 600 s) and MinInterval (default a third of it) bound the time between two
	// unsolicited advertisements.
	MinInterval, MaxInterval time.Duration
	// Lifetime of the default route, MaxInterval to 9000 s; default three times MaxInterval. NoDefaultRoute sends 0: hosts take
	// prefixes but no route.
	Lifetime       time.Duration
	NoDefaultRoute bool
	// Preference of the default route; without one it is not sent.
	Preference Preference
	// HopLimit that hosts shall use; 0 leaves it to them.
	HopLimit uint8
	// Managed and OtherConfig point hosts to DHCPv6.
	Managed, OtherConfig bool
	// MTU of the segment; 0 says nothing.
	MTU uint32
	// Prefixes to configure addresses from.
	Prefixes []Prefix
	// DNS servers and search domains, with their lifetime (default three times MaxInterval).
	DNS         []netip.Addr
	Search      []string
	DNSLifetime time.Duration
}

// Prefix is one prefix of a router advertisement.
type Prefix struct {
	Prefix netip.Prefix
	// OffLink clears the on-link flag; NoAutonomous clears the flag that lets hosts form addresses (SLAAC).
	OffLink, NoAutonomous bool
	// Valid (default 30 days) and Preferred (default 7 days) are lifetimes. Deprecated sends a preferred lifetime of 0: hosts keep
	// their addresses of the prefix but begin nothing new with them (a prefix on its way out).
	Valid, Preferred time.Duration
	Deprecated       bool
}
