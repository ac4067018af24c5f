// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"net/netip"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
)

// Config is what a plane is made from. New and Reconfigure copy what they keep.
type Config struct {
	// Cluster, Self and EtherType are those of CCP: the cluster's id, this member's number, ccp.DefaultEtherType unless configured.
	Cluster   uint16
	Self      uint8
	EtherType uint16
	// Members is how many members are configured; with one there is nobody to synchronise with.
	Members uint8
	// Disabled says that the operator has switched synchronisation off: the status is off, and this member counts as current.
	Disabled bool
	// Keys are the cluster keys that frames are taken under, one or two, and UseKey the number of the one to seal under. See Rekey.
	Keys   []ccp.Key
	UseKey uint8
	// Interfaces are those whose role is sync or cluster+sync. All carry every frame; the loss of one loses nothing.
	Interfaces []Interface
	// Own are the addresses that belong to the members themselves and not to the gateway's clients: own addresses of all members
	// on all interfaces. Connections from or to them are not synchronised.
	Own []netip.Addr
	// Local are the addresses that this member's host has besides those. The others are told, and leave out what begins or ends at them
	// as well, so that tallies stay equal; Shared ones are on the loopback device.
	Local []ccp.SyncAddress
	// Virtual are the cluster's addresses: connections that end at one end in a member's own stack. Networks are the prefixes of the
	// members' interfaces, whose broadcasts are not synchronised.
	Virtual  []netip.Addr
	Networks []netip.Prefix
	// Services are the per-service rules, the first that matches counts.
	Services []Service
	// Zones are the conntrack zones that are synchronised, 0 the default one; nil: all.
	Zones []uint16
	// Sets are nftables sets and maps to synchronise, "FAMILY TABLE NAME", for example "inet filter blocked".
	Sets []string
	// Tables says how tables are called in this member's kernel that have another name there, "FAMILY TABLE" to the name: those of the policy
	// in force, which carry its generation. Others, and everybody's Sets, are called as the operator calls them.
	Tables map[string]string
	// FullSyncRate is how many records a second a full sync or repair sends at most, 0 for DefaultFullSyncRate.
	FullSyncRate int
	// Buffer is the size in bytes of the event socket's buffer, 0 for DefaultBuffer.
	Buffer int
	// Within, if given, runs f in the network namespace that the plane belongs to; it is called for everything that opens a
	// socket or reads a sysctl. Nil is the namespace of the process. For tests, which run several members in one process.
	Within func(f func() error) error
}

// What a Config's zeros mean.
const (
	// DefaultFullSyncRate is in records a second.
	DefaultFullSyncRate = 200_000
	// DefaultBuffer is in bytes: some 100,000 events.
	DefaultBuffer = 32 << 20
)

// Interface is a network interface that carries synchronisation.
type Interface struct {
	Name  string
	Index int
	// MAC is the interface's own address, as frames leave with it.
	MAC [6]byte
	// Up says that the interface has carrier.
	Up bool
	// MTU is that of its device, 0 if it is not known.
	MTU int
}

// Service says what is to become of the connections of a service.
type Service struct {
	// Name as the operator wrote it.
	Name string
	// Protocol is the IP protocol number, 0 for TCP and UDP both.
	Protocol uint8
	// From and To are the first and the last destination port of the original direction.
	From, To uint16
	// Never synchronise its connections.
	Never bool
	// After is how old a connection must be to be synchronised.
	After time.Duration
}

// Peer is what the node knows of another member, from its HELLO.
type Peer struct {
	ID uint8
	// Incarnation of the peer's sync plane, 0 while it has none or is not heard.
	Incarnation uint64
	// Role and Term of its serving; Current says whether its table is.
	Role    Role
	Term    uint32
	Current bool
}

// Echo is the newest stamp that a peer's gate has answered with: frames that carry it are fresh to that gate.
type Echo struct {
	Incarnation, Stamp uint64
}

// Role is what a member's table is: the one that counts, or a copy of it. ONLY APPEND: HELLO carries the number.
type Role uint8

// The roles.
const (
	// RoleOff is no part in synchronisation.
	RoleOff Role = iota
	// RoleOwner is the member that serves: its events replicate.
	RoleOwner
	// RoleCopy is every other member.
	RoleCopy
)

// String returns the role's name as the CLI and metrics show it.
func (r Role) String() string {
	switch r {
	case RoleOwner:
		return "owner"
	case RoleCopy:
		return "copy"
	}
	return "off"
}
