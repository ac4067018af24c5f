// SPDX-License-Identifier: Apache-2.0

package members

import (
	"time"

	"github.com/holdfast-project/holdfast/members/device"
)

// Hello is what daemons tell each other, without what only the wire needs. Whoever carries it translates.
type Hello struct {
	// Incarnation is that of the sender's daemon.
	Incarnation uint64
	// State is the sender's state; a member that serves and wants to be relieved says DOWN.
	State State
	// Term is the sender's lease term, or 0.
	Term uint32
	// View is the sender's view of every member; zero States for numbers not in use.
	View [MaxMembers]MemberView
	// Devices lists the critical devices that are not ok, but problem-notification, which only sums them up. Omitted is how many
	// more there are that did not fit, and Weight the sum of all problems' weights, 0 for none or from one that does not tell.
	Devices []DeviceView
	Omitted uint8
	Weight  int
	// Interfaces lists the sender's monitored interfaces.
	Interfaces []InterfaceView
	// Digest, Mode, Version and Capabilities are those of the sender's Config.
	Digest       [32]byte
	Mode         string
	Version      uint32
	Capabilities uint64
	// Recovery is the sender's recovery mode.
	Recovery Recovery
	// ForcedTo is the member that a forced hand-over names, Nobody if none; ForcedFor is how much of its time
	// is left (0: until ended). ForcedID orders forced hand-overs: the higher one is newer. ForcedDone says that the
	// member named has served since, so that one that starts again then does not fetch serving back.
	ForcedTo   uint8
	ForcedFor  time.Duration
	ForcedID   uint64
	ForcedDone bool
	// Frozen is how much of a freeze of voluntary moves is left.
	Frozen time.Duration
	// Budget is what the sender's flap damping leaves it.
	Budget Budget
	// Stopping is set by a daemon that ends for good.
	Stopping bool
	// FlushAsk is the number of a question, 0 if there is none: the sender is about to take over by order, and asks the one that serves
	// to let everybody have its connections first. Flushed is the last question that the sender has answered so, and Flushes says that
	// it can.
	FlushAsk, Flushed uint32
	Flushes           bool
	// Restarting is set by a daemon that is about to be replaced or to adopt.
	Restarting bool
	// Policy is what the sender has in force; the zero Generation: none, or it does not tell.
	Policy Generation
}

// MemberView is one member as another sees it.
type MemberView struct {
	// State is how it is; of one that is silent to probes while its HELLOs say that it serves, what those say.
	State State
	// Age is how long ago its gate answered last, HelloAge how long ago its last HELLO came; 1<<63-1 for never.
	Age, HelloAge time.Duration
}

// DeviceView is a critical device as told to others.
type DeviceView struct {
	Name   string
	Status device.Status
	Reason string
}

// InterfaceView is an interface as told to others.
type InterfaceView struct {
	Slot    uint8
	Carrier bool
	// Problem is set if the sender counts the interface as failed on its own side; Proven if its carrier or a
	// third station shows that it still is, and that the fault is there.
	Problem, Proven bool
	// Undecided is set if there is a fault and nothing can tell on whose side.
	Undecided bool
	// Heard has bit i set if CCP of member i comes in there.
	Heard uint8
	// CarrierAge is since the carrier came or went, NeighbourAge since a question left that a neighbour answered; 1<<63-1 for never.
	CarrierAge, NeighbourAge time.Duration
}

// Budget is what flap damping leaves of the moves from a member that lives.
type Budget struct {
	// Left of Limit moves; 255 and more are told as 255.
	Left, Limit uint8
	// Damped is for how long no such move will be made, 0 if there are any left.
	Damped time.Duration
}
