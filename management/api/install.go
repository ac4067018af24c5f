// SPDX-License-Identifier: Apache-2.0

package api

import (
	"time"

	"github.com/holdfast-project/holdfast/policy"
)

// MaxInstall is the longest InstallRequest, in bytes: a ruleset, and what JSON makes of it.
const MaxInstall = policy.MaxRuleset*5/4 + 64<<10

// InstallRequest installs a ruleset as a new generation.
type InstallRequest struct {
	File        string   `json:"file"` // name of the ruleset's file, for messages
	Ruleset     string   `json:"ruleset"`
	Comment     string   `json:"comment,omitempty"`
	Sync        []string `json:"sync,omitempty"`        // SERVICE=never, SERVICE=3s
	Keep        []string `json:"keep,omitempty"`        // FAMILY TABLE SET
	Connections string   `json:"connections,omitempty"` // keep (""), rematch
	InstallOptions
}

// RollbackRequest installs an older generation's content as a new generation.
type RollbackRequest struct {
	To      uint64 `json:"to,omitempty"` // 0: the one before the current
	Comment string `json:"comment,omitempty"`
	InstallOptions
}

// InstallOptions say how.
type InstallOptions struct {
	BestEffort      bool     `json:"best_effort,omitempty"` // members that refuse or do not answer are left behind
	Members         []string `json:"members,omitempty"`     // these alone; none: all
	PrepareWithinMs int64    `json:"prepare_within_ms,omitempty"`
	// ConfirmWithinMs has a person confirm within this time after the commit, or all go back; 0: management confirms by itself.
	ConfirmWithinMs int64 `json:"confirm_within_ms,omitempty"`
	CheckOnly       bool  `json:"check_only,omitempty"` // check it on the server as each member would have it, and install nothing
	Strict          bool  `json:"strict,omitempty"`     // warnings are errors
}

// InstallLine is one line of the answer to an install: newline-delimited JSON. It has one of the fields; the last line has Install with Over, or
// Error, or, with CheckOnly, Checked. The install goes on if the client goes away. A long ruleset is
// loaded by the members first: the first line says so (Later), and another line with Checked how the check ended, unless it refuses: then the
// install says so, aborted.
type InstallLine struct {
	Checked *Checked `json:"checked,omitempty"`
	Install *Install `json:"install,omitempty"` // as it is now
	Error   *Error   `json:"error,omitempty"`
}

// Checked is what the server found in a ruleset that can be loaded.
type Checked struct {
	Members  []string `json:"members"` // for which it was loaded and put into force in a scratch namespace
	Warnings []string `json:"warnings,omitempty"`
	TookMs   int64    `json:"took_ms"`
	Skipped  string   `json:"skipped,omitempty"` // why it was read and linted only
	// Later says that members load it first; what none of them can tell is tried after that, and nothing is committed before.
	Later bool `json:"later,omitempty"`
	// Loaded are members that loaded it themselves, or for which another one that loads the same did.
	Loaded []string `json:"loaded,omitempty"`
}

// Install is one attempt.
type Install struct {
	Cluster    string          `json:"cluster"`
	Number     uint64          `json:"number"`
	Policy     Offer           `json:"policy"`
	Before     Offer           `json:"before"`
	By         string          `json:"by"`
	BestEffort bool            `json:"best_effort,omitempty"`
	Manual     bool            `json:"manual,omitempty"` // a person has to confirm
	Phase      string          `json:"phase"`            // preparing committed confirmed aborted rolled-back
	Why        string          `json:"why,omitempty"`
	Members    []InstallMember `json:"members"`
	Begun      time.Time       `json:"begun"`
	Decided    *time.Time      `json:"decided,omitempty"`
	Settled    *time.Time      `json:"settled,omitempty"`
	Over       bool            `json:"over"` // nothing more is to come
	// ConfirmBy is when it rolls back unless somebody confirms.
	ConfirmBy *time.Time `json:"confirm_by,omitempty"`
}

// InstallMember is one member's part.
type InstallMember struct {
	Name  string `json:"name"`
	State string `json:"state"`
	Why   string `json:"why,omitempty"`
	AtMs  int64  `json:"at_ms"` // when it came to this state, since the beginning; -1: not yet
}
