// SPDX-License-Identifier: Apache-2.0

package policyplane

import (
	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/install"
)

// Status is that of the critical device "policy".
type Status uint8

// The statuses.
const (
	// StatusInit: it is not known yet whether there is a policy.
	StatusInit Status = iota
	// StatusOK: a policy is in force.
	StatusOK
	// StatusProblem: none is, and Reason says why.
	StatusProblem
)

// String is the word that operators read.
func (s Status) String() string {
	if words := []string{"init", "ok", "problem"}; int(s) < len(words) {
		return words[s]
	}
	return "unknown"
}

// Generation is one policy that this member has.
type Generation struct {
	policy.Offer
	Content policy.Digest // equal for equal rulesets
	Created int64         // seconds since 1970, by management's clock
	Author  string
	Comment string
	Origin  uint64 // the generation whose content it is again; 0: none
	Key     string // fingerprint of the key that signed it
	// Since is when it came into force here, in ns since 1970; 0: it is not in force, or was before the daemon began.
	Since int64
	// Declined says that it was rolled back here: it is never taken again.
	Declined bool
}

// Attempt is where this member is in the newest install.
type Attempt struct {
	Number uint64 // 0: there was none
	Policy policy.Offer
	State  install.State
	Why    string
	// Committed is when it was committed, in ns since 1970; 0: it was not, or before the daemon began.
	Committed int64
	// Confirmed says that it stays, RolledBack that this member went back.
	Confirmed, RolledBack bool
}

// Durations are how long the last install took here, by phase, in ns.
type Durations struct {
	Fetch, Prepare, Commit int64
}

// Counters count since the daemon began.
type Counters struct {
	Installed, Refused, Aborted, RolledBack uint64
	Drifts, Restored                        uint64
	Conflicts, Damaged                      uint64
	Forged                                  uint64            // policies, or pieces, that were not what was offered
	Ended                                   uint64            // connections that a policy denied
	Fetched                                 map[string]uint64 // by source: a peer's name, "management"
	FramesIn, FramesOut                     uint64
}

// Snapshot is what the plane is at a moment. It must not be changed.
type Snapshot struct {
	// InForce is what the kernel has in force, Previous what a rollback goes to, Prepared what sleeps; nil: none.
	InForce, Previous, Prepared *Generation
	Attempt                     Attempt
	// InDoubt says that the member gave its word and hears nothing of the decision.
	InDoubt bool
	// Status and Reason are those of the critical device.
	Status Status
	Reason string
	// Unloaded says that an operator took the policy out of force.
	Unloaded bool
	// History is what the disk has, the newest first.
	History []Generation
	// Highest and HighestAttempt are the highest that this member ever saw, on its own or from a peer.
	Highest, HighestAttempt uint64
	// Drift is how the kernel differs from the policy in force, a line for each difference; "": it does not.
	Drift string
	// Frozen says until when voluntary moves are to be frozen, in ns of the plane's clock; 0: they are not.
	Frozen int64
	// Services replace sync.services of the configuration while they are there; Keep are the sets that outlive a change, Tables the
	// tables in force, "FAMILY NAME" by the operator's names.
	Services []policy.SyncRule
	Keep     []policy.Set
	Tables   []string
	// View is what this member's HELLO says of it, beside InForce's generation.
	View ccp.PolicyView
	// BootFilter says that the boot filter is loaded.
	BootFilter bool
	// Management says whether it answers; ManagementWhy, if not, why. Both are zero where there is none.
	Management    bool
	ManagementWhy string
	Last          Durations
	Counters      Counters
}
