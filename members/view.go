// SPDX-License-Identifier: Apache-2.0

package members

import (
	"time"

	"github.com/holdfast-project/holdfast/members/device"
)

// View is a copy of what the machine knows, for the CLI, metrics and HELLOs. It shares no memory with
// the machine.
type View struct {
	Self    uint8
	State   State
	Reason  string // why this state, one line
	Term    uint32 // of the own lease, 0 without one
	Serving bool   // the own gate was open at the last GateState
	Active  uint8  // the member that serves as far as this one knows, or Nobody
	// Members holds all members in priority order; the entry of Self is this member.
	Members []PeerView
	// Devices holds all critical devices, Interfaces the monitored interfaces.
	Devices    []device.Device
	Interfaces []LocalInterface
	// Groups holds the groups of interfaces that count as one.
	Groups []GroupView
	// Claim is the claim under way; Cause 0 if none.
	Claim ClaimView
	// Failovers counts moves of serving that this member saw, since FailoversSince.
	Failovers      int
	FailoversSince int64
	LastFailover   Move
	// FlapBudget is how many voluntary moves are left in the window; Damped is until when none is made.
	FlapBudget int
	Damped     int64
	// ForcedTo is the member that a forced hand-over names until ForcedUntil (0: until ended), or Nobody.
	ForcedTo    uint8
	ForcedUntil int64
	// FrozenUntil is when the freeze of voluntary moves ends that this member's operator ordered, 0 if there is none.
	FrozenUntil int64
	// Stopped is set when, after Stop, nothing depends on this daemon any more.
	Stopped bool
}

// PeerView is one member as this one sees it.
type PeerView struct {
	ID       uint8
	Name     string
	State    State
	Reason   string
	Since    int64 // when it took this state, as seen here
	Term     uint32
	Serving  bool
	LastSeen int64 // when its gate answered last, 0 never
	HelloAge time.Duration
	Problems []DeviceView
	// Silent lists the slots of interfaces on which this member hears nothing from it.
	Silent  []uint8
	Version uint32
}

// LocalInterface is a monitored interface of this member.
type LocalInterface struct {
	Slot    uint8
	Name    string
	Cluster bool
	Carrier bool
	Since   int64 // of carrier or its loss
	// Problem in words, empty if the interface is well; Undecided in words if a fault cannot be attributed.
	Problem, Undecided string
	// Group names the group that the interface counts in, empty if it counts by itself.
	Group string
	// NeighbourAt is when a neighbour answered last.
	NeighbourAt int64
	// HeardFrom lists the peers heard here.
	HeardFrom []uint8
}

// GroupView is a group of interfaces of this member.
type GroupView struct {
	Name        string
	MinUp, Well int
	// Problem in words, empty while enough interfaces are well.
	Problem string
}

// ClaimView is a claim under way.
type ClaimView struct {
	Cause   Cause
	Term    uint32
	Since   int64
	Waiting []uint8 // members whose gates have not granted yet
	Held    string  // why it waits before asking for grants, empty if it does not
}

// Move is a change of the serving member.
type Move struct {
	At       int64
	From, To uint8
	Cause    Cause
	Reason   string
	Gap      time.Duration
}
