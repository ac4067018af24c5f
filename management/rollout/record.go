// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/policy"
)

// State is where a member is in an attempt, as it reports.
type State string

// The states. Silent is that of a member that has said nothing of the attempt.
const (
	Silent      State = ""
	Idle        State = "idle"       // it knows of no attempt, or not of this one
	Loading     State = "loading"    // the policy is fetched, checked and loaded asleep
	Prepared    State = "prepared"   // it gave its word
	Committing  State = "committing" // the kernel makes the change
	Committed   State = "committed"  // in force, and it goes back by itself unless this is confirmed
	Confirmed   State = "confirmed"  // in force for good
	Aborted     State = "aborted"    // over, and what was before it stays
	Refused     State = "refused"    // cannot be loaded there
	RollingBack State = "rolling-back"
	RolledBack  State = "rolled-back" // it was in force, and what was before it is again
)

// reply is what the store keeps of a state.
func (s State) reply() management.ReplyState {
	switch s {
	case Prepared, Committing:
		return management.MemberPrepared
	case Committed:
		return management.MemberCommitted
	case Confirmed:
		return management.MemberConfirmed
	case Aborted:
		return management.MemberAborted
	case Refused:
		return management.MemberRefused
	case RollingBack, RolledBack:
		return management.MemberRolledBack
	default:
		return management.Waiting
	}
}

// StateOf is the state of a member about which only the store knows something.
func StateOf(r management.ReplyState) State {
	switch r {
	case management.MemberPrepared:
		return Prepared
	case management.MemberRefused:
		return Refused
	case management.MemberCommitted:
		return Committed
	case management.MemberConfirmed:
		return Confirmed
	case management.MemberAborted:
		return Aborted
	case management.MemberRolledBack:
		return RolledBack
	default:
		return Silent
	}
}

// Phase is what a member is told of an attempt.
type Phase string

// The phases.
const (
	PhasePrepare    Phase = "prepare"
	PhaseCommit     Phase = "commit"
	PhaseAbort      Phase = "abort"
	PhaseConfirmed  Phase = "confirmed"
	PhaseRolledBack Phase = "rolled-back"
)

// Order is what a member is to do. The zero value is nothing.
type Order struct {
	Number uint64
	Policy policy.Offer
	Phase  Phase
	Within time.Duration // after its commit it goes back by itself if it hears no confirmation for so long
}

// OrderOf is what a member is to do about an attempt, by what is stored of it; nothing if the member has no part in it. It is the same for
// one that was left behind: one that turns up prepared follows the others. grace is Config.Grace.
func OrderOf(a management.Attempt, member string, grace time.Duration) Order {
	for _, r := range a.Replies {
		if r.Member != member {
			continue
		}
		o := Order{Number: a.Number, Policy: a.Policy.Offer("management"), Within: time.Duration(a.ConfirmWithin) + grace}
		switch a.Phase {
		case management.Preparing:
			o.Phase = PhasePrepare
		case management.Committed:
			o.Phase = PhaseCommit
		case management.Confirmed:
			o.Phase = PhaseConfirmed
		case management.Aborted:
			o.Phase = PhaseAbort
		case management.RolledBack:
			o.Phase = PhaseRolledBack
		}
		return o
	}
	return Order{}
}

// left reports whether a reply, in an attempt that is committed, is of a member that was left behind.
func left(s management.ReplyState) bool {
	switch s {
	case management.Waiting, management.MemberRefused, management.MemberSilent, management.MemberLeft, management.MemberAborted:
		return true
	}
	return false
}
