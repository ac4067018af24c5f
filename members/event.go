// SPDX-License-Identifier: Apache-2.0

package members

import (
	"time"

	"github.com/holdfast-project/holdfast/members/device"
)

// Event is something that the machine learns. The set is closed.
type Event interface{ event() }

// Tick says that time has passed: nothing else happened before the time of the last WakeAt.
// A Tick that comes early, late or in addition does no harm.
type Tick struct{}

// GateState is the state of the member's own gate for one group. It is due whenever the gate's fence
// or its serving bits change, and at least every Hello interval.
type GateState struct {
	Group uint8
	// LeaseTerm is the term of the lease, 0 without one; LeaseAge how long ago it was renewed.
	LeaseTerm uint32
	LeaseAge  time.Duration
	// FenceTerm and Grantee are the fence. Grantee is Nobody after a conflict that nobody was granted.
	FenceTerm uint32
	Grantee   uint8
	// Serving is set if the gate answers for the VIPs now, Forward if it forwards.
	Serving bool
	Forward bool
	// Closed counts frames for VIP or VMAC that met the closed gate.
	Closed uint32
}

// Heard is an authentic answer of a peer's gate to one of our probes, for one group. The prober reports
//   - the first answer of a peer on an interface after start, Missed or Silent;
//   - every answer whose Incarnation, Term, bits, fence or Closed differ from the one reported before;
//   - every answer with a LeaseAge above CourtesyAge/2 while Serving;
//   - the first answer to each probe that a Query effect sent;
//   - and otherwise one per peer and interface each Hello interval.
type Heard struct {
	Peer  uint8
	Iface uint8 // slot
	Group uint8
	// At is when the answer arrived and RTT its round trip: the probe left at At-RTT. At 0 means now.
	At  int64
	RTT time.Duration
	// Incarnation is that of the peer's gate.
	Incarnation uint64
	// Term is the peer's lease term, 0 without a lease; LeaseAge how long ago it was renewed.
	Term     uint32
	LeaseAge time.Duration
	// Serving (answer), Forward, Alone, HearsUs, Restarting and Watched are the reply's bits.
	Serving, Forward, Alone, HearsUs, Restarting, Watched bool
	// FenceTerm and Grantee are the peer gate's fence.
	FenceTerm uint32
	Grantee   uint8
	// Heard holds, per member, how many milliseconds ago the peer's gate heard it; 255 is longer or never.
	Heard [MaxMembers]uint8
	// Closed counts frames for VIP or VMAC that met the peer's closed gate.
	Closed uint32
}

// Missed says that a probe to the peer on this interface went unanswered for longer than expected: the
// first sign of trouble. It is due once per silence, before Silent.
type Missed struct {
	Peer, Iface uint8
	// Since is when the last answered probe was sent.
	Since int64
}

// Silent says that the peer is dead on this interface by the rule of members/liveness.
type Silent struct {
	Peer, Iface uint8
	// Since is when the last answered probe was sent; 0 if none ever was.
	Since int64
}

// Result is a gate's answer to a YIELD.
type Result uint8

// Results of a YIELD, in the order of the wire.
const (
	_ Result = iota
	// Granted: the gate's fence now names the asker; if the gate was open it closed.
	Granted
	// Refused: the gate's fence is not below the term asked for and names somebody else.
	Refused
	// TooYoung: courtesy only; the lease is younger than the asked-for age, or its owner is restarting.
	TooYoung
	// WrongIncarnation: the YIELD named another incarnation of the gate; ask again with the present one.
	WrongIncarnation
)

// String returns the result in words.
func (r Result) String() string {
	switch r {
	case Granted:
		return "granted"
	case Refused:
		return "refused"
	case TooYoung:
		return "lease too young"
	case WrongIncarnation:
		return "wrong incarnation"
	}
	return "invalid"
}

// YieldResult is the answer to a SendYield, or to a GrantOwn if Peer is the member itself. The answer to
// GrantOwn is due at once, as the next event.
type YieldResult struct {
	Peer  uint8
	Group uint8
	// Term is the one that was asked for.
	Term   uint32
	Result Result
	// FenceTerm and Grantee are the gate's fence after the answer.
	FenceTerm uint32
	Grantee   uint8
}

// HelloReceived is an authentic, fresh HELLO of a peer's daemon.
type HelloReceived struct {
	From  uint8
	Iface uint8 // slot
	Hello Hello
}

// Link reports an interface: at start, on every carrier change, and when the first frame arrives.
type Link struct {
	Iface uint8 // slot
	// Up is carrier (and administrative up). Received is set once any frame was received since carrier.
	Up       bool
	Received bool
	// Fault says in words what is wrong with the interface on this member's side, though frames may pass (a bond with
	// too few links), or why it is not up; empty for nothing, or simply no carrier.
	Fault string
}

// CCPIn says that a frame of the peer's daemon came in on an interface. It is due while the peer's gate is silent there, for
// each frame; HelloReceived says it as well, on the interface that was the fastest.
type CCPIn struct{ Peer, Iface uint8 }

// Device reports a critical device that something outside of the machine watches.
type Device struct {
	Op DeviceOp
	// Name of the device; see package device for the built-in ones.
	Name   string
	Status device.Status
	Reason string
	// Reporter names who says so if several feed one device (monitors): the worst status wins, and the reasons
	// are joined. A reporter needs a name to register for the built-in devices `routing`, `policy`, `full-sync`
	// and `daemon`. DeviceUnregister with a name withdraws this reporter only.
	Reporter string
	// Timeout, on DeviceRegister: a reporter that is silent for longer is a problem. 0 is never.
	Timeout time.Duration
}

// DeviceOp says what a Device event does.
type DeviceOp uint8

const (
	// DeviceReport sets the status of a registered device. Reports of unknown devices, and of built-in ones that
	// are the machine's own, are ignored.
	DeviceReport DeviceOp = iota
	// DeviceRegister adds a user-defined device, or changes its timeout and status.
	DeviceRegister
	// DeviceUnregister removes a user-defined device.
	DeviceUnregister
)

// Answerer says whose MAC answered for a VIP.
type Answerer uint8

const (
	_ Answerer = iota
	// ByNobody: no answer within the time that the asker waits. Need not be reported.
	ByNobody
	// ByVMAC: the cluster's virtual MAC; a member serves although we do not understand its CCP.
	ByVMAC
	// ByMember: the own MAC of another member.
	ByMember
	// ByStranger: a MAC that belongs to no member: another machine uses the address.
	ByStranger
)

// VIPAnswer is an answer to AskVIP. MAC is the answer's, in text, for reasons.
type VIPAnswer struct {
	Iface uint8 // slot
	By    Answerer
	MAC   string
}

// NeighbourAnswer says that a third station on the segment answered AskNeighbours (Answered), or that
// none did within the time that the asker waits.
type NeighbourAnswer struct {
	Iface    uint8 // slot
	Answered bool
	// Echo: the station answered an echo request. Otherwise only its MAC was told (ARP, neighbour advertisement), which
	// something nearer may do in its place: see Machine's use of it in neighbourAnswer.
	Echo bool
	// Asked is when the question left; an answer is proof only for times after that. 0 means unknown: then
	// the time of the event less one probe interval is taken.
	Asked int64
}

// AdminKind is an operator's order.
type AdminKind uint8

const (
	_ AdminKind = iota
	// AdminDown takes this member out of service: it hands over first if somebody can take over.
	AdminDown
	// AdminUp undoes AdminDown.
	AdminUp
	// AdminForceTo moves serving to Target, for as long as For says (0: until ended), and then leaves the
	// rest to the normal rule. It may be given to any member.
	AdminForceTo
	// AdminForceEnd ends a forced hand-over early.
	AdminForceEnd
	// AdminResetFailovers sets the failover counter and the flap budget back.
	AdminResetFailovers
	// AdminFreeze stops voluntary moves for the time that For says (0: the freeze time; MaxFreeze at most), or
	// until AdminUnfreeze, as during the installation of a policy. It never stops the takeover of a member that
	// is silent, has crashed, or wants to be relieved.
	AdminFreeze
	// AdminUnfreeze ends a freeze.
	AdminUnfreeze
)

// MaxFreeze is the longest freeze of voluntary moves.
const MaxFreeze = 10 * time.Minute

// Admin is an operator's order to this member.
type Admin struct {
	Kind   AdminKind
	Target uint8
	For    time.Duration
}

// PulseHealth says since when this member's own lease renewals and probes have been on time. A member
// that is late itself asks nobody for courtesy. It is due each HELLO interval; after three of them without
// it this member begins no claim, and when it is as late as a lost HELLO the device `daemon` is in problem.
type PulseHealth struct {
	// OnTimeSince is 0 while they are late.
	OnTimeSince int64
}

// PolicyReady says whether this member has its policy in place, and which. It matters only if the configuration waits for it.
type PolicyReady struct {
	// Ready: a policy is in force. Otherwise the device is in problem, or in init while Unknown.
	Ready, Unknown bool
	// Reason says in words what is missing; empty for the usual.
	Reason string
	// Policy is what is in force, with Ready.
	Policy Generation
}

// SyncReady says whether this member has received the connections of the one that serves. It matters only if the configuration
// waits for them, and not on a member that serves, nor while nobody has: there is nothing to receive then.
type SyncReady struct {
	Ready bool
	// Reason says in words what is missing; empty for the usual.
	Reason string
}

// Flushed says that what Flush with this ID has asked for is done.
type Flushed struct{ ID uint32 }

// Restart says that this daemon is about to be replaced by another that adopts the gate: nothing moves.
type Restart struct{}

// Stop says that this daemon is about to end for good: it hands over, and closes when nobody took over
// within a second. Stopped in the View says when it may exit.
type Stop struct{}

func (Tick) event()            {}
func (GateState) event()       {}
func (Heard) event()           {}
func (Missed) event()          {}
func (Silent) event()          {}
func (YieldResult) event()     {}
func (HelloReceived) event()   {}
func (Link) event()            {}
func (CCPIn) event()           {}
func (Device) event()          {}
func (VIPAnswer) event()       {}
func (NeighbourAnswer) event() {}
func (Admin) event()           {}
func (PulseHealth) event()     {}
func (PolicyReady) event()     {}
func (SyncReady) event()       {}
func (Flushed) event()         {}
func (Restart) event()         {}
func (Stop) event()            {}
