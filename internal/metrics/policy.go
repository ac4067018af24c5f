// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Policy is what a member shows of policies.
type Policy struct {
	Highest              uint64            // generation that it ever saw
	Members              map[string]uint64 // generation in force, 0 for none, of those that are heard
	Differing            int               // members with another policy than the one that serves
	Created, Since       time.Time         // of what is in force: made, and in force here; zero: none, or not known
	Unloaded, BootFilter bool
	Drift                int                      // differences between the kernel and what is in force
	Management           *bool                    // it answers; nil: there is none
	Last                 map[string]time.Duration // how long the last install took, by phase
	Counters             map[string]uint64        // by what happened
	Fetched              map[string]uint64        // by source
}

// policySeries are the series of policies. There are none of them without a section policy.
type policySeries struct {
	generation, highest, differing, created, since  *prometheus.GaugeVec
	unloaded, bootFilter, drift, management, phases *prometheus.GaugeVec
	events, fetched                                 *totals
}

func (m *Metrics) policies(gauge newGauge, reg prometheus.Registerer) {
	s := &m.policy
	s.generation = gauge(NamePolicyGeneration, "Generation of the policy in force at each member, by its own word; 0 is none.", "member")
	s.highest = gauge(NamePolicyHighest, "Highest generation that this member ever saw.")
	s.differing = gauge(NamePolicyDiffering, "Members with another policy in force than the member that serves.")
	s.created = gauge(NamePolicyCreated, "When the policy in force here was made, by management's clock, in seconds since 1970.")
	s.since = gauge(NamePolicySince, "When it came into force here, in seconds since 1970; absent if that was before the daemon's start.")
	s.unloaded = gauge(NamePolicyUnloaded, "Whether an operator has taken the policy out of force.")
	s.bootFilter = gauge(NamePolicyBootFilter, "Whether the boot filter holds in place of a policy.")
	s.drift = gauge(NamePolicyDrift, "Differences between the kernel's ruleset and the policy in force.")
	s.management = gauge(NamePolicyManagement, "Whether the management server answers.")
	s.phases = gauge(NamePolicyInstall, "How long the last install took on this member, by phase (fetch, prepare, commit).", "phase")
	s.events = newTotals(NamePolicyEvents, "What happened to policies on this member (installed, refused, aborted, rolled-back, drifts, restored, conflicts, damaged, forged).", "what")
	s.fetched = newTotals(NamePolicyFetched, "Policies that came from a member, or from management, by source.", "source")
	reg.MustRegister(s.events, s.fetched)
}

// SetPolicy shows what is in force.
func (m *Metrics) SetPolicy(v Policy) {
	if m == nil {
		return
	}
	s := &m.policy
	s.generation.Reset()
	for name, g := range v.Members {
		s.generation.WithLabelValues(name).Set(float64(g))
	}
	s.highest.WithLabelValues().Set(float64(v.Highest))
	s.differing.WithLabelValues().Set(float64(v.Differing))
	at := func(g *prometheus.GaugeVec, t time.Time) {
		if t.IsZero() {
			g.Reset()
			return
		}
		g.WithLabelValues().Set(float64(t.UnixNano()) / 1e9)
	}
	at(s.created, v.Created)
	at(s.since, v.Since)
	s.unloaded.WithLabelValues().Set(oneIf(v.Unloaded))
	s.bootFilter.WithLabelValues().Set(oneIf(v.BootFilter))
	s.drift.WithLabelValues().Set(float64(v.Drift))
	if v.Management != nil {
		s.management.WithLabelValues().Set(oneIf(*v.Management))
	}
	for phase, d := range v.Last {
		s.phases.WithLabelValues(phase).Set(d.Seconds())
	}
	for what, n := range v.Counters {
		s.events.set(n, what)
	}
	for source, n := range v.Fetched {
		s.fetched.set(n, source)
	}
}
