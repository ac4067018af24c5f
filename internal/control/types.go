// SPDX-License-Identifier: Apache-2.0

package control

import "time"

// State is the cluster as this member sees it.
type State struct {
	Cluster        string        `json:"cluster"`
	ClusterID      uint16        `json:"cluster_id"`
	Mode           string        `json:"mode"`
	Recovery       string        `json:"recovery"`
	Profile        string        `json:"profile"`
	Self           uint8         `json:"self"`
	Members        []MemberState `json:"members"`
	LastChange     *Event        `json:"last_change,omitempty"`   // last state change of this member
	LastFailover   *Failover     `json:"last_failover,omitempty"` // of the cluster
	Failovers      uint64        `json:"failovers"`               // since FailoversSince
	FailoversSince time.Time     `json:"failovers_since"`
	Forced         string        `json:"forced,omitempty"` // member that a forced hand-over holds the gateway on
	ForcedUntil    *time.Time    `json:"forced_until,omitempty"`
	Frozen         []Freeze      `json:"frozen,omitempty"`   // who stopped voluntary moves, and until when
	Flap           *Flap         `json:"flap,omitempty"`     // nil: damping is off
	Warnings       []string      `json:"warnings,omitempty"` // thin margins, rotation held open, ...
	Version        string        `json:"version"`
	Protocol       uint32        `json:"protocol"`         // version of the protocol that this member speaks
	ConfigDigest   string        `json:"config_digest"`    // first 16 hex digits
	Policy         *PolicyState  `json:"policy,omitempty"` // nil: the cluster has no section policy
}

// Freeze is a freeze of voluntary moves, ordered at one member and heeded by all.
type Freeze struct {
	By     string    `json:"by"` // member at which it was ordered
	Until  time.Time `json:"until"`
	LeftMs float64   `json:"left_ms"`
}

// Flap is the budget of moves from a member that lives.
type Flap struct {
	Budget int        `json:"budget"`
	Left   int        `json:"left"`
	Window Duration   `json:"window"`
	Until  *time.Time `json:"until,omitempty"` // with nothing left: when the next move comes back
}

// MemberState is one member in State.
type MemberState struct {
	ID           uint8     `json:"id"`
	Name         string    `json:"name"`
	Local        bool      `json:"local"`
	Address      string    `json:"address"` // its first own address on a sync interface, else on the first interface
	State        string    `json:"state"`   // INIT READY STANDBY ACTIVE ACTIVE(!) ACTIVE(P) ACTIVE(!P) DOWN LOST
	Reason       string    `json:"reason,omitempty"`
	Since        time.Time `json:"since"` // when it took this state, as seen here
	Term         uint32    `json:"term"`  // of its lease; 0 none
	Answer       bool      `json:"answer"`
	Forward      bool      `json:"forward"`
	Alone        bool      `json:"alone,omitempty"`
	Problems     []string  `json:"problems,omitempty"` // devices in problem or init
	NotOK        []NotOK   `json:"not_ok,omitempty"`   // the same with status and reason
	AgeMs        float64   `json:"age_ms"`             // since it was last heard; 0 for this member
	LoadPercent  float64   `json:"load_percent"`
	Pivot        bool      `json:"pivot,omitempty"`         // in load sharing by unicast: it receives everything, and its state has a (P)
	SharePercent *float64  `json:"share_percent,omitempty"` // in load sharing: of all slots, those that it takes
	Version      string    `json:"version,omitempty"`
	Protocol     uint32    `json:"protocol,omitempty"`     // 0: not heard yet
	Capabilities []string  `json:"capabilities,omitempty"` // what its build offers beyond the protocol's first version
	ConfigDigest string    `json:"config_digest,omitempty"`
	Generation   uint64    `json:"generation,omitempty"` // of the policy in force there
}

// NotOK is a critical device of a member that is not ok.
type NotOK struct {
	Device string `json:"device"`
	Status string `json:"status"` // init problem
	Reason string `json:"reason,omitempty"`
}

// Interfaces lists this member's interfaces and what is heard on them.
type Interfaces struct {
	Member     string           `json:"member"`
	Transport  string           `json:"transport"`
	Required   int              `json:"required"` // monitored interfaces of the configuration
	Up         int              `json:"up"`       // those that are up now
	Interfaces []InterfaceState `json:"interfaces"`
	Groups     []GroupState     `json:"groups,omitempty"`
}

// InterfaceState is one interface in Interfaces.
type InterfaceState struct {
	Name      string     `json:"name"`
	Device    string     `json:"device"`
	Slot      uint8      `json:"slot"`
	Role      string     `json:"role"`
	Monitored bool       `json:"monitored"`
	Status    string     `json:"status"` // UP DOWN undecided non-monitored
	Carrier   bool       `json:"carrier"`
	In        bool       `json:"in"`        // CCP arrives
	Out       bool       `json:"out"`       // CCP leaves, as peers say
	InAgeMs   float64    `json:"in_age_ms"` // since CCP last arrived; -1: it never did
	OutAgeMs  float64    `json:"out_age_ms"`
	Attached  string     `json:"attached,omitempty"` // gate's hook: xdp tcx tc
	MAC       string     `json:"mac,omitempty"`
	VMAC      string     `json:"vmac,omitempty"`
	Addresses []string   `json:"addresses,omitempty"`
	VIPs      int        `json:"vips"`
	Reason    string     `json:"reason,omitempty"`
	Trunk     string     `json:"trunk,omitempty"` // that it is a VLAN of
	VLAN      uint16     `json:"vlan,omitempty"`
	Bond      *BondState `json:"bond,omitempty"`
	Group     string     `json:"group,omitempty"` // of interfaces that count as one
	Peers     []PeerLink `json:"peers,omitempty"`
}

// BondState is the bond that an interface's device is, or is a VLAN on.
type BondState struct {
	Name     string `json:"name"`
	Up       int    `json:"up"`
	Links    int    `json:"links"`
	MinLinks int    `json:"min_links,omitempty"` // 0: it is not asked
}

// GroupState is a group of interfaces that count as one.
type GroupState struct {
	Name       string   `json:"name"`
	Interfaces []string `json:"interfaces"`
	Up         int      `json:"up"`
	MinUp      int      `json:"min_up"`
	Reason     string   `json:"reason,omitempty"` // why it is a problem
}

// PeerLink is one peer as heard on one interface.
type PeerLink struct {
	Member string  `json:"member"`
	Up     bool    `json:"up"`
	AgeMs  float64 `json:"age_ms"` // since its last answer
	RTTUs  float64 `json:"rtt_us"` // of the last answer
	MAC    string  `json:"mac,omitempty"`

	Says *PeerInterface `json:"says,omitempty"` // nil before its daemon was heard
}

// PeerInterface is a peer's own end of an interface, by its own word. Ages are left out for what never happened.
type PeerInterface struct {
	Carrier        bool     `json:"carrier"`
	Problem        bool     `json:"problem,omitempty"`   // the fault is at its side, as far as it can tell
	Proven         bool     `json:"proven,omitempty"`    // which its carrier or a third station shows
	Undecided      bool     `json:"undecided,omitempty"` // nothing can tell whose side is at fault
	HearsUs        bool     `json:"hears_us"`
	CarrierAgeMs   *float64 `json:"carrier_age_ms,omitempty"` // since its carrier changed
	InAgeMs        *float64 `json:"in_age_ms,omitempty"`      // since CCP last came in there
	OutAgeMs       *float64 `json:"out_age_ms,omitempty"`     // since it was last proved that its CCP went out
	NeighbourAgeMs *float64 `json:"neighbour_age_ms,omitempty"`
}

// Devices lists this member's critical devices.
type Devices struct {
	Member  string   `json:"member"`
	Devices []Device `json:"devices"`
}

// Device is one critical device.
type Device struct {
	Name       string    `json:"name"`
	Status     string    `json:"status"` // ok init problem
	Reason     string    `json:"reason,omitempty"`
	BuiltIn    bool      `json:"built_in"`
	TimeoutSec float64   `json:"timeout_s"` // 0: never expires
	Since      time.Time `json:"since"`     // last change of status
	Reported   time.Time `json:"reported"`  // last report
	Persistent bool      `json:"persistent,omitempty"`
	Weight     int       `json:"weight"`             // of its problem when all members have some; 0: it counts nothing
	Monitors   []string  `json:"monitors,omitempty"` // of cluster.yaml that feed it
	Meaning    string    `json:"meaning,omitempty"`  // what problem means, of a built-in one
}

// VIPs lists the cluster's virtual addresses.
type VIPs struct {
	Member  string `json:"member"`
	Serving bool   `json:"serving"` // this member answers for them now
	VIPs    []VIP  `json:"vips"`
}

// VIP is one virtual, proxy or virtual link-local address.
type VIP struct {
	Address   string     `json:"address"`
	Prefix    string     `json:"prefix,omitempty"`
	Interface string     `json:"interface"`
	Kind      string     `json:"kind"` // vip proxy link-local
	MAC       string     `json:"mac"`  // that answers
	Group     uint8      `json:"group"`
	Holder    string     `json:"holder,omitempty"` // member that answers, as far as known here
	Announced *time.Time `json:"announced,omitempty"`
}

// Failovers is the history of hand-overs.
type Failovers struct {
	Count   uint64     `json:"count"`
	Since   time.Time  `json:"since"` // start of counting
	Why     string     `json:"why"`   // what started the counting: boot, reset
	History []Failover `json:"history"`
}

// History is what happened to the members' states, as this member saw it, since its state directory was new; bounded.
type History struct {
	Member  string  `json:"member"`
	Changes []Event `json:"changes"` // oldest first
}

// Failover is one hand-over.
type Failover struct {
	Number     uint64    `json:"number"`
	Time       time.Time `json:"time"`
	From       string    `json:"from,omitempty"` // "" nobody
	To         string    `json:"to"`
	Term       uint32    `json:"term"`
	Kind       string    `json:"kind"` // boot silence vacant forced device courtesy fail-back conflict unseen
	Reason     string    `json:"reason"`
	Peer       string    `json:"peer,omitempty"`      // member whose fault or order caused it, if one did
	Device     string    `json:"device,omitempty"`    // critical device whose problem caused it, if one did
	Interface  string    `json:"interface,omitempty"` // interface whose fault caused it, if one did
	TakeoverMs float64   `json:"takeover_ms"`         // from decision to open gate
	GapMs      float64   `json:"gap_ms"`              // nobody served, as far as the taker knows
}

// Event is something that happened on this member. Code and Number are two names of the same thing: docs/EVENTS.md lists them.
type Event struct {
	Seq       uint64    `json:"seq,omitempty"` // from 1, without holes within one run of the daemon; 0 in the history
	Time      time.Time `json:"time"`
	BootNs    int64     `json:"boot_ns"` // CLOCK_BOOTTIME
	Code      string    `json:"code"`    // stable word: active, yielded, down, peer-lost, link-down, ...
	Number    uint16    `json:"number"`  // stable number of the code
	Severity  string    `json:"severity"`
	Member    string    `json:"member,omitempty"`    // whom it is about
	Peer      string    `json:"peer,omitempty"`      // other member that caused it
	Interface string    `json:"interface,omitempty"` // that caused it
	Device    string    `json:"device,omitempty"`    // critical device that caused it
	From      string    `json:"from,omitempty"`
	To        string    `json:"to,omitempty"`
	Term      uint32    `json:"term,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	GapMs     float64   `json:"gap_ms,omitempty"`
	Lost      uint64    `json:"lost,omitempty"` // code "overrun": how many events a slow follower missed
}

// Timers is the table of timers in force.
type Timers struct {
	Profile  string     `json:"profile"`
	Timers   []Timer    `json:"timers"`
	Margins  []string   `json:"margins,omitempty"` // what is thin, in words
	Used     []Margin   `json:"used,omitempty"`    // of each timer's margin, on this member and on those that tell
	Lateness []Lateness `json:"lateness,omitempty"`
}

// Margin is how much of what a timer bears is used up on a member.
type Margin struct {
	Member      string  `json:"member"`
	Timer       string  `json:"timer"`
	Measure     string  `json:"measure"` // probe-jitter lease-delay softirq-delay slow-answers
	ValueMs     float64 `json:"value_ms"`
	LimitMs     float64 `json:"limit_ms"` // what the timer bears; 0 for slow-answers, of which one in ten is all
	UsedPercent int     `json:"used_percent"`
	Thin        bool    `json:"thin,omitempty"`
}

// Timer is one row.
type Timer struct {
	Name      string  `json:"name"`
	ValueMs   float64 `json:"value_ms"`
	DefaultMs float64 `json:"default_ms"`
	Formula   string  `json:"formula"`
	Settable  bool    `json:"settable"`
	Meaning   string  `json:"meaning"`
}

// Lateness is how late something that must be punctual has been.
type Lateness struct {
	Name    string  `json:"name"` // pulse, softirq
	LastMs  float64 `json:"last_ms"`
	WorstMs float64 `json:"worst_ms"`
	LimitMs float64 `json:"limit_ms"`
}

// Why explains the states.
type Why struct {
	Member string   `json:"member"`
	State  string   `json:"state"`
	Why    string   `json:"why"`             // one line for this member
	Facts  []string `json:"facts,omitempty"` // what it rests on
	Peers  []WhyNot `json:"peers"`
}

// WhyNot explains why a peer is, or is not, the active one.
type WhyNot struct {
	Member string   `json:"member"`
	State  string   `json:"state"`
	Why    string   `json:"why"`
	Facts  []string `json:"facts,omitempty"` // what it rests on
}

// Counters are raw numbers for experts; names are stable, sorted by group and name when shown.
type Counters struct {
	Member string                       `json:"member"`
	Groups map[string]map[string]uint64 `json:"groups"` // gate, ccp, drops, pulse, announce, notify
}
