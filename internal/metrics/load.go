// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Load is how busy a member was in its last second, by its own word.
type Load struct {
	CPU                                   float64 // 0 to 1, of all CPUs
	ProbeJitter, LeaseDelay, SoftirqDelay time.Duration
}

// SetLoad sets what a member, this one included, says of its load.
func (m *Metrics) SetLoad(member string, l Load) {
	if m == nil {
		return
	}
	m.cpu.WithLabelValues(member).Set(l.CPU)
	for measure, d := range map[string]time.Duration{"probe-jitter": l.ProbeJitter, "lease-delay": l.LeaseDelay, "softirq-delay": l.SoftirqDelay} {
		m.lateness.WithLabelValues(member, measure).Set(d.Seconds())
	}
}

// SetMargin sets how much of what a timer bears is used up on a member, 1 for all of it, by what is measured.
func (m *Metrics) SetMargin(member, timer, measure string, used float64) {
	if m == nil {
		return
	}
	m.margin.WithLabelValues(member, timer, measure).Set(used)
}

// ForgetLoad drops the load and the margins of a member that does not tell them any more.
func (m *Metrics) ForgetLoad(member string) {
	if m == nil {
		return
	}
	who := prometheus.Labels{"member": member}
	m.cpu.DeletePartialMatch(who)
	m.lateness.DeletePartialMatch(who)
	m.margin.DeletePartialMatch(who)
}
