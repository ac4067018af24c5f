// SPDX-License-Identifier: Apache-2.0

package ccp

import "fmt"

// Bounds of a HELLO, so that it always fits into one frame, whatever its sender has to say. Part of the wire format: a receiver
// takes no more than these either.
const (
	// MaxInterfaces is how many interfaces a HELLO reports.
	MaxInterfaces = 16
	// MaxDeviceName, MaxDeviceReason and MaxBuild are the longest texts in bytes; longer ones are cut.
	MaxDeviceName   = 32
	MaxDeviceReason = 64
	MaxBuild        = 24
	// MaxDevicesLen is the longest list of devices in bytes; when the list is longer, its reasons are shortened, to minReason bytes at
	// the least, and then devices are left out, the well ones first: DevicesTruncated is set and Omitted counts them.
	MaxDevicesLen = 312
	minReason     = 8
)

// State is a member's state on the wire. ONLY APPEND.
type State uint8

// The states; zero is none (a number that no member has).
const (
	StateInit            State = 1
	StateReady           State = 2
	StateStandby         State = 3
	StateActive          State = 4
	StateActiveAttention State = 5
	StateDown            State = 6
	StateLost            State = 7
)

// String returns the state as operators read it.
func (s State) String() string {
	switch s {
	case 0:
		return "none"
	case StateInit:
		return "INIT"
	case StateReady:
		return "READY"
	case StateStandby:
		return "STANDBY"
	case StateActive:
		return "ACTIVE"
	case StateActiveAttention:
		return "ACTIVE(!)"
	case StateDown:
		return "DOWN"
	case StateLost:
		return "LOST"
	}
	return fmt.Sprintf("state-%d", uint8(s))
}

// Mode is a cluster mode on the wire, from the configuration. ONLY APPEND.
type Mode uint8

// The modes; zero is unknown.
const (
	ModeHA          Mode = 1
	ModeLSMulticast Mode = 2
	ModeLSUnicast   Mode = 3
)

// Recovery is a recovery mode on the wire, from the configuration. ONLY APPEND.
type Recovery uint8

// The recovery modes; zero is unknown.
const (
	RecoveryMaintainCurrent Recovery = 1
	RecoveryHighestPriority Recovery = 2
)

// DeviceStatus is the state of a critical device on the wire. ONLY APPEND.
type DeviceStatus uint8

// The states of a device; zero is unknown.
const (
	DeviceOK      DeviceStatus = 1
	DeviceInit    DeviceStatus = 2
	DeviceProblem DeviceStatus = 3
)

// Hello is the body of a TypeHello: a daemon's report of itself and of its view. Ages and remaining times are in ms and saturate;
// AgeNever is an age of what never happened. The daemon's incarnation is the header's and what it has heard of others' is in the
// echo list before the body.
type Hello struct {
	State State
	// Term is that of the sender's lease, 0 without one.
	Term uint32
	// Priority is the sender's, 0 first.
	Priority uint8
	// Restarting: about to be replaced, or adopting its gate. AdminDown: taken down by the operator. Stopping: leaving for good.
	Restarting, AdminDown, Stopping bool
	// View is the sender's view of every member by number, of itself too.
	View [MaxMembers]MemberView
	// Interfaces are the sender's monitored interfaces, MaxInterfaces at most.
	Interfaces []InterfaceView
	// Devices are the sender's critical devices, cut short where they do not fit, which DevicesTruncated says.
	Devices          []DeviceView
	DevicesTruncated bool
	// Weight is the sum of the weights of all problems of the sender, 0 for none, or if it does not tell. Omitted is how many devices
	// do not stand in Devices for want of room, 255 for more.
	Weight  uint32
	Omitted uint8
	// PolicyGeneration is that of the policy in force, 0 for none.
	PolicyGeneration uint64
	// Policy says more of it, and of installs; zero from members that have no policies.
	Policy PolicyView
	// FrozenMs is how much of a freeze of voluntary moves is left, 0 without one.
	FrozenMs uint32
	// ConfigDigest is the digest of the cluster-wide configuration.
	ConfigDigest [32]byte
	Mode         Mode
	Recovery     Recovery
	// Version is the sender's protocol version, Capabilities its feature bits and Build its version for people.
	Version      uint32
	Capabilities uint64
	Build        string
	Load         Load
	Forced       Forced
	Budget       Budget
	// BootID identifies the sender's boot of its machine.
	BootID [16]byte
	Keys   KeyStatement
	// Sync is the sender's state synchronisation.
	Sync SyncView
	// FlushAsk is the number of a question of a sender that is about to take over: that the target let everybody have what it knows of
	// connections; 0 for none. Flushed is the last question that the sender has answered so, 0 for none.
	FlushAsk, Flushed uint32
	// Share is the sender's share of the traffic, Traffic what its gate has made of it; zero in a cluster that does not share load.
	Share   ShareView
	Traffic TrafficView
}

// AgeNever is an age in ms of what never happened, and what longer ages saturate below.
const AgeNever uint32 = 1<<32 - 1

// MemberView is one member as the sender sees it.
type MemberView struct {
	State State
	// AgeMs is since its gate last answered, HelloAgeMs since its last bound HELLO.
	AgeMs, HelloAgeMs uint32
}

// InterfaceView is one monitored interface of the sender.
type InterfaceView struct {
	// Slot is the interface's number in the configuration, the same on all members.
	Slot uint8
	// Carrier: the link is up. Problem: the sender counts the interface as failed. Proven: a third station or the carrier shows that the fault is
	// on the sender's side. Undecided: nothing can tell.
	Carrier, Problem, Proven, Undecided bool
	// Heard has bit i set if member i is heard on this interface.
	Heard uint8
	// Ages are since the carrier last changed, CCP last came in, a peer last proved that CCP went out, and a station that is no member was
	// last heard.
	CarrierAgeMs, InAgeMs, OutAgeMs, NeighbourAgeMs uint32
}

// DeviceView is one critical device of the sender.
type DeviceView struct {
	Name   string
	Status DeviceStatus
	Reason string
}

// Load is how busy the sender is, worst of the last second.
type Load struct {
	// CPUPermille is the machine's CPU use in thousandths.
	CPUPermille uint16
	// ProbeJitterUs is how late a probe left, LeaseDelayUs how late a lease was renewed, SoftirqUs how late packets were
	// handled, in microseconds.
	ProbeJitterUs, LeaseDelayUs, SoftirqUs uint32
}

// Forced is a forced hand-over: the newest that the sender knows of.
type Forced struct {
	// To is the member named, Nobody if none.
	To uint8
	// ForMs is how much of its time is left, 0 until ended.
	ForMs uint32
	// ID orders forced hand-overs: the higher is newer.
	ID uint64
	// Done says that the member named has served since. Older senders leave it out: not done.
	Done bool
}

// Budget is what is left for voluntary moves.
type Budget struct {
	// Left of Limit moves in the window.
	Left, Limit uint8
	// DampedMs is how long none will be made, 0 if they may.
	DampedMs uint32
}

// The TLVs of a HELLO. ONLY APPEND: the numbers are the protocol. Zero is the end of the list.
const (
	tlvState        = 1
	tlvView         = 2
	tlvInterfaces   = 3
	tlvDevices      = 4
	tlvPolicy       = 5
	tlvConfig       = 6
	tlvMode         = 7
	tlvVersion      = 8
	tlvCapabilities = 9
	tlvLoad         = 10
	tlvForced       = 11
	tlvBudget       = 12
	tlvBootID       = 13
	tlvKeys         = 14
	tlvWeight       = 15
	tlvSync         = 16
	tlvFlush        = 17
	tlvShare        = 18
	tlvTraffic      = 19
	tlvPolicyView   = 20
)

// Flags in TLVs, and lengths of the values and entries of this version. Values may grow at their end.
const (
	flagRestarting = 1
	flagAdminDown  = 2
	flagStopping   = 4

	flagTruncated = 1

	flagDone = 1

	flagCarrier   = 1
	flagProblem   = 2
	flagProven    = 4
	flagUndecided = 8

	stateLen        = 1 + 4 + 1 + 1
	viewLen         = 1 + 4 + 4
	interfaceLen    = 1 + 1 + 1 + 4*4
	policyLen       = 8 + 4
	configLen       = 32
	modeLen         = 1 + 1
	versionLen      = 4 + 1
	capabilitiesLen = 8
	loadLen         = 2 + 3*4
	forcedLen       = 1 + 4 + 8
	budgetLen       = 1 + 1 + 4
	bootIDLen       = 16
	keyEntryLen     = 1 + 8
	weightLen       = 4 + 1
	flushLen        = 4 + 4
)
