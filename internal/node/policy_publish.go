// SPDX-License-Identifier: Apache-2.0

package node

import (
	"time"

	"github.com/holdfast-project/holdfast/internal/metrics"
	"github.com/holdfast-project/holdfast/members"
)

// publishPolicy brings the metrics up to what is in force.
func (n *node) publishPolicy(v *members.View) {
	s := n.policy.state
	if s == nil {
		return
	}
	m := metrics.Policy{
		Highest: s.Highest, Unloaded: s.Unloaded, BootFilter: s.BootFilter, Members: map[string]uint64{}, Counters: policyCounters(&s.Counters),
		Fetched: s.Counters.Fetched,
		Last:    map[string]time.Duration{"fetch": time.Duration(s.Last.Fetch), "prepare": time.Duration(s.Last.Prepare), "commit": time.Duration(s.Last.Commit)},
	}
	_, drift := driftLines(s.Drift)
	m.Drift = len(drift)
	if g := s.InForce; g != nil {
		m.Created = time.Unix(g.Created, 0)
		if g.Since != 0 {
			m.Since = time.Unix(0, g.Since)
		}
	}
	if len(n.cfg.Policy.Management) > 0 {
		m.Management = &s.Management
	}
	counts := n.generationOf(v.Active)
	for _, one := range n.cfg.Members {
		if !n.policy.heard[one.ID] && one.ID != v.Self {
			continue
		}
		g := n.generationOf(one.ID)
		m.Members[one.Name] = g.Number
		if !g.None() && !counts.None() && g != counts {
			m.Differing++
		}
	}
	n.metrics.SetPolicy(m)
}
