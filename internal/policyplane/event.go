// SPDX-License-Identifier: Apache-2.0

package policyplane

import "github.com/holdfast-project/holdfast/policy"

// Kind is what an event is about. ONLY APPEND.
type Kind uint8

// The kinds.
const (
	// Installed: a policy came into force, by an install or by recovery (Source says from whom it came).
	Installed Kind = iota + 1
	// Preparing: an install began.
	Preparing
	// Refused: an install asks for what cannot be loaded here.
	Refused
	// Aborted: an install ended without a change.
	Aborted
	// Confirmed: what was installed stays.
	Confirmed
	// RolledBack: it was not confirmed, and the one before is in force again.
	RolledBack
	// InDoubt: the member gave its word and hears nothing.
	InDoubt
	// Fetched: a policy came from Source and was verified.
	Fetched
	// Forged: what came from Source was not what was offered.
	Forged
	// Drifted: somebody changed the policy in force; Text has the difference.
	Drifted
	// Restored: it is as installed again.
	Restored
	// Damaged: a file on the disk was not what it should be; it was set aside.
	Damaged
	// Conflict: there are two policies of one generation.
	Conflict
	// DiskFull: a policy could not be kept.
	DiskFull
	// Unloaded: an operator took the policy out of force.
	Unloaded
	// Resumed: an operator ended that.
	Resumed
	// NoPolicy: none is in force; Text says why.
	NoPolicy
	// Reloaded: the policy in force was loaded again, since what it refers to has changed.
	Reloaded
	// Failed: the kernel did not do what it was asked to; it is tried again.
	Failed
	// Rematched: connections that the policy denies were ended; Text says how many.
	Rematched
)

// String is the word that logs have.
func (k Kind) String() string {
	if int(k) < len(kinds) && k > 0 {
		return kinds[k]
	}
	return "unknown"
}

var kinds = [...]string{
	Installed: "installed", Preparing: "preparing", Refused: "refused", Aborted: "aborted", Confirmed: "confirmed", RolledBack: "rolled back",
	InDoubt: "in doubt", Fetched: "fetched", Forged: "forged", Drifted: "drifted", Restored: "restored", Damaged: "damaged", Conflict: "conflict",
	DiskFull: "disk full", Unloaded: "unloaded", Resumed: "resumed", NoPolicy: "no policy", Reloaded: "reloaded", Failed: "failed", Rematched: "rematched",
}

// Event is something that operators should hear of.
type Event struct {
	Kind   Kind
	Time   int64 // ns since 1970
	Policy policy.Offer
	// Attempt is the install that it is about; 0: none.
	Attempt uint64
	// Source is where a policy came from: a peer's name, "management", "local".
	Source string
	Text   string
}
