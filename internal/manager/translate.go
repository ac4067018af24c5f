// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/internal/policyplane"
	"github.com/holdfast-project/holdfast/management/api"
)

// wire is a report as it travels, but for run and serial.
func wire(r policyplane.Report) api.Report {
	out := api.Report{
		State: word(r.Member.State), Version: word(r.Member.Version), ConfigDigest: word(r.Member.ConfigDigest),
		InForce: api.OfferOf(r.InForce), Previous: api.OfferOf(r.Previous),
		Highest: r.Highest, HighestAttempt: r.HighestAttempt,
		PolicyStatus: r.Status.String(), PolicyReason: cut(r.Reason), Drift: cut(r.Drift),
	}
	if a := r.Attempt; a.Number != 0 {
		out.Attempt = api.AttemptState{
			Number: a.Number, Policy: api.OfferOf(a.Policy), State: strings.ReplaceAll(a.State.String(), " ", "-"), Why: cut(a.Why), Confirmed: a.Confirmed,
		}
		switch {
		case a.RolledBack:
			out.Attempt.State = "rolled-back"
		case a.Confirmed:
			out.Attempt.State = "confirmed"
		}
		if a.Committed != 0 {
			at := time.Unix(0, a.Committed).UTC()
			out.Attempt.CommittedAt = &at
		}
	}
	for i, p := range r.Peers {
		if i == api.MaxPeers {
			break
		}
		out.Peers = append(out.Peers, api.PeerReport{Name: word(p.Name), Heard: p.Heard, Generation: p.Generation})
	}
	return out
}

// cut shortens what is too long to be sent, and makes of it what is sent as it is; texts are for people.
func cut(text string) string {
	if len(text) > api.MaxWhy {
		text = text[:api.MaxWhy-3] + "..."
	}
	return strings.ToValidUTF8(text, "?")
}

// word is a short text as the server takes it.
func word(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
	return text[:min(len(text), api.MaxRunSize)]
}

// orders are what came, in the plane's terms.
func orders(o api.Orders) policyplane.Orders {
	out := policyplane.Orders{Current: o.Current.Of("management")}
	if a := o.Attempt; a != nil {
		out.Attempt = policyplane.OrderedAttempt{
			Number: a.Number, Policy: a.Policy.Of("management"), ConfirmWithin: time.Duration(a.ConfirmWithinMs) * time.Millisecond,
			Phase: phases[a.Phase],
		}
	}
	return out
}

var phases = map[api.Phase]policyplane.Phase{
	api.PhasePrepare:    policyplane.PhasePrepare,
	api.PhaseCommit:     policyplane.PhaseCommit,
	api.PhaseAbort:      policyplane.PhaseAbort,
	api.PhaseConfirmed:  policyplane.PhaseConfirmed,
	api.PhaseRolledBack: policyplane.PhaseRolledBack,
}
