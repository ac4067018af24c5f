// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/management/rollout"
	"github.com/holdfast-project/holdfast/policy"
)

// Install asks for one.
type Install struct {
	Cluster string
	// Bundle is what to install. Its Cluster, Generation and Created are filled in.
	Bundle policy.Bundle
	// Members are those that are to have it; nil: all. The others take it by recovery, from their peers, once it is confirmed.
	Members    []string
	BestEffort bool
	// PrepareWithin and ConfirmWithin are rollout.DefaultPrepare and rollout.DefaultConfirm if they are 0.
	PrepareWithin, ConfirmWithin time.Duration
	// Manual leaves the confirmation to a person.
	Manual bool
	By     management.Actor
	// Check is nil if there is none, or it has ended.
	Check *Check
}

// Check is management's own trial of a policy. Once it is given to Coordinator.Install, that stops it, also when Install fails.
type Check struct {
	Groups [][]string           // members that load the same have one trial
	Try    func(group int)      // begins one, if nobody of the group can tell
	Ended  <-chan rollout.Tried // how each ended; it has room for all
	Stop   func()               // what is not known yet need not be
}

// stop ends a check, or what is left of it.
func (k *Check) stop() {
	if k != nil {
		k.Stop()
	}
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
	There bool // it reports to this server
}

// Status is what is known of a member.
type Status struct {
	Name   string
	Report api.Report
	Last   time.Time // when it reported last; zero: never to this server
	There  bool      // that was not long ago
}

// Stats count.
type Stats struct {
	Clusters int
	Members  int // of all clusters
	There    int // members that report to this server
	Running  int // attempts that this server runs
	Reports  uint64
}
