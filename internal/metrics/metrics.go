// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Source says whose metrics these are.
type Source struct {
	Cluster  string
	Member   string
	Version  string
	Revision string
}

// Metrics holds all series of one member. Its methods are safe for concurrent use and never block; a nil *Metrics discards
// everything, so that tests and tools need none.
type Metrics struct {
	registry *prometheus.Registry

	configInfo *prometheus.GaugeVec
	reloads    *prometheus.CounterVec
	keyNumber  prometheus.Gauge
	timer      *prometheus.GaugeVec

	state, term, serving   *prometheus.GaugeVec
	device, interfaceUp    *prometheus.GaugeVec
	monitor, monitorTook   *prometheus.GaugeVec
	silence, fence         *prometheus.GaugeVec
	cpu, lateness, margin  *prometheus.GaugeVec
	changes, failovers     *prometheus.CounterVec
	history                prometheus.Gauge
	conflicts, pulseDeaths prometheus.Counter
	takeover, gap          prometheus.Histogram

	frames, drops, probes, gate  *totals
	announced, renewals, yields  *totals
	eventsDropped, monitorChecks *totals
	notifications                *totals
	rtt                          *rtts
	renewalWorst, pulseWorst     *worst
	softirqWorst                 *worst

	sync    syncSeries
	sharing sharingSeries
	policy  policySeries
}

// New returns the metrics of s in a registry of their own, every fixed series already there with value 0, so that a first failover
// is an increase and not a new series.
func New(s Source) *Metrics {
	constant := prometheus.Labels{"cluster": s.Cluster, "self": s.Member}
	m := &Metrics{registry: prometheus.NewRegistry()}
	reg := prometheus.WrapRegistererWith(constant, m.registry)
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
		reg.MustRegister(v)
		return v
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		reg.MustRegister(v)
		return v
	}
	m.members(gauge, counter)
	m.configuration(s, gauge, counter)
	m.wire(reg)
	m.synchronisation(gauge, reg)
	m.loadSharing(gauge, reg)
	m.policies(gauge, reg)
	reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

type (
	newGauge   func(name, help string, labels ...string) *prometheus.GaugeVec
	newCounter func(name, help string, labels ...string) *prometheus.CounterVec
)

func (m *Metrics) configuration(s Source, gauge newGauge, counter newCounter) {
	gauge(NameBuildInfo, "Always 1; the labels say which build this is.", "version", "revision", "goversion").
		WithLabelValues(s.Version, s.Revision, runtime.Version()).Set(1)
	m.configInfo = gauge(NameConfigInfo, "Always 1; the label is the digest of the cluster-wide configuration.", "digest")
	m.reloads = counter(NameConfigReloads, "Reloads of the configuration by result.", "result")
	for _, r := range []string{"applied", "refused"} {
		m.reloads.WithLabelValues(r)
	}
	m.keyNumber = gauge(NameKeyNumber, "Number of the cluster key that seals outgoing frames.").WithLabelValues()
	m.timer = gauge(NameTimer, "Timers in force.", "timer")
}

func (m *Metrics) members(gauge newGauge, counter newCounter) {
	m.state = gauge(NameMemberState, "State of each member as this one sees it: 1 for the state it is in, 0 for the others.",
		"member", "state")
	m.term = gauge(NameMemberTerm, "Term of each member's lease as last heard; 0 is none.", "member")
	m.serving = gauge(NameMemberServing, "Whether this member's gate is open, by bit (answer, forward).", "bit")
	for _, b := range []string{"answer", "forward"} {
		m.serving.WithLabelValues(b)
	}
	m.device = gauge(NameDeviceStatus, "Critical devices of this member: 1 for the status a device is in, 0 for the others.",
		"device", "status")
	m.monitor = gauge(NameMonitorStatus, "Monitors of this member: 1 for the status a monitor is in, 0 for the others.",
		"monitor", "type", "status")
	m.monitorTook = gauge(NameMonitorTook, "How long the last check of a monitor took.", "monitor")
	m.interfaceUp = gauge(NameInterfaceUp, "Whether an interface of this member is well: 1 up, 0 down.", "interface")
	m.silence = gauge(NameSilence, "Time since a peer's gate last answered a probe, by peer and interface.", "member", "interface")
	m.fence = gauge(NameFenceTerm, "Term of this member's fence, by group.", "group")
	m.cpu = gauge(NameCPU, "CPU use of each member's machine in its last second, by its own word.", "member")
	m.lateness = gauge(NameLateness, "Worst lateness of each member's last second, by its own word and by what was late.", "member", "measure")
	m.margin = gauge(NameMargin, "How much of what a timer bears is used up on each member, by what is measured: 1 is all of it.",
		"member", "timer", "measure")
	m.changes = counter(NameStateChanges, "State changes of this member, by state entered.", "state")
	for _, s := range States {
		m.changes.WithLabelValues(s)
	}
	m.failovers = counter(NameFailovers, "Hand-overs of the gateway to this member, by reason.", "reason")
	for _, r := range FailoverReasons {
		m.failovers.WithLabelValues(r)
	}
	m.history = gauge(NameHistory, "Whether this member's history gets to its disk: 1 yes, 0 no.").WithLabelValues()
	m.history.Set(1)
	m.conflicts = counter(NameConflicts, "Times that this member met another serving one.").WithLabelValues()
	m.pulseDeaths = counter(NamePulseRestarts, "Times that the pulse process had to be started again.").WithLabelValues()
}

func (m *Metrics) wire(reg prometheus.Registerer) {
	m.takeover = prometheus.NewHistogram(prometheus.HistogramOpts{Name: NameTakeover,
		Help:    "Time from the decision to serve to the open gate, on the member that took over.",
		Buckets: []float64{.0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5}})
	m.gap = prometheus.NewHistogram(prometheus.HistogramOpts{Name: NameGap,
		Help:    "Time without a serving member, as far as the member that took over knows.",
		Buckets: []float64{.001, .002, .005, .01, .015, .02, .025, .03, .035, .04, .05, .075, .1, .2, .5, 1, 2, 5, 10}})
	m.monitorChecks = newTotals(NameMonitorChecks, "Checks of monitors by result (good, bad).", "monitor", "result")
	m.frames = newTotals(NameCCPFrames, "CCP frames by type and direction.", "type", "direction")
	m.drops = newTotals(NameCCPDrops, "CCP frames that were dropped, by reason.", "reason")
	m.probes = newTotals(NameProbes, "Probes by peer, interface and result (sent, answered).", "member", "interface", "result")
	m.gate = newTotals(NameGateEvents, "Counters of the gate in the kernel.", "event")
	m.announced = newTotals(NameAnnouncements, "Announcement frames by kind.", "kind")
	m.renewals = newTotals(NameRenewals, "Renewals of this member's lease.")
	m.renewals.set(0)
	m.yields = newTotals(NameYieldsReceived, "YIELDs that this member's gate answered, by result.", "result")
	m.eventsDropped = newTotals(NameEventsDropped, "Events that slow followers of the control API missed.")
	m.eventsDropped.set(0)
	m.notifications = newTotals(NameNotifications, "Notifications by receiver and result (sent, dropped, failed: an attempt).", "sink", "result")
	m.rtt = newRTTs()
	m.renewalWorst = newWorst(NameRenewalWorst, "Worst delay of a lease renewal behind its schedule.")
	m.pulseWorst = newWorst(NamePulseWorst, "Worst lateness of the pulse process's wake-ups.")
	m.softirqWorst = newWorst(NameSoftirqWorst, "Worst delay of the softirqs that receive frames.")
	reg.MustRegister(m.takeover, m.gap, m.monitorChecks, m.frames, m.drops, m.probes, m.gate, m.announced, m.renewals, m.yields, m.eventsDropped, m.notifications,
		m.rtt, m.renewalWorst, m.pulseWorst, m.softirqWorst)
}
