// SPDX-License-Identifier: Apache-2.0

package install

import (
	"fmt"
	"time"

	"github.com/holdfast-project/holdfast/policy"
)

// Attempt is one install of one policy. Numbers are management's, and only grow; the same policy installed again is another attempt.
type Attempt struct {
	Number uint64 // 0: none
	Policy policy.Offer
	// Confirm is how long after its own commit a member waits to be told that the attempt is confirmed, until it goes back by itself; 0: the
	// commit confirms it. It comes with Prepare, and is not looked at in any other event.
	Confirm time.Duration
}

// None reports whether there is none.
func (a Attempt) None() bool { return a.Number == 0 }

func (a Attempt) same(b Attempt) bool {
	return a.Number == b.Number && a.Policy.Digest == b.Policy.Digest
}

// MaxDeclined is how many policies a member remembers that it went back from: more than it keeps on its disk.
const MaxDeclined = 16

// Durable is what a member must still know after a crash. The zero value is a member that never had a policy.
type Durable struct {
	InForce  policy.Offer
	Previous policy.Offer // that was in force before it, and that a rollback goes to
	Prepared Attempt      // it gave its word for
	// Unconfirmed is committed and waits for its confirmation; with Reverting it is being rolled back.
	Unconfirmed Attempt
	Reverting   bool
	Ended       uint64 // the newest attempt that is over for it, committed or aborted
	Aborted     uint64 // the newest attempt that management decided to abort, as far as it knows
	// Confirmed and RolledBack are the newest attempts that it knows to be confirmed, and rolled back.
	Confirmed, RolledBack Attempt
	// Declined are the policies that it went back from, oldest first, MaxDeclined at most: nobody takes one of them again, unless it is
	// confirmed after all, or installed again. The slice is never changed in place.
	Declined []policy.Digest
}

// Decision is management's on an attempt.
type Decision uint8

// Decisions. Unknown is no decision: management does not know the attempt, or has not decided. Confirm and RollBack come after Commit, and
// Confirm is the last word: who has gone back by itself comes back to it.
const (
	Unknown Decision = iota
	Commit
	Abort
	Confirm
	RollBack
)

// String is the word that people see.
func (d Decision) String() string {
	if words := []string{"unknown", "commit", "abort", "confirmed", "rolled back"}; int(d) < len(words) {
		return words[d]
	}
	return fmt.Sprintf("decision(%d)", uint8(d))
}

// Event is what happens. The set of events is closed.
type Event interface{ event() }

type (
	// Prepare asks the member to load a policy asleep; it is on the local disk and verified.
	Prepare struct{ Attempt Attempt }
	// Decided is management's decision, sent or asked for.
	Decided struct {
		Attempt  Attempt
		Decision Decision
	}
	// Loaded and NotLoaded end the effect Load.
	Loaded struct{ Attempt Attempt }
	// NotLoaded says why the policy cannot be loaded.
	NotLoaded struct {
		Attempt Attempt
		Why     string
	}
	// Switched and NotSwitched end the effect Switch.
	Switched struct{ Attempt Attempt }
	// NotSwitched says why the kernel did not make the change; it is tried again.
	NotSwitched struct {
		Attempt Attempt
		Why     string
	}
	// Reverted and NotReverted end the effect Revert. InForce is what is in force now: None if there was nothing to go back to.
	Reverted struct {
		Attempt Attempt
		InForce policy.Offer
	}
	// NotReverted says why the kernel did not make the change; it is tried again.
	NotReverted struct {
		Attempt Attempt
		Why     string
	}
	// Asked says that a peer asks what this member knows of an attempt.
	Asked struct {
		From    string
		Attempt Attempt
	}
	// Told is a peer's answer, or what its HELLO says.
	Told struct {
		From    string
		Attempt Attempt      // that was asked for; in a HELLO the newest that the peer knows of
		InForce policy.Offer // at the peer
		// Decision is what the peer knows of the attempt.
		Decision Decision
	}
	// Replaced says that something else put a policy into force: recovery, an operator. None: an operator took it out of force.
	Replaced struct{ InForce policy.Offer }
	// Kept says that management has this policy and began another attempt after it: it was confirmed, whatever was heard of that.
	Kept struct{ Policy policy.Offer }
	// Tick says that the time that WakeAt named has come.
	Tick struct{}
)

func (Prepare) event()     {}
func (Decided) event()     {}
func (Loaded) event()      {}
func (NotLoaded) event()   {}
func (Switched) event()    {}
func (NotSwitched) event() {}
func (Reverted) event()    {}
func (NotReverted) event() {}
func (Asked) event()       {}
func (Told) event()        {}
func (Replaced) event()    {}
func (Kept) event()        {}
func (Tick) event()        {}

// Effect is what is to be done, in order. The set of effects is closed.
type Effect interface{ effect() }

type (
	// Save must be on the disk before the next effect is performed. Whoever performs it tells recovery when Declined has changed.
	Save struct{ Durable Durable }
	// Load the policy asleep.
	Load struct{ Attempt Attempt }
	// Switch puts the policy into force, in one transaction. It is loaded, but after a crash or a rollback perhaps not any more: then load it first.
	Switch struct{ Attempt Attempt }
	// Revert takes the attempt's policy out of force and puts To into force, in one transaction; None: nothing can be. If the attempt's policy
	// is not in force, nothing is to be done. It may come again for what was done already.
	Revert struct {
		Attempt Attempt
		To      policy.Offer
	}
	// Unload removes what was loaded asleep.
	Unload struct{ Attempt Attempt }
	// Reply is for management: what it says of the attempt that is newest holds until the next.
	Reply struct {
		Attempt Attempt
		State   State
		Why     string // with Refused, RolledBack, and with Committing and RollingBack that fail
	}
	// AskPeers sends Asked to all peers. An attempt without a number is whatever attempt its policy came by.
	AskPeers struct{ Attempt Attempt }
	// AskManagement asks for its decision; it answers with Decided.
	AskManagement struct{ Attempt Attempt }
	// Tell answers a peer.
	Tell struct {
		To   string
		What Told
	}
	// WakeAt asks for a Tick at a time, in place of an earlier one.
	WakeAt struct{ Time int64 }
)

func (Save) effect()          {}
func (Load) effect()          {}
func (Switch) effect()        {}
func (Revert) effect()        {}
func (Unload) effect()        {}
func (Reply) effect()         {}
func (AskPeers) effect()      {}
func (AskManagement) effect() {}
func (Tell) effect()          {}
func (WakeAt) effect()        {}

// State is where a member is in an attempt. The numbers are those of CCP, where 0 is none: ONLY APPEND.
type State uint8

const (
	// Idle: there is no attempt.
	Idle State = iota
	// Loading: the kernel is given the policy.
	Loading
	// Prepared: it gave its word.
	Prepared
	// Committing: the kernel makes the change.
	Committing
	// Committed: the policy is in force. As the state of a Machine: and waits to be confirmed.
	Committed
	// Aborted: the attempt is over, and the policy before it stays.
	Aborted
	// Refused: the policy cannot be loaded here.
	Refused
	// Confirmed: the policy is in force, and stays.
	Confirmed
	// RollingBack: the kernel is about to have the policy before it again.
	RollingBack
	// RolledBack: it has.
	RolledBack
)

// String is the word that people see.
func (s State) String() string {
	words := []string{"idle", "loading", "prepared", "committing", "committed", "aborted", "refused", "confirmed", "rolling back", "rolled back"}
	if int(s) < len(words) {
		return words[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}
