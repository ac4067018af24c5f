// SPDX-License-Identifier: Apache-2.0

package node

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/members/device"
)

// facts are what the answer to "why" rests on, for this member.
func (n *node) facts(now int64, v members.View) []string {
	s := n.gateState(gateway)
	facts := problemFacts(v.Members[v.Self].Problems)
	lease := "no lease"
	if s.LeaseTerm != 0 {
		lease = fmt.Sprintf("lease term %d renewed %.1f ms ago", s.LeaseTerm, ms(s.LeaseAge))
	}
	facts = append(facts, fmt.Sprintf("gate: %s, fence term %d granted to %s, %s", lease, s.FenceTerm,
		cmp.Or(n.name(s.Grantee), "nobody"), opened(s.Serving, s.Forward, n.cfg.LoadSharing != nil && n.words.ShareOpen(now))))
	facts = append(facts, n.syncFacts()...)
	facts = append(facts, n.claimFacts(now, v.Claim)...)
	for _, f := range freezeTexts(n.freezes(now)) {
		facts = append(facts, "freeze: "+f)
	}
	if v.ForcedTo != members.Nobody {
		line := "forced: the gateway is to be on " + n.name(v.ForcedTo)
		if v.ForcedUntil != 0 {
			line += fmt.Sprintf(" for %v more", (time.Duration(v.ForcedUntil - now)).Round(time.Second))
		}
		facts = append(facts, line+"; holdfast failover end lets the normal rule decide")
	}
	facts = append(facts, n.budgetFacts(now, v)...)
	if n.cfg.Recovery == config.HighestPriority {
		facts = append(facts, fmt.Sprintf("recovery: the first healthy member of the file, after %v", n.cfg.Timers.HoldDown))
	}
	for _, m := range n.thinMargins() {
		facts = append(facts, "thin margin: "+m)
	}
	for _, w := range n.hostWarnings() {
		facts = append(facts, "warning: "+w)
	}
	return facts
}

// opened says what the gate lets pass: as the member that answers, and, in load sharing, of its share.
func opened(answer, forward, share bool) string {
	switch {
	case share && !answer:
		return "does not answer for virtual addresses, forwards its share"
	case answer && forward:
		return "open"
	case answer:
		return "answers, does not forward"
	case forward:
		return "closed, forwards what is on its way"
	}
	return "closed"
}

func problemFacts(problems []members.DeviceView) []string {
	var facts []string
	for _, d := range problems {
		if d.Name == device.ProblemNotification && len(problems) > 1 {
			continue
		}
		line := "device " + d.Name + ": " + d.Status.String()
		if d.Reason != "" {
			line += ", " + d.Reason
		}
		facts = append(facts, line)
	}
	return facts
}

func (n *node) claimFacts(now int64, c members.ClaimView) []string {
	if c.Cause == 0 {
		return nil
	}
	line := fmt.Sprintf("claim: because of %s since %.0f ms", c.Cause, ms(time.Duration(now-c.Since)))
	if c.Term != 0 {
		line += fmt.Sprintf(", term %d", c.Term)
	}
	if len(c.Waiting) > 0 {
		var names []string
		for _, m := range c.Waiting {
			names = append(names, n.name(m))
		}
		line += ", waits for the grant of " + strings.Join(names, ", ")
	}
	if c.Held != "" {
		line += ": " + c.Held
	}
	return []string{line}
}

func (n *node) budgetFacts(now int64, v members.View) []string {
	f := n.cfg.Flap
	switch {
	case f.Budget == 0:
		return []string{"budget: damping is off"}
	case v.FlapBudget > 0:
		return []string{fmt.Sprintf("budget: %d of %d voluntary moves within %v are left", v.FlapBudget, f.Budget, f.Window)}
	}
	line := fmt.Sprintf("budget: the %d voluntary moves within %v are used up", f.Budget, f.Window)
	if v.Damped > now {
		line += fmt.Sprintf(", the next is allowed in %v", time.Duration(v.Damped-now).Round(time.Second))
	}
	return []string{line + "; holdfast failover reset counter gives them back"}
}

// peerFacts are what the answer to "why" rests on, for another member.
func (n *node) peerFacts(now int64, m members.PeerView) []string {
	facts := problemFacts(m.Problems)
	if m.State == members.StateLost {
		facts = nil // what it said once
	}
	gate := "gate: never heard"
	if m.LastSeen != 0 {
		gate = fmt.Sprintf("gate: answered %.1f ms ago", ms(time.Duration(now-m.LastSeen)))
		if m.Serving {
			gate += fmt.Sprintf(", serves with term %d", m.Term)
		}
	}
	facts = append(facts, gate)
	t := n.wire.told[m.ID]
	if t == nil {
		return append(facts, "daemon: not heard yet")
	}
	line := fmt.Sprintf("daemon: last HELLO %.0f ms ago, version %s, protocol %d", ms(m.HelloAge), t.Build, t.Version)
	if t.ConfigDigest != n.cfg.Digest() {
		line += ", another configuration"
	}
	facts = append(facts, line)
	if len(m.Silent) > 0 && m.State != members.StateLost {
		var names []string
		for _, slot := range m.Silent {
			names = append(names, n.ports[slot].Name)
		}
		facts = append(facts, "not heard on "+strings.Join(names, ", "))
	}
	return facts
}
