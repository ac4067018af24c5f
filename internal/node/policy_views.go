// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/policyplane"
	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/members/device"
	"github.com/holdfast-project/holdfast/policy/install"
)

func shortDigest(d [32]byte) string { return hex.EncodeToString(d[:8]) }

// policies returns the plane, or says that there is none.
func (b *backend) policies() (*policyplane.Plane, error) {
	if b.n.policy.plane == nil { // it is there from before the first request, or never
		return nil, control.Refused(errNoPolicies.Error(), "add one, as deploy/cluster.yaml shows, and restart the members one after the other")
	}
	return b.n.policy.plane, nil
}

// Policy implements control.Backend.
func (b *backend) Policy(ctx context.Context) (control.Policy, error) {
	plane, err := b.policies()
	if err != nil {
		return control.Policy{}, err
	}
	return ask(ctx, b.n, func(now int64) (control.Policy, error) {
		n, s := b.n, plane.Snapshot()
		v := control.Policy{
			Member: n.local.Self.Name, Status: s.Status.String(), Reason: s.Reason, Highest: s.Highest, Unloaded: s.Unloaded, BootFilter: s.BootFilter,
			Enforce: n.cfg.Policy.Enforce, Keys: n.cfg.Policy.Fingerprints(), Tables: s.Tables, Members: []control.PolicyMember{},
			InForce: generationView(s, s.InForce), Previous: generationView(s, s.Previous), Prepared: generationView(s, s.Prepared), Attempt: attemptView(s),
			Last:     control.PolicyDurations{FetchMs: ms(time.Duration(s.Last.Fetch)), PrepareMs: ms(time.Duration(s.Last.Prepare)), CommitMs: ms(time.Duration(s.Last.Commit))},
			Counters: policyCounters(&s.Counters), Fetched: map[string]uint64{},
		}
		for source, count := range s.Counters.Fetched {
			v.Fetched[source] = count
		}
		for _, r := range s.Services {
			v.Services = append(v.Services, r.String())
		}
		for _, k := range s.Keep {
			v.Keep = append(v.Keep, k.String())
		}
		v.DriftBy, v.Drift = driftLines(s.Drift)
		if urls := n.cfg.Policy.Management; len(urls) > 0 {
			v.Management = &control.PolicyManagement{URLs: urls, Reachable: s.Management, Why: s.ManagementWhy}
			if id, ok := n.policy.manager.Identity(); ok {
				v.Management.Certificate, v.Management.NotAfter = id.Serial, &id.NotAfter
			}
		}
		v.Members = n.policyMembers(now, s)
		return v, nil
	})
}

func policyCounters(c *policyplane.Counters) map[string]uint64 {
	return map[string]uint64{
		"installed": c.Installed, "refused": c.Refused, "aborted": c.Aborted, "rolled-back": c.RolledBack, "drifts": c.Drifts, "restored": c.Restored,
		"conflicts": c.Conflicts, "damaged": c.Damaged, "forged": c.Forged,
	}
}

// policyMembers is what each member says of its policy.
func (n *node) policyMembers(now int64, s *policyplane.Snapshot) []control.PolicyMember {
	all := make([]control.PolicyMember, 0, len(n.cfg.Members))
	v := n.machine.View(now)
	counts := n.generationOf(v.Active)
	for _, m := range n.cfg.Members {
		p := control.PolicyMember{ID: m.ID, Name: m.Name, Local: m.ID == v.Self, State: n.shownState(&v, m.ID), Heard: true}
		var h ccp.Hello
		if p.Local {
			n.policyTell(&h)
			p.Reason = s.Reason
		} else if p.Heard = n.policy.heard[m.ID]; p.Heard {
			h.PolicyGeneration, h.Policy = n.policy.peers[m.ID].Generation, n.policy.peers[m.ID].View
			p.Reason = policyReasonOf(v.Members[m.ID].Problems)
		}
		p.Generation, p.Highest, p.Attempt = h.PolicyGeneration, h.Policy.Highest, h.Policy.Attempt.Number
		if p.Generation != 0 {
			p.Digest = hex.EncodeToString(h.Policy.Digest[:])
		}
		if p.Attempt != 0 {
			p.Install = h.Policy.State.String()
		}
		own := members.Generation{Number: p.Generation, Digest: h.Policy.Digest}
		p.Differs = p.Heard && !own.None() && !counts.None() && own != counts
		all = append(all, p)
	}
	return all
}

// generationOf is what a member has in force.
func (n *node) generationOf(id uint8) members.Generation {
	switch {
	case id == n.local.Self.ID:
		return policyReady(n.policy.state).Policy
	case int(id) < len(n.policy.peers) && n.policy.heard[id]:
		p := &n.policy.peers[id]
		return members.Generation{Number: p.Generation, Digest: p.View.Digest}
	}
	return members.Generation{}
}

// policyReasonOf is why a peer has no policy, as its HELLO says.
func policyReasonOf(problems []members.DeviceView) string {
	for _, d := range problems {
		if d.Name == device.Policy {
			return d.Reason
		}
	}
	return ""
}

// generationView shows a generation; nil for none.
func generationView(s *policyplane.Snapshot, g *policyplane.Generation) *control.PolicyGeneration {
	if g == nil {
		return nil
	}
	v := control.PolicyGeneration{Generation: g.Generation, Digest: g.Digest.String(), Content: g.Content.String(), Created: time.Unix(g.Created, 0).UTC(),
		Author: g.Author, Comment: g.Comment, Origin: g.Origin, Declined: g.Declined, State: "kept"}
	if g.Since != 0 {
		at := time.Unix(0, g.Since)
		v.Since = &at
	}
	is := func(o *policyplane.Generation) bool { return o != nil && o.Digest == g.Digest }
	switch {
	case is(s.InForce):
		v.State = "in-force"
	case is(s.Prepared):
		v.State = "prepared"
	case g.Declined:
		v.State = "declined"
	case is(s.Previous):
		v.State = "previous"
	}
	return &v
}

func attemptView(s *policyplane.Snapshot) *control.PolicyAttempt {
	a := &s.Attempt
	if a.Number == 0 {
		return nil
	}
	v := &control.PolicyAttempt{Number: a.Number, Generation: a.Policy.Generation, Digest: a.Policy.Digest.String(), State: a.State.String(), Why: a.Why,
		Confirmed: a.Confirmed, RolledBack: a.RolledBack, InDoubt: s.InDoubt}
	if a.Committed != 0 {
		at := time.Unix(0, a.Committed)
		v.Committed = &at
	}
	return v
}

// PolicyHistory implements control.Backend.
func (b *backend) PolicyHistory(context.Context) (control.PolicyHistory, error) {
	plane, err := b.policies()
	if err != nil {
		return control.PolicyHistory{}, err
	}
	s := plane.Snapshot()
	v := control.PolicyHistory{Member: b.n.o.Member, Generations: []control.PolicyGeneration{}}
	for i := range s.History {
		v.Generations = append(v.Generations, *generationView(s, &s.History[i]))
	}
	return v, nil
}

// PolicyFile implements control.Backend. It reads the disk, and not on the loop.
func (b *backend) PolicyFile(_ context.Context, generation uint64) ([]byte, error) {
	plane, err := b.policies()
	if err != nil {
		return nil, err
	}
	if s := plane.Snapshot(); !slices.ContainsFunc(s.History, func(g policyplane.Generation) bool { return g.Generation == generation }) {
		return nil, control.NotFound(fmt.Sprintf("there is no generation %d here", generation), "holdfast policy history lists those that are")
	}
	sealed, err := plane.Bundle(generation)
	if err != nil {
		return nil, err
	}
	return sealed.Encode(), nil
}

// policyState is what the state of the cluster says of policies; nil without the section.
func (n *node) policyState() *control.PolicyState {
	s := n.policy.state
	if s == nil {
		return nil
	}
	v := &control.PolicyState{Status: s.Status.String(), Reason: s.Reason, BootFilter: s.BootFilter}
	if g := generationView(s, s.InForce); g != nil {
		v.Generation, v.Digest, v.Since, v.Comment = g.Generation, g.Digest, g.Since, g.Comment
	}
	if a := &s.Attempt; a.Number != 0 && underWay(a.State) {
		v.Attempt, v.Phase = a.Number, a.State.String()
	}
	_, drift := driftLines(s.Drift)
	v.Drift = len(drift)
	return v
}

// underWay reports whether an install in this state is not over for a member.
func underWay(s install.State) bool {
	switch s {
	case install.Loading, install.Prepared, install.Committing, install.Committed, install.RollingBack:
		return true
	}
	return false
}

// driftLines takes the plane's account of a drift apart: who did it, and a line for each difference.
func driftLines(text string) (by string, all []string) {
	if text == "" {
		return "", nil
	}
	const head = "the ruleset was changed by "
	all = strings.Split(strings.TrimRight(text, "\n"), "\n")
	if first, is := strings.CutPrefix(all[0], head); is {
		by, all = strings.TrimSuffix(first, ":"), all[1:]
	}
	return by, all
}
