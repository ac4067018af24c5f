// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"strings"

	"github.com/holdfast-project/holdfast/internal/policyplane"
	"github.com/holdfast-project/holdfast/members"
)

// policyWords say of each kind of event which code it has, and what happened to the generation that it is about.
var policyWords = map[policyplane.Kind]struct {
	code members.Code
	text string // after "generation N"; one that begins with a capital stands by itself
}{
	policyplane.Installed:  {members.CodePolicyInstalled, "is in force"},
	policyplane.Preparing:  {members.CodePolicyPreparing, "is loaded for an install"},
	policyplane.Refused:    {members.CodePolicyRefused, "cannot be installed here"},
	policyplane.Aborted:    {members.CodePolicyAborted, "is not installed: the install was ended"},
	policyplane.Confirmed:  {members.CodePolicyConfirmed, "was confirmed and stays"},
	policyplane.RolledBack: {members.CodePolicyRolledBack, "was taken back, and is never taken again"},
	policyplane.InDoubt:    {members.CodePolicyInDoubt, "is loaded, and nothing is heard of the decision"},
	policyplane.Fetched:    {members.CodePolicyFetched, "was fetched"},
	policyplane.Forged:     {members.CodePolicyForged, "is not what was offered"},
	policyplane.Drifted:    {members.CodePolicyDrift, "was changed by hand"},
	policyplane.Restored:   {members.CodePolicyRestored, "is as installed again"},
	policyplane.Damaged:    {members.CodePolicyDamaged, "is damaged on the disk and was set aside"},
	policyplane.Conflict:   {members.CodePolicyConflict, "is there twice"},
	policyplane.DiskFull:   {members.CodePolicyDiskFull, "cannot be kept on the disk"},
	policyplane.Unloaded:   {members.CodePolicyUnloaded, "was taken out of force by the operator"},
	policyplane.Resumed:    {members.CodePolicyResumed, "The operator ended the unloading"},
	policyplane.NoPolicy:   {members.CodePolicyMissing, "No policy is in force"},
	policyplane.Reloaded:   {members.CodePolicyReloaded, "was loaded again with what it refers to now"},
	policyplane.Failed:     {members.CodePolicyFailed, "The kernel did not do what it was asked to"},
	policyplane.Rematched:  {members.CodePolicyRematched, "was matched with the connections that were there"},
}

// policyRecord tells operators what happened to policies.
func (n *node) policyRecord(now int64, ev policyplane.Event) {
	w, known := policyWords[ev.Kind]
	if !known {
		n.log.Warn("an event of policies that has no code", "kind", ev.Kind, "text", ev.Text)
		return
	}
	r := members.Record{Code: w.code, Peer: members.Nobody, Reason: policyReason(w.text, ev)}
	for _, m := range n.cfg.Members {
		if m.Name == ev.Source && m.ID != n.local.Self.ID {
			r.Peer = m.ID
		}
	}
	n.record(now, r)
}

// policyReason is the sentence for operators.
func policyReason(what string, ev policyplane.Event) string {
	subject := "the policy"
	if g := ev.Policy.Generation; g != 0 {
		subject = fmt.Sprintf("generation %d", g)
	}
	text := subject + " " + what
	if what != "" && what[0] >= 'A' && what[0] <= 'Z' {
		text = string(what[0]+'a'-'A') + what[1:]
	}
	more := strings.TrimPrefix(ev.Text, "no policy: ")
	switch {
	case ev.Kind == policyplane.Drifted && ev.Source != "":
		_, lines := driftLines(ev.Text)
		text, more = text+", by "+ev.Source, strings.Join(lines, "; ")
	case ev.Source == "operator":
		text += ", by an operator"
	case ev.Kind == policyplane.Confirmed, ev.Kind == policyplane.RolledBack, ev.Kind == policyplane.Aborted, ev.Kind == policyplane.Preparing:
		if ev.Source != "" && ev.Source != "local" && more != ev.Source+" says so" {
			text += ", by word of " + ev.Source
		}
	case ev.Source != "" && ev.Source != "local":
		text += ", from " + ev.Source
	}
	if ev.Attempt != 0 {
		text += fmt.Sprintf(" (install %d)", ev.Attempt)
	}
	if more != "" {
		text += ": " + strings.ReplaceAll(more, "\n", "; ")
	}
	return text
}
