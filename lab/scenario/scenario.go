// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-project/holdfast/lab/conversation"
	"github.com/holdfast-project/holdfast/lab/members"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// Scenario is a parsed file.
type Scenario struct {
	File    string // where it was read from, for errors
	Name    string
	About   string
	Spec    topology.Spec
	Cluster Cluster
	Traffic Traffic
	Steps   []Step
}

// Cluster is what a scenario says of the cluster's configuration; zero fields are defaults.
type Cluster struct {
	Profile, Recovery, Transport, Attach string
	Method                               string   // of load sharing, "" in mode ha
	Sharing                              []string // lines of the section load-sharing
	Timers                               map[string]string
	NoVMAC, NoNeighbours                 bool
	Later                                []string // members that are off at first
	YAML                                 string   // more lines of cluster.yaml
	Interfaces                           map[string][]string
	Ruleset                              string            // nftables text that members load at boot
	Sysctls                              map[string]string // that members set at boot
	Builds                               map[string]members.Build
	Management                           string // "file" or "etcd": where management keeps what it knows; "": there is none
	Policies                             []Policy
	PolicyYAML                           []string // lines of the section policy
}

// Policy is a ruleset that steps install.
type Policy struct{ Name, Text string }

// Traffic is what runs beside the steps.
type Traffic struct {
	Rate     int // UDP packets a second, flow and direction; 0: none
	V4, V6   bool
	Priority int
	TCP      bool
	Probe    bool
	Paths    bool
	Talks    []Talk
}

// Talk is a line of conversations.
type Talk struct {
	Kind        conversation.Kind
	Six, ViaVIP bool
	From, To    string // nodes
	Port        uint16 // 0: the kind's
	Times       int
	Size        int64
	Over, Every time.Duration
	Hold        time.Duration
}

// Step is one line of the steps.
type Step struct {
	Line  int
	Text  string
	When  When
	Delay time.Duration // meaning according to When
	do    action
}

// When says when a step begins.
type When uint8

// The beginnings of a step.
const (
	Next  When = iota // when the step before has ended
	After             // Delay after the end of the step before
	At                // Delay after the last mark, or the beginning of the steps
)

// action carries out a step. An error ends the scenario; a failed expectation is not one.
type action interface {
	run(ctx context.Context, r *runner) error
}

// Error is a mistake in a scenario's text.
type Error struct {
	File string
	Line int
	What string
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.What) }
