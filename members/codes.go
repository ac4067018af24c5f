// SPDX-License-Identifier: Apache-2.0

package members

import "fmt"

// Code is the stable code of an event. Numbers never change their meaning between versions: only append.
type Code uint16

// Codes of a member's own state.
const (
	_ Code = 100 + iota
	// CodeState: this member's state changed, and none of the codes below says it better.
	CodeState
	// CodeActive: this member has taken over and serves.
	CodeActive
	// CodeAdopted: a restarted daemon found its gate serving and goes on.
	CodeAdopted
	// CodeYielded: this member was relieved by another and no longer serves.
	CodeYielded
	// CodeAttention: this member serves in spite of a problem, since no other can: ACTIVE(!).
	CodeAttention
	// CodeAttentionEnded: the reason for ACTIVE(!) is gone and this member serves on.
	CodeAttentionEnded
	// CodeDown: this member has a problem and does not serve.
	CodeDown
	// CodeIsolated: nothing answers on any cluster interface: the fault is ours, this member closes.
	CodeIsolated
	// CodeConflict: two members served; the terms decided.
	CodeConflict
	// CodeStopped: this member stopped serving because its daemon ends.
	CodeStopped
	// CodeLeaseLost: this member's lease ran out because its daemon or its pulse stood still; it claims anew.
	CodeLeaseLost
)

// Codes of claims.
const (
	_ Code = 200 + iota
	// CodeClaim: this member has begun a claim.
	CodeClaim
	// CodeClaimRefused: a gate refused; the claim is tried again with a higher term.
	CodeClaimRefused
	// CodeClaimGivenUp: the reason for the claim is gone, or an answer says that it should not be made.
	CodeClaimGivenUp
	// CodeClaimHeld: a claim waits for an answer to a question: another member hears the silent one.
	CodeClaimHeld
	// CodeVIPAnswered: a silent member's VIP is still answered: CCP is not understood, no claim.
	CodeVIPAnswered
	// CodeVIPStranger: a machine that is no member answers for a VIP.
	CodeVIPStranger
	// CodeDamped: a voluntary move was not made since the flap budget is used up.
	CodeDamped
)

// Codes of peers.
const (
	_ Code = 300 + iota
	// CodePeerHeard: a peer is heard for the first time, or again.
	CodePeerHeard
	// CodePeerLost: a peer is silent on all interfaces.
	CodePeerLost
	// CodePeerInterface: a peer is silent on one interface and heard on another.
	CodePeerInterface
	// CodePeerState: a peer's state changed.
	CodePeerState
)

// Codes of devices and interfaces.
const (
	_ Code = 400 + iota
	// CodeDeviceProblem: a critical device went into problem.
	CodeDeviceProblem
	// CodeDeviceOK: a critical device is well again.
	CodeDeviceOK
	// CodeLinkDown and CodeLinkUp: carrier of a monitored interface.
	CodeLinkDown
	CodeLinkUp
	// CodeUndecided: an interface fault that nothing can attribute; nothing moves.
	CodeUndecided
	// CodeGateRemoved: something on this machine has taken the gate off an interface, or removed its pins; it is put back.
	CodeGateRemoved
)

// Codes of operators' orders.
const (
	_ Code = 500 + iota
	// CodeAdminDown and CodeAdminUp: the operator took this member out of service, and back.
	CodeAdminDown
	CodeAdminUp
	// CodeForced and CodeForceEnded: a forced hand-over was ordered, and has ended.
	CodeForced
	CodeForceEnded
	// CodeFailoversReset: counter and budget were set back.
	CodeFailoversReset
	// CodeFrozen and CodeUnfrozen: voluntary moves are stopped, and allowed again.
	CodeFrozen
	CodeUnfrozen
)

// Codes of margins and load.
const (
	_ Code = 600 + iota
	// CodeMarginThin and CodeMarginWell: a timer has little room left on this machine, and has room again.
	CodeMarginThin
	CodeMarginWell
)

// Codes of the daemon's own services, which the machine knows nothing of.
const (
	_ Code = 700 + iota
	// CodeSinkFailed and CodeSinkWell: a receiver of notifications cannot be reached, and can be again.
	CodeSinkFailed
	CodeSinkWell
	// CodeHistoryFailed and CodeHistoryWell: the history cannot be written to disk, and can be again.
	CodeHistoryFailed
	CodeHistoryWell
	// CodeOverrun: a reader of the event stream was slower than the events and has missed some.
	CodeOverrun
	// CodeCommandFailed and CodeCommandDone: a command that was to run at a hand-over failed, or succeeded.
	CodeCommandFailed
	CodeCommandDone
)

// Codes of state synchronisation, which the machine knows nothing of.
const (
	_ Code = 800 + iota
	// CodeSyncOK, CodeSyncAtRisk and CodeSyncOff: connections live on after a hand-over; some may not, the reason says why; none does.
	CodeSyncOK
	CodeSyncAtRisk
	CodeSyncOff
	// CodeFullSyncBegun and CodeFullSyncDone: this member receives the connections of the one that serves, and has received them.
	CodeFullSyncBegun
	CodeFullSyncDone
	// CodeSyncEventsLost: the kernel had more to tell than there was room for; what is missing is repaired.
	CodeSyncEventsLost
	// CodeSyncEvicted and CodeSyncReturned: another member is too slow to be waited for, and takes part again.
	CodeSyncEvicted
	CodeSyncReturned
	// CodeSyncRepaired: this member's table was found to differ from the owner's, and is equal again.
	CodeSyncRepaired
)

// Codes of load sharing, which the machine knows nothing of.
const (
	_ Code = 900 + iota
	// CodeShareOpen: this member takes a share of the traffic.
	CodeShareOpen
	// CodeShareLeft and CodeShareLost: it takes none any more, in order, and because of a fault.
	CodeShareLeft
	CodeShareLost
	// CodeMemberExcluded: the leader has given a member's slots to others because it is silent, late or does not confirm.
	CodeMemberExcluded
	// CodeSlotsAssigned: a new table of slots is in force: the reason says who takes how many.
	CodeSlotsAssigned
	// CodeSlotsUnassigned: nobody takes some of the slots.
	CodeSlotsUnassigned
	// CodeWeightsChanged: an order, a reload or the measured load has changed weights.
	CodeWeightsChanged
	// CodeNewBlocked and CodeNewAllowed: this member drops packets of new connections because synchronisation is at risk, and takes them again.
	CodeNewBlocked
	CodeNewAllowed
	// CodeDefinesWritten and CodeDefinesFailed: the definitions for rulesets have changed, and could not be written.
	CodeDefinesWritten
	CodeDefinesFailed
)

// Codes of policies, which the machine knows nothing of.
const (
	_ Code = 1000 + iota
	// CodePolicyInstalled: a policy came into force here.
	CodePolicyInstalled
	// CodePolicyPreparing, CodePolicyRefused and CodePolicyAborted: an install began, asks for what cannot be loaded here, ended without a change.
	CodePolicyPreparing
	CodePolicyRefused
	CodePolicyAborted
	// CodePolicyConfirmed and CodePolicyRolledBack: what was installed stays, or was taken back.
	CodePolicyConfirmed
	CodePolicyRolledBack
	// CodePolicyInDoubt: this member gave its word in an install and hears nothing.
	CodePolicyInDoubt
	// CodePolicyFetched and CodePolicyForged: a policy came from elsewhere, or something that was not what was offered.
	CodePolicyFetched
	CodePolicyForged
	// CodePolicyDrift and CodePolicyRestored: somebody changed the ruleset in force, and it is as installed again.
	CodePolicyDrift
	CodePolicyRestored
	// CodePolicyDamaged, CodePolicyConflict and CodePolicyDiskFull: a file is damaged, two policies have one number, there is no room for one.
	CodePolicyDamaged
	CodePolicyConflict
	CodePolicyDiskFull
	// CodePolicyUnloaded and CodePolicyResumed: an operator took the policy out of force, and ended that.
	CodePolicyUnloaded
	CodePolicyResumed
	// CodePolicyMissing, CodePolicyReloaded and CodePolicyFailed: none is in force; it was loaded anew for other addresses; the kernel refused.
	CodePolicyMissing
	CodePolicyReloaded
	CodePolicyFailed
	// CodePolicyRematched: connections that the policy denies were ended.
	CodePolicyRematched
)

var codeNames = map[Code]string{
	CodeState: "state", CodeActive: "active", CodeAdopted: "adopted", CodeYielded: "yielded",
	CodeAttention: "attention", CodeAttentionEnded: "attention-ended", CodeDown: "down",
	CodeIsolated: "isolated", CodeConflict: "conflict", CodeStopped: "stopped", CodeLeaseLost: "lease-lost",
	CodeClaim: "claim", CodeClaimRefused: "claim-refused", CodeClaimGivenUp: "claim-given-up",
	CodeClaimHeld: "claim-held", CodeVIPAnswered: "vip-answered", CodeVIPStranger: "vip-stranger",
	CodeDamped:    "damped",
	CodePeerHeard: "peer-heard", CodePeerLost: "peer-lost", CodePeerInterface: "peer-interface",
	CodePeerState:     "peer-state",
	CodeDeviceProblem: "device-problem", CodeDeviceOK: "device-ok", CodeLinkDown: "link-down",
	CodeLinkUp: "link-up", CodeUndecided: "undecided", CodeGateRemoved: "gate-removed",
	CodeAdminDown: "admin-down", CodeAdminUp: "admin-up", CodeForced: "forced",
	CodeForceEnded: "force-ended", CodeFailoversReset: "failovers-reset", CodeFrozen: "frozen",
	CodeUnfrozen:   "unfrozen",
	CodeMarginThin: "margin-thin", CodeMarginWell: "margin-well",
	CodeSinkFailed: "sink-failed", CodeSinkWell: "sink-well",
	CodeHistoryFailed: "history-failed", CodeHistoryWell: "history-well", CodeOverrun: "overrun",
	CodeCommandFailed: "command-failed", CodeCommandDone: "command-done",
	CodeSyncOK: "sync-ok", CodeSyncAtRisk: "sync-at-risk", CodeSyncOff: "sync-off", CodeFullSyncBegun: "full-sync-begun",
	CodeFullSyncDone: "full-sync-done", CodeSyncEventsLost: "sync-events-lost", CodeSyncEvicted: "sync-evicted",
	CodeSyncReturned: "sync-returned", CodeSyncRepaired: "sync-repaired",
	CodeShareOpen: "share-open", CodeShareLeft: "share-left", CodeShareLost: "share-lost", CodeMemberExcluded: "member-excluded",
	CodeSlotsAssigned: "slots-assigned", CodeSlotsUnassigned: "slots-unassigned", CodeWeightsChanged: "weights-changed",
	CodeNewBlocked: "new-blocked", CodeNewAllowed: "new-allowed", CodeDefinesWritten: "defines-written", CodeDefinesFailed: "defines-failed",
	CodePolicyInstalled: "policy-installed", CodePolicyPreparing: "policy-preparing", CodePolicyRefused: "policy-refused",
	CodePolicyAborted: "policy-aborted", CodePolicyConfirmed: "policy-confirmed", CodePolicyRolledBack: "policy-rolled-back",
	CodePolicyInDoubt: "policy-in-doubt", CodePolicyFetched: "policy-fetched", CodePolicyForged: "policy-forged", CodePolicyDrift: "policy-drift", CodePolicyRestored: "policy-restored", CodePolicyDamaged: "policy-damaged", CodePolicyConflict: "policy-conflict",
	CodePolicyDiskFull: "policy-disk-full", CodePolicyUnloaded: "policy-unloaded", CodePolicyResumed: "policy-resumed",
	CodePolicyMissing: "policy-missing", CodePolicyReloaded: "policy-reloaded", CodePolicyFailed: "policy-failed",
	CodePolicyRematched: "policy-rematched",
}

// String returns the code's stable name.
func (c Code) String() string {
	if n, ok := codeNames[c]; ok {
		return n
	}
	return fmt.Sprintf("code-%d", uint16(c))
}

// Codes returns all codes in ascending order.
func Codes() []Code {
	var all []Code
	for c := Code(100); c < 1100; c++ {
		if _, ok := codeNames[c]; ok {
			all = append(all, c)
		}
	}
	return all
}

// Cause is why a claim is made or serving moved.
type Cause uint8

const (
	_ Cause = iota
	// CauseBoot: nobody served and none was heard to have served.
	CauseBoot
	// CauseSilence: the member that served fell silent on all interfaces.
	CauseSilence
	// CauseVacant: nobody serves although members are there: the one that served closed.
	CauseVacant
	// CauseForced: the operator ordered the hand-over.
	CauseForced
	// CauseDevice: the serving member has a problem, is down or stops, and this one is better.
	CauseDevice
	// CauseCourtesy: the serving member's daemon no longer renews its lease.
	CauseCourtesy
	// CauseFailback: highest-priority recovery.
	CauseFailback
	// CauseConflict: two members served and this one goes on, or claims again after both closed.
	CauseConflict
)

// String returns the cause as it is used in metrics and the history.
func (c Cause) String() string {
	switch c {
	case CauseBoot:
		return "boot"
	case CauseSilence:
		return "silence"
	case CauseVacant:
		return "vacant"
	case CauseForced:
		return "forced"
	case CauseDevice:
		return "device"
	case CauseCourtesy:
		return "courtesy"
	case CauseFailback:
		return "fail-back"
	case CauseConflict:
		return "conflict"
	}
	return "none"
}
