// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/rollout"
	"github.com/holdfast-project/holdfast/policy"
)

// Member says who reports, by its certificate.
type Member struct {
	Cluster, Name string
}

// String is CLUSTER/NAME.
func (m Member) String() string { return m.Cluster + "/" + m.Name }

// Report is what a member says of itself.
type Report struct {
	Run    string // random, of this start of the daemon
	Serial uint64 // of the newest orders that it has; 0: none

	State        string // as operators read it: "ACTIVE"
	Version      string
	ConfigDigest string

	InForce, Previous policy.Offer
	// Highest is the highest generation that it ever saw, HighestAttempt the highest attempt.
	Highest, HighestAttempt uint64
	Attempt                 AttemptReport
	Peers                   []Peer
	// PolicyStatus and PolicyReason are those of its critical device.
	PolicyStatus, PolicyReason string
	Drift                      string
}

// AttemptReport is where a member is in the newest attempt that it knows.
type AttemptReport struct {
	Number      uint64 // 0: it knows none
	Policy      policy.Offer
	State       rollout.State
	Why         string
	CommittedAt int64 // ns since 1970; 0: it has not, or not in this life
}

// Peer is what a member knows of another one.
type Peer struct {
	Name       string
	Heard      bool
	Generation uint64
}

// Orders are what a member is to do. They are whole each time; repeating them does no harm.
type Orders struct {
	Serial  uint64        // of the content: equal for equal orders, whatever server gives them; not 0
	Current policy.Offer  // what the cluster is to have
	Attempt rollout.Order // Number 0: nothing
	Every   time.Duration // how often a report is wanted
}

// Install asks for one.
type Install struct {
	Cluster string
	// Bundle is what to install. Its Cluster, Generation and Created are filled in.
	Bundle policy.Bundle
	// Members are those that are to have it; nil: all.
	Members    []string
	BestEffort bool
	// PrepareWithin and ConfirmWithin are rollout.DefaultPrepare and rollout.DefaultConfirm if they are 0.
	PrepareWithin, ConfirmWithin time.Duration
	// Manual leaves the confirmation to a person.
	Manual bool
	By     management.Actor
}

// Progress is an attempt at a moment.
type Progress struct {
	Attempt management.Attempt
	Members []MemberProgress // in the order of Attempt.Replies
}

// Over reports whether nothing more is to come.
func (p Progress) Over() bool { return p.Attempt.Ended != 0 }

// MemberProgress is where one member is in an attempt.
type MemberProgress struct {
	Name  string
	State rollout.State
	Why   string
	At    int64 // when it came to this state, ns since 1970; 0: unknown
	Heard bool  // it reports to this server
}

// Status is what is known of a member.
type Status struct {
	Member Member
	Report Report
	Last   int64 // when it reported last, ns since 1970; 0: never to this server
	There  bool  // that was not long ago
}
