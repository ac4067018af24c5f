// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"strings"
	"time"
)

// SetFrames takes a reading of how many CCP frames of a type ("probe", "hello", ...) went in a direction ("in", "out").
func (m *Metrics) SetFrames(frameType, direction string, total uint64) {
	if m == nil {
		return
	}
	m.frames.set(total, frameType, direction)
}

// SetDrops takes a reading of how many CCP frames were dropped for a reason.
func (m *Metrics) SetDrops(reason string, total uint64) {
	if m == nil {
		return
	}
	m.drops.set(total, reason)
}

// SetGateCounters takes a reading of the gate's counters by name. Those of CCP frames that it dropped, "frame-REASON", are exported
// with the other drops as reason "gate-REASON".
func (m *Metrics) SetGateCounters(c map[string]uint64) {
	if m == nil {
		return
	}
	for name, v := range c {
		if reason, ok := strings.CutPrefix(name, "frame-"); ok {
			m.drops.set(v, "gate-"+reason)
			continue
		}
		m.gate.set(v, name)
	}
}

// AddProbes counts probes to a peer on an interface that were sent, and those that were answered.
func (m *Metrics) AddProbes(member, iface string, sent, answered uint64) {
	if m == nil {
		return
	}
	m.probes.add(sent, member, iface, "sent")
	m.probes.add(answered, member, iface, "answered")
}

// AddRTT accumulates a histogram of round-trip times: counts per bucket (not cumulative), one more than bounds (its last bucket has
// no bound), and their sum. A series keeps its bounds; others start it again.
func (m *Metrics) AddRTT(member, iface string, bounds []time.Duration, counts []uint64, sum time.Duration) {
	if m == nil {
		return
	}
	m.rtt.add(member, iface, bounds, counts, sum)
}

// AddRenewals counts n lease renewals, the worst of them having been late by worst. Call it once a second.
func (m *Metrics) AddRenewals(n uint64, worst time.Duration) {
	if m == nil {
		return
	}
	m.renewals.add(n)
	m.renewalWorst.report(worst)
}

// PulseLateness reports the worst lateness of the pulse's wake-ups in the last second. Call it once a second.
func (m *Metrics) PulseLateness(worst time.Duration) {
	if m == nil {
		return
	}
	m.pulseWorst.report(worst)
}

// SoftirqDelay reports the worst delay of the receiving softirqs in the last second. Call it once a second.
func (m *Metrics) SoftirqDelay(worst time.Duration) {
	if m == nil {
		return
	}
	m.softirqWorst.report(worst)
}

// SetYields takes a reading of how many YIELDs the gate answered with a result (granted, refused, too-young, wrong-incarnation).
func (m *Metrics) SetYields(result string, total uint64) {
	if m == nil {
		return
	}
	m.yields.set(total, result)
}

// SetAnnouncements takes a reading of how many announcement frames of a kind (vmac, garp, na, ra) were sent.
func (m *Metrics) SetAnnouncements(kind string, total uint64) {
	if m == nil {
		return
	}
	m.announced.set(total, kind)
}

// SetEventsDropped takes a reading of how many events slow followers of the control API missed.
func (m *Metrics) SetEventsDropped(total uint64) {
	if m == nil {
		return
	}
	m.eventsDropped.set(total)
}

// SetNotifications takes a reading of a receiver's counters: notifications handed over, dropped because too many waited, and attempts
// that failed.
func (m *Metrics) SetNotifications(sink string, sent, dropped, failed uint64) {
	if m == nil {
		return
	}
	for result, v := range map[string]uint64{"sent": sent, "dropped": dropped, "failed": failed} {
		m.notifications.set(v, sink, result)
	}
}

// ForgetNotifications drops the series of a receiver that is not configured any more.
func (m *Metrics) ForgetNotifications(sink string) {
	if m == nil {
		return
	}
	m.notifications.remove(sink)
}
