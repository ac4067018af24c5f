// SPDX-License-Identifier: Apache-2.0

package api

import (
	"time"

	"github.com/holdfast-project/holdfast/policy"
)

// Offer names a policy of the member's cluster; the zero value is none.
type Offer struct {
	Generation uint64        `json:"generation"`
	Digest     policy.Digest `json:"digest"`
}

// None reports whether it names no policy.
func (o Offer) None() bool { return o.Generation == 0 }

// Of is the policy as one of several copies.
func (o Offer) Of(source string) policy.Offer {
	return policy.Offer{Source: source, Generation: o.Generation, Digest: o.Digest}
}

// OfferOf forgets where a copy is.
func OfferOf(o policy.Offer) Offer { return Offer{Generation: o.Generation, Digest: o.Digest} }

// Bounds of a Report.
const (
	MaxReport  = 64 << 10 // bytes
	MaxPeers   = 8
	MaxWhy     = 4096 // bytes of any text of a report
	MaxRunSize = 64   // bytes of Run
)

// Report is what a member says of itself. One is always on its way: the server holds it until there are Orders with another serial, or for
// about a second, so that reports are also the member's heartbeat. A newer report of the member, over whichever connection, has the older one
// answered at once.
type Report struct {
	Run          string `json:"run"`           // random, one a start of the daemon
	Seq          uint64 `json:"seq,omitempty"` // grows with what the run has to say: of two that are on their way at once the later one counts
	Serial       uint64 `json:"serial"`        // of the newest Orders that it has seen from this server; 0: none
	State        string `json:"state"`         // of the member: ACTIVE, STANDBY, ...
	Version      string `json:"version"`
	ConfigDigest string `json:"config_digest"` // of its cluster.yaml, 16 hexadecimal digits

	InForce        Offer        `json:"in_force"`
	Previous       Offer        `json:"previous"`
	Highest        uint64       `json:"highest"` // generation that it has ever seen in a bundle that verifies
	Attempt        AttemptState `json:"attempt"`
	HighestAttempt uint64       `json:"highest_attempt"` // number that it has ever heard of

	Peers        []PeerReport `json:"peers,omitempty"`
	PolicyStatus string       `json:"policy_status"` // of the device "policy": ok, problem, init
	PolicyReason string       `json:"policy_reason,omitempty"`
	Drift        string       `json:"drift,omitempty"` // what somebody changed by hand; "": nothing
}

// AttemptState is where a member is in the newest attempt that it takes part in; Number 0: there was none.
type AttemptState struct {
	Number      uint64     `json:"number"`
	Policy      Offer      `json:"policy"`
	State       string     `json:"state,omitempty"` // idle loading prepared committing committed confirmed aborted refused rolled-back
	Why         string     `json:"why,omitempty"`   // of a refusal or a rollback
	CommittedAt *time.Time `json:"committed_at,omitempty"`
	Confirmed   bool       `json:"confirmed,omitempty"`
}

// PeerReport is another member as this one sees it.
type PeerReport struct {
	Name       string `json:"name"`
	Heard      bool   `json:"heard"`
	Generation uint64 `json:"generation"` // in force there, as it says
}

// Orders are what management wants of a member. They are a state, not a queue: the newest replace all before.
type Orders struct {
	Serial  uint64 `json:"serial"`  // of what they say: the same on every server
	Current Offer  `json:"current"` // what management has for the cluster
	Attempt *Order `json:"attempt,omitempty"`
	EveryMs int64  `json:"every_ms"` // how long the server holds a report
}

// Same reports whether two say the same.
func (o Orders) Same(other Orders) bool {
	a, b := o.Attempt, other.Attempt
	return o.Serial == other.Serial && o.Current == other.Current && o.EveryMs == other.EveryMs && (a == b || a != nil && b != nil && *a == *b)
}

// Phase is what a member is to do about an attempt.
type Phase string

// The phases of an attempt, as members are told.
const (
	PhasePrepare    Phase = "prepare"
	PhaseCommit     Phase = "commit"
	PhaseAbort      Phase = "abort"
	PhaseConfirmed  Phase = "confirmed"
	PhaseRolledBack Phase = "rolled-back"
)

// Order concerns one attempt.
type Order struct {
	Number          uint64 `json:"number"`
	Policy          Offer  `json:"policy"`
	Phase           Phase  `json:"phase"`
	ConfirmWithinMs int64  `json:"confirm_within_ms,omitempty"` // with commit: the member rolls back by itself unless confirmed within this time after its commit
}
