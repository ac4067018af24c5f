// SPDX-License-Identifier: Apache-2.0

package report

import (
	"sync"
	"time"
)

// Kind is the kind of an event. The set only grows.
type Kind string

// Kinds of events.
const (
	Note   Kind = "note"   // something to know
	Step   Kind = "step"   // a scenario's step
	Fault  Kind = "fault"  // the laboratory did harm
	Heal   Kind = "heal"   // the laboratory undid it
	State  Kind = "state"  // a member changed state
	Serve  Kind = "serve"  // another member answers for an address or forwards
	Gap    Kind = "gap"    // traffic stopped for a while
	Dual   Kind = "dual"   // two members served at once
	Expect Kind = "expect" // an expectation was judged
)

// Event is one thing that happened.
type Event struct {
	At   time.Time `json:"at"`
	Kind Kind      `json:"kind"`
	// Subject is who it is about: a member, a segment, a flow; may be empty.
	Subject string `json:"subject,omitempty"`
	Text    string `json:"text"`
	// Lasted is how long it took, where that makes sense (a gap).
	Lasted time.Duration `json:"lasted_ns,omitempty"`
	// Bad marks what should not have happened.
	Bad bool `json:"bad,omitempty"`
}

// Timeline collects events from several tasks. The zero value is ready to use; it is safe for concurrent use.
type Timeline struct {
	mu     sync.Mutex
	events []Event
	watch  []func(Event)
}

// Check is a judged expectation.
type Check struct {
	// Text is the expectation in the scenario's words, Got what was found.
	Text   string `json:"text"`
	Got    string `json:"got"`
	Passed bool   `json:"passed"`
	// Never says that it was about what must never be, not once: two members that serve.
	Never bool `json:"never,omitempty"`
}

// Result is the outcome of one scenario.
type Result struct {
	Name    string        `json:"name"`
	Started time.Time     `json:"started"`
	Took    time.Duration `json:"took_ns"`
	Events  []Event       `json:"events"`
	Checks  []Check       `json:"checks"`
	// Err is why the scenario could not be carried out, empty if it could.
	Err string `json:"error,omitempty"`
	// Files are what was written beside (captures).
	Files []string `json:"files,omitempty"`
	// Unsteady says that it failed, and passed each time that it was run again: an Excusable result that is no failure.
	Unsteady bool `json:"unsteady,omitempty"`
	// Details is whatever the caller wants to keep with the JSON: reports of traffic and probers.
	Details any `json:"details,omitempty"`
}

// Passed is true when the scenario was carried out and all checks passed.
func (r Result) Passed() bool {
	if r.Err != "" {
		return false
	}
	for _, c := range r.Checks {
		if !c.Passed {
			return false
		}
	}
	return true
}

// Failed is true for a result that neither passed nor was unsteady.
func (r Result) Failed() bool { return !r.Passed() && !r.Unsteady }

// Excusable is true for a failure that the host may have had its part in, when nothing was seen that must never be.
func (r Result) Excusable() bool {
	for _, c := range r.Checks {
		if c.Never && !c.Passed {
			return false
		}
	}
	return !r.Passed()
}
