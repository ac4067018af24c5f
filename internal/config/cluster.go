// SPDX-License-Identifier: Apache-2.0

package config

import (
	"log/slog"
	"net/netip"
	"time"
)

// MinMembers and MaxMembers bound a cluster: two make it one, and the gate's words have room for eight.
const (
	MinMembers = 2
	MaxMembers = 8
)

// Mode is what the members do together. The zero value is invalid.
type Mode string

const (
	// ModeHA has one ACTIVE member that serves while the others stand by; the default.
	ModeHA Mode = "ha"
	// ModeLoadSharing lets every member carry a share of the traffic; see LoadSharing.
	ModeLoadSharing Mode = "load-sharing"
)

// Recovery says who serves after the better member has come back. The zero value is invalid.
type Recovery string

const (
	// MaintainCurrent (active-up) leaves the gateway where it is; the default.
	MaintainCurrent Recovery = "maintain-current"
	// HighestPriority (primary-up) moves the gateway back to the first healthy member of the file, after the hold-down.
	HighestPriority Recovery = "highest-priority"
)

// Role is what an interface is for. The zero value is invalid.
type Role string

const (
	// RoleCluster carries virtual addresses.
	RoleCluster Role = "cluster"
	// RoleSync is dedicated to CCP and state synchronisation and carries no virtual address.
	RoleSync Role = "sync"
	// RoleClusterSync does both.
	RoleClusterSync Role = "cluster+sync"
	// RolePrivate is the member's own; Holdfast only watches it, if told to.
	RolePrivate Role = "private"
)

// Gated reports whether an interface of this role carries virtual addresses, so that the gate guards it in both directions.
func (r Role) Gated() bool { return r == RoleCluster || r == RoleClusterSync }

// Sync reports whether state synchronisation uses an interface of this role.
func (r Role) Sync() bool { return r == RoleSync || r == RoleClusterSync }

// Attach is the kernel hook that the gate uses. The zero value is invalid. The values are those of the gate's loader.
type Attach string

const (
	// AttachAuto takes XDP where the driver has it natively, else TCX, else the classic hook.
	AttachAuto Attach = "auto"
	// AttachXDP insists on native XDP at ingress.
	AttachXDP Attach = "xdp"
	// AttachTCX insists on TCX (or the classic hook where the kernel has no TCX).
	AttachTCX Attach = "tcx"
)

// OwnTraffic is where packets that a member itself sends to a virtual address end. The zero value is OwnStays.
type OwnTraffic string

const (
	// OwnStays keeps them on the member, whether it serves or not; the default, since it costs forwarded packets nothing.
	OwnStays OwnTraffic = "stays"
	// OwnToServer sends them to the member that serves. Every packet that the member forwards pays for the rule that this takes, see
	// docs/decisions/016. Only with ModeHA.
	OwnToServer OwnTraffic = "to-server"
)

// Transport is how CCP frames are addressed. The zero value is invalid.
type Transport string

const (
	// Unicast sends to the peer's own MAC, multicast only until that is learned; the default.
	Unicast Transport = "unicast"
	// Multicast always sends to the cluster's CCP group address.
	Multicast Transport = "multicast"
	// Broadcast always sends to everybody, for switches that lose multicast.
	Broadcast Transport = "broadcast"
)

// Cluster is a whole cluster.yaml, checked: every relation that the package documents holds, every default is filled in. Treat it
// as immutable; it is safe for concurrent use.
type Cluster struct {
	ID       uint16   // 1..65535, the same on all members, different from every other cluster on the same segments
	Name     string   // letters, digits, '-', '_', '.'; at most 32
	Mode     Mode     // ha or load-sharing
	Recovery Recovery // who serves after a recovery
	KeyFile  string   // absolute path, or relative to the directory of cluster.yaml (Load makes it absolute)
	Profile  Profile  // where the timers' defaults come from
	Timers   Timers   // every timer, the derived ones too
	Flap     Flap     // when moves are too many
	Devices  Devices  // critical devices
	VMAC     bool     // cluster-wide default: answer with a virtual MAC (true) or the member's own
	Attach   Attach   // hook of the gate
	CCP      CCP      // frames

	OwnTraffic OwnTraffic // where a member's own packets to virtual addresses end

	Members    []Member    // in priority order; Members[i].ID == i
	Interfaces []Interface // in file order; Interfaces[i].Slot == i
	Trunks     []Trunk     // in file order
	Groups     []Group     // in file order

	Monitors []Monitor // in file order, names unique
	Routing  Routing   // commands around a change of the serving member
	Sync     Sync      // state synchronisation

	LoadSharing *LoadSharing // nil unless Mode is ModeLoadSharing
	Policy      *Policy      // nil: Holdfast has nothing to do with rulesets

	Notify   Notify     // member-local
	Metrics  Metrics    // member-local
	Control  Control    // member-local
	StateDir string     // member-local; may hold {cluster} and {member}, see For
	PinDir   string     // member-local; below a bpffs; may hold {cluster} and {member}, see For
	LogLevel slog.Level // member-local

	Path string // the file this was read from, as given to Load
}

// CCP is the cluster control protocol's own settings.
type CCP struct {
	EtherType uint16    // default 0x88B5
	Transport Transport // default unicast
	Priority  int       // SCHED_FIFO priority of the pulse process, 1..99, default 60: above threaded interrupts (50)
}

// Flap damps moves from a member that lives, forced ones aside: once Budget of them happened within Window, fail-back waits until the
// window has room again, and a problem moves the gateway only after the hold-down. Silence, a crash, admin down and a stop always move it.
type Flap struct {
	Budget int           // moves; default 5; 0 switches damping off
	Window time.Duration // default 10 minutes
}

// Devices are settings of critical devices.
type Devices struct {
	// Weights say how much a problem of the named device counts when every member has problems, 2 to 15; those not named count 1.
	// The member with the smallest sum serves. nil: all count 1.
	Weights map[string]int
}

// Metrics is the Prometheus endpoint.
type Metrics struct {
	Listen string // host:port, default ":9848"; "" switches it off
}

// Control is the operator's API.
type Control struct {
	Socket string // path of the unix socket; may hold {cluster} and {member}, see For
}

// Member is one machine of the cluster.
type Member struct {
	ID         uint8                      // its place in the file, which is its priority: 0 is the highest
	Name       string                     // letters, digits, '-', '_', '.'; at most 32
	Interfaces map[string]MemberInterface // by interface name; has an entry for each of Cluster.Interfaces
	Metrics    *Metrics                   // overrides Cluster.Metrics on this member; nil for none
}

// MemberInterface is one interface on one member.
type MemberInterface struct {
	Device    string         // the kernel's name: eth0, bond0, eth0.100
	Addresses []netip.Prefix // the member's own addresses with their prefix lengths; at least one unless the role is private
	MAC       *[6]byte       // if given, the device must have this MAC: a guard against renamed devices
}

// Interface is one interface of the cluster, the same for all members but for the device's name and addresses.
type Interface struct {
	Slot        uint8        // its place in the file; part of the VMAC and of CCP's per-interface records
	Name        string       // the cluster's name for it: "outside"
	Role        Role         //
	VIPs        []VIP        // none unless Role.Gated
	ProxyARP    []netip.Addr // answered and announced like VIPs, but not local to the members
	VMAC        *[6]byte     // MAC that answers, group byte 0, in load sharing by multicast a multicast MAC; nil: this interface answers with the member's own
	LinkLocal   netip.Addr   // virtual fe80:: address; the zero Addr: none
	RouterAdv   *RouterAdv   // nil: no router advertisements
	Neighbours  []netip.Addr // probe targets that tell whose fault a silent segment is
	Monitored   bool         // CCP runs on it and its state counts; where there is a Trunk, that decides
	Trunk       string       `json:",omitzero"` // name of the trunk that it is a VLAN of; "": none
	VLAN        uint16       `json:",omitzero"` // its tag on the trunk; 0: the untagged VLAN, or no trunk
	MinLinks    int          `json:",omitzero"` // how many links of the bond below it must be up; 0: it is not asked
	Description string       // shown to people, otherwise unused
}

// TrunkMonitor says which VLANs of a trunk are monitored. The zero value is invalid.
type TrunkMonitor string

const (
	// TrunkAll monitors every interface of the trunk; the default.
	TrunkAll TrunkMonitor = "all"
	// TrunkLowestAndHighest monitors those with the lowest and the highest tag.
	TrunkLowestAndHighest TrunkMonitor = "lowest-and-highest"
	// TrunkNamed monitors those that the file names.
	TrunkNamed TrunkMonitor = "named"
)

// Trunk is a link, or bond, that carries several VLANs, each an interface of the cluster. Those of them that are not monitored
// carry virtual addresses, but do not count.
type Trunk struct {
	Name    string
	Monitor TrunkMonitor
	Named   []string // interfaces, in the order of their slots; only with TrunkNamed
}

// Group is a set of monitored interfaces that count as one.
type Group struct {
	Name       string
	Interfaces []string // at least two, in the order of their slots
	MinUp      int      // how many of them must be well, 1..len(Interfaces); default 1
}

// VIP is one virtual address.
type VIP struct {
	Addr netip.Addr
	// Prefix is the network the address is in: that of the members' own addresses on the interface or, with Own, the one that
	// the file declares because the members' addresses are elsewhere (one public address over private members).
	Prefix netip.Prefix
	// Own says that Prefix was declared in the file: the host needs a route to it on the interface.
	Own bool
}

// RouterAdv is what the serving member advertises to IPv6 hosts on an interface, with the virtual link-local address as source.
type RouterAdv struct {
	Interval    time.Duration // between unsolicited ones, default 10 s (RFC 4861 MaxRtrAdvInterval)
	Lifetime    time.Duration // as default router, default 3 x Interval; 0: not a default router
	Preference  string        // "low", "medium" (default), "high" (RFC 4191)
	Managed     bool          // M flag: addresses by DHCPv6
	OtherConfig bool          // O flag: other settings by DHCPv6
	MTU         uint32        // 0: not advertised
	HopLimit    uint8         // default 64
	Prefixes    []RAPrefix
	DNS         []netip.Addr  // RFC 8106 servers
	Search      []string      // RFC 8106 search domains
	DNSLifetime time.Duration // default 3 x Interval
}

// RAPrefix is one prefix information option.
type RAPrefix struct {
	Prefix     netip.Prefix
	Valid      time.Duration // default 24 h
	Preferred  time.Duration // default 4 h; at most Valid
	OnLink     bool          // default true
	Autonomous bool          // default true: hosts make their own addresses (SLAAC)
}
