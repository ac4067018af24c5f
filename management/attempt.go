// SPDX-License-Identifier: Apache-2.0

package management

import (
	"errors"
	"fmt"
)

// ErrDecided says that the attempt went another way already; nothing has changed.
var ErrDecided = errors.New("the attempt is decided otherwise")

// Phase is how far an attempt is. It only ever moves along Next, and each move is written down before anybody is told.
type Phase uint8

const (
	_ Phase = iota
	// Preparing: members load the policy asleep. Nothing is decided.
	Preparing
	// Committed: the decision is commit; members that gave their word put the policy into force, and wait for confirmation.
	Committed
	// Confirmed: members keep the policy. The attempt is over.
	Confirmed
	// Aborted: the decision is abort. The attempt is over.
	Aborted
	// RolledBack: committed, and taken back by all. The attempt is over, and its generation is declined for ever.
	RolledBack
)

var phases = map[Phase]string{Preparing: "preparing", Committed: "committed", Confirmed: "confirmed", Aborted: "aborted", RolledBack: "rolled-back"}

// String is the word of the store, the API and people.
func (p Phase) String() string { return word(phases, p) }

// MarshalText writes the word.
func (p Phase) MarshalText() ([]byte, error) { return marshalWord("phase", phases, p) }

// UnmarshalText reads the word.
func (p *Phase) UnmarshalText(text []byte) error { return unmarshalWord("phase", phases, p, text) }

// Over reports whether no further decision is possible.
func (p Phase) Over() bool { return p == Confirmed || p == Aborted || p == RolledBack }

// Next reports whether to may follow p.
func (p Phase) Next(to Phase) bool {
	switch p {
	case Preparing:
		return to == Committed || to == Aborted
	case Committed:
		return to == Confirmed || to == RolledBack
	default:
		return false
	}
}

// ReplyState is what a member answered in an attempt.
type ReplyState uint8

const (
	// Waiting: no answer yet.
	Waiting ReplyState = iota
	// MemberPrepared: the policy is loaded asleep; the member gave its word.
	MemberPrepared
	// MemberRefused: it cannot be loaded there.
	MemberRefused
	// MemberSilent: there was no answer in time.
	MemberSilent
	// MemberCommitted: the policy is in force there.
	MemberCommitted
	// MemberConfirmed: it is in force, and the member knows that it stays.
	MemberConfirmed
	// MemberAborted: the member knows of the abort.
	MemberAborted
	// MemberRolledBack: it was in force there, and the one before is again.
	MemberRolledBack
	// MemberLeft: left out of the attempt by a best-effort install, or by the operator's choice of members.
	MemberLeft
)

var replyStates = map[ReplyState]string{
	Waiting: "waiting", MemberPrepared: "prepared", MemberRefused: "refused", MemberSilent: "silent", MemberCommitted: "committed",
	MemberConfirmed: "confirmed", MemberAborted: "aborted", MemberRolledBack: "rolled-back", MemberLeft: "left-out",
}

// String is the word of the store, the API and people.
func (s ReplyState) String() string { return word(replyStates, s) }

// MarshalText writes the word.
func (s ReplyState) MarshalText() ([]byte, error) { return marshalWord("state", replyStates, s) }

// UnmarshalText reads the word.
func (s *ReplyState) UnmarshalText(text []byte) error {
	return unmarshalWord("state", replyStates, s, text)
}

// Reply is what one member has said in an attempt.
type Reply struct {
	Member string     `json:"member"`
	State  ReplyState `json:"state"`
	Why    string     `json:"why,omitempty"` // of a refusal, of being left out, of a rollback
	At     int64      `json:"at"`            // when it was heard
	// Heard are the peers that the member heard when commit was decided: those that it must still hear for the confirmation.
	Heard []string `json:"heard,omitempty"`
}

// Attempt is one install of one policy on one cluster. It is written when it begins, at each decision, and when it ends: what is between
// members' reports tell.
type Attempt struct {
	Cluster string `json:"cluster"`
	Number  uint64 `json:"number"` // grows within the cluster
	Policy  Ref    `json:"policy"`
	Before  Ref    `json:"before"`           // what was current when it began
	Earlier Ref    `json:"earlier,omitzero"` // and what had been current before that
	By      string `json:"by"`

	BestEffort    bool  `json:"best_effort,omitempty"`
	PrepareWithin int64 `json:"prepare_within"` // ns from Begun until which all must have answered
	ConfirmWithin int64 `json:"confirm_within"` // ns from a member's commit after which it rolls back by itself
	Manual        bool  `json:"manual,omitempty"`

	Phase   Phase   `json:"phase"`
	Why     string  `json:"why,omitempty"` // of an abort or a rollback
	Replies []Reply `json:"replies"`       // one a chosen member, in the cluster's order, as of the last write
	Begun   int64   `json:"begun"`
	Decided int64   `json:"decided,omitempty"` // commit or abort
	Settled int64   `json:"settled,omitempty"` // confirmed, aborted or rolled back
	Ended   int64   `json:"ended,omitempty"`   // nobody is left to be told, or management gave up telling
}

// Validate checks what a coordinator gives when it begins.
func (a Attempt) Validate() error {
	switch {
	case a.Policy.None():
		return fmt.Errorf("attempt: no policy: %w: name a generation", ErrValue)
	case len(a.Replies) == 0:
		return fmt.Errorf("attempt: no members: %w: name at least one", ErrValue)
	case a.PrepareWithin <= 0 || a.ConfirmWithin <= 0:
		return fmt.Errorf("attempt: times %d and %d ns: %w: both are positive", a.PrepareWithin, a.ConfirmWithin, ErrValue)
	}
	return nil
}

// Move is a with the decision to, made at a time because of why. An attempt that is there already is not moved and has changed == false, so
// that a decision may be repeated; any other move that Next does not allow is ErrDecided. replies replace those recorded unless they are nil.
func (a Attempt) Move(to Phase, why string, replies []Reply, now int64) (after Attempt, changed bool, err error) {
	if a.Phase == to {
		return a, false, nil
	}
	if !a.Phase.Next(to) {
		return a, false, fmt.Errorf("attempt %d of cluster %s: %w: it is %s, and cannot become %s", a.Number, a.Cluster, ErrDecided, a.Phase, to)
	}
	a.Phase, a.Why = to, why
	if a.Decided == 0 {
		a.Decided = now
	}
	if to.Over() {
		a.Settled = now
	}
	if replies != nil {
		a.Replies = replies
	}
	return a, true, nil
}
