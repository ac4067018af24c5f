// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
)

// Role says what a segment is for; the words are those of the cluster's configuration.
type Role string

// The roles of a segment.
const (
	RoleCluster     Role = "cluster"      // carries VIPs
	RoleSync        Role = "sync"         // CCP and state sync only
	RoleClusterSync Role = "cluster+sync" // both
	RolePrivate     Role = "private"      // a monitored network without a VIP
)

// HasVIPs tells whether the members' cluster interfaces of such a segment carry virtual addresses.
func (r Role) HasVIPs() bool { return r == RoleCluster || r == RoleClusterSync }

// Hosts says which end stations hang on a segment.
type Hosts string

// The kinds of end stations on a segment.
const (
	NoHosts Hosts = ""
	Clients Hosts = "clients"
	Servers Hosts = "servers"
	// Published are servers that outsiders want, on a segment of their own (a demilitarised zone).
	Published Hosts = "published"
	// Managers are management servers.
	Managers Hosts = "managers"
)

// Segment describes one layer-2 network.
type Segment struct {
	Name  string
	Role  Role
	Hosts Hosts
}

// Spec describes a topology. The zero value is not valid; start from DefaultSpec.
type Spec struct {
	Name    string
	Members int // 2 to 8, named fw1, fw2, ...
	Clients int // named client1, ...
	Servers int // named server1, ...
	// Published is how many servers there are on segments of Hosts Published, named public1, ...; 0 means 1.
	Published int
	// Managers is how many there are on segments of Hosts Managers, named mgmt1, ...; 0 means 1.
	Managers int
	Segments []Segment
	// VIPs is the number of IPv4 VIPs on each cluster segment, at least 1 (1 IPv6 VIP there is always).
	VIPs int
	// RouteVIP is the index of the VIP that end stations use as their IPv4 router; negative counts from the end.
	RouteVIP int
	// Router names the member that end stations use as their router instead of a VIP; "" for the VIP. It makes the
	// topology usable without any cluster software.
	Router string
	// SLAAC leaves clients without a static IPv6 default route: they wait for a router advertisement.
	SLAAC bool
	// ThreadedNAPI makes members' devices receive in NAPI threads, as a NIC with threaded NAPI does, instead of in the
	// sender's own softirq.
	ThreadedNAPI bool
	// Snooping turns on multicast snooping with a querier on the switches.
	Snooping bool
}

// DefaultSpec returns the usual topology: one client, a number of members, one server; segments ext, int and sync.
func DefaultSpec(name string, members int) Spec {
	return Spec{
		Name: name, Members: members, Clients: 1, Servers: 1, VIPs: 1,
		Segments: []Segment{
			{Name: "ext", Role: RoleCluster, Hosts: Clients},
			{Name: "int", Role: RoleCluster, Hosts: Servers},
			{Name: "sync", Role: RoleSync},
		},
	}
}

// Limits of a Spec. A switch port's name must fit into an interface name of 15 bytes.
const (
	minMembers, maxMembers = 2, 8
	maxSegments            = 16
	maxVIPs                = 8000
	maxHosts               = 200
)

var segmentName = regexp.MustCompile(`^[a-z][a-z0-9]{0,5}$`)

// Check reports everything that is wrong with the spec.
func (s Spec) Check() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if s.Members < minMembers || s.Members > maxMembers {
		bad("members %d: a cluster has %d to %d", s.Members, minMembers, maxMembers)
	}
	if s.Clients < 0 || s.Clients > maxHosts || s.Servers < 0 || s.Servers > maxHosts {
		bad("clients %d, servers %d: each 0 to %d", s.Clients, s.Servers, maxHosts)
	}
	if s.Published < 0 || s.Published > maxHosts {
		bad("published %d: 0 to %d", s.Published, maxHosts)
	}
	if s.Managers < 0 || s.Managers > maxHosts {
		bad("managers %d: 0 to %d", s.Managers, maxHosts)
	}
	if s.VIPs < 1 || s.VIPs > maxVIPs {
		bad("vips %d: 1 to %d on each cluster segment", s.VIPs, maxVIPs)
	}
	if s.RouteVIP >= s.VIPs || s.RouteVIP < -s.VIPs {
		bad("route-vip %d: there are %d VIPs", s.RouteVIP, s.VIPs)
	}
	if len(s.Segments) == 0 || len(s.Segments) > maxSegments {
		bad("%d segments: 1 to %d", len(s.Segments), maxSegments)
	}
	seen := map[string]bool{}
	for _, g := range s.Segments {
		if !segmentName.MatchString(g.Name) {
			bad("segment %q: a name is a letter and up to five letters or digits, in lower case", g.Name)
		}
		if seen[g.Name] {
			bad("segment %q: named twice", g.Name)
		}
		seen[g.Name] = true
		switch g.Role {
		case RoleCluster, RoleSync, RoleClusterSync, RolePrivate:
		default:
			bad("segment %s: role %q: one of cluster, sync, cluster+sync, private", g.Name, g.Role)
		}
		switch g.Hosts {
		case NoHosts, Clients, Servers, Published, Managers:
		default:
			bad("segment %s: hosts %q: clients, servers, published or managers", g.Name, g.Hosts)
		}
	}
	return errors.Join(errs...)
}

// Net is the address plan of one segment.
type Net struct {
	V4, V6 netip.Prefix
	// VIPs are the segment's virtual addresses, IPv4 first, then the one of IPv6; nil if its role carries none.
	VIPs []netip.Addr
	// LinkLocal is the virtual link-local address that routers advertise from; zero without VIPs.
	LinkLocal netip.Addr
}

// Net returns the address plan of segment i (counted from 0).
func (s Spec) Net(i int) Net {
	n := Net{
		V4: netip.PrefixFrom(v4(i, 0, 0), 16),
		V6: netip.PrefixFrom(v6(i, 0, 0), 64),
	}
	if !s.Segments[i].Role.HasVIPs() {
		return n
	}
	for v := range s.VIPs {
		if v == 0 {
			n.VIPs = append(n.VIPs, v4(i, 0, 1))
			continue
		}
		n.VIPs = append(n.VIPs, v4(i, 16+(v-1)/250, 1+(v-1)%250))
	}
	n.VIPs = append(n.VIPs, v6(i, 0, 1))
	n.LinkLocal = netip.MustParseAddr("fe80::1")
	return n
}

// Route4 returns the IPv4 router of the end stations of segment i: the chosen VIP, or the chosen member's address.
func (s Spec) Route4(i int) netip.Addr {
	if m, ok := s.routerMember(); ok {
		return v4(i, 0, 11+m)
	}
	v := s.RouteVIP
	if v < 0 {
		v += s.VIPs
	}
	return s.Net(i).VIPs[v]
}

// Route6 returns the IPv6 router of the end stations of segment i.
func (s Spec) Route6(i int) netip.Addr {
	if m, ok := s.routerMember(); ok {
		return v6(i, 0, 0x11+m)
	}
	return v6(i, 0, 1)
}

func (s Spec) routerMember() (int, bool) {
	for m := range s.Members {
		if s.Router == MemberName(m) {
			return m, true
		}
	}
	return 0, false
}

// MemberName returns the name of member number i (counted from 0): fw1, fw2, ...
func MemberName(i int) string { return fmt.Sprintf("fw%d", i+1) }

// v4 is 10.(i+1).c.d.
func v4(i, c, d int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i + 1), byte(c), byte(d)}) }

// v6 is fd00:0:0:(i+1)::c:d.
func v6(i, c, d int) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfd, 7: byte(i + 1), 13: byte(c), 14: byte(d >> 8), 15: byte(d)})
}

// ProberAddrs returns addresses of segment i that no node has, for a prober to ask from.
func (s Spec) ProberAddrs(i int) (addr4, addr6 netip.Addr) { return v4(i, 3, 1), v6(i, 3, 1) }
