// SPDX-License-Identifier: Apache-2.0

package policyplane

import (
	"context"
	"time"

	"github.com/holdfast-project/holdfast/policy"
)

// Management is the way to the management server, as the plane needs it. Its methods may be called from any goroutine.
type Management interface {
	// Report replaces what management is told of this member, and returns at once. What has changed is told at once, the rest in its time.
	Report(r Report)
	// Orders brings what management wants, the newest: a reader that is slow misses those between.
	Orders() <-chan Orders
	// Fetch gets a policy's file. Whoever calls verifies it.
	Fetch(ctx context.Context, what policy.Offer) ([]byte, error)
	// Reachable says whether management answers, and if not, why: an address that refuses, a certificate that was revoked or is not valid yet.
	Reachable() (ok bool, why string)
}

// Report is what management is told of a member.
type Report struct {
	// Member is what Describe gave.
	Member Description

	InForce, Previous policy.Offer
	// Highest is the highest generation that this member ever saw, HighestAttempt the highest attempt: management numbers above both.
	Highest, HighestAttempt uint64
	Attempt                 Attempt
	Peers                   []PeerReport
	// Status and Reason are those of the critical device.
	Status Status
	Reason string
	// Drift is how the kernel differs from the policy in force; "": it does not.
	Drift string
}

// Description is what the node says of this member, for reports.
type Description struct {
	State        string // as operators read it: "ACTIVE"
	Version      string
	ConfigDigest string
}

// PeerReport is what a member knows of another one.
type PeerReport struct {
	Name       string
	Heard      bool
	Generation uint64 // in force there
}

// Orders are what management wants of a member.
type Orders struct {
	// Current is what management has for this cluster; None: nothing.
	Current policy.Offer
	// Attempt is the newest install; Number 0: there is none.
	Attempt OrderedAttempt
}

// OrderedAttempt is an install as management wants it to be.
type OrderedAttempt struct {
	Number uint64
	Policy policy.Offer
	Phase  Phase
	// ConfirmWithin is how long the member waits for the confirmation after its commit, until it goes back by itself; 0: the commit
	// confirms it.
	ConfirmWithin time.Duration
}

// Phase is what management has decided of an attempt.
type Phase uint8

// The phases. PhaseNone is no order.
const (
	PhaseNone Phase = iota
	PhasePrepare
	PhaseCommit
	PhaseAbort
	PhaseConfirmed
	PhaseRolledBack
)

// String is the word that files and operators use.
func (p Phase) String() string {
	if words := []string{"none", "prepare", "commit", "abort", "confirmed", "rolled-back"}; int(p) < len(words) {
		return words[p]
	}
	return "unknown"
}
