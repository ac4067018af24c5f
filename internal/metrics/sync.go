// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Sync is what a member shows of state synchronisation.
type Sync struct {
	Status     string // of syncStatuses
	Role       string // of syncRoles
	Current    bool
	LagRecords uint64
	Lag        time.Duration
	Held       int
	Noted      int    // translated connections that the gate has a note of
	Unnoted    uint64 // those that it did not take
	RecordRate float64
	InjectRate float64
	Members    map[string]SyncMember // by name, this one too
	Interfaces map[string]SyncInterface
	FullSync   SyncProgress
	// Counters are by group and name, as the control API shows them.
	Counters map[string]map[string]uint64
}

// SyncMember is one member's table.
type SyncMember struct {
	Entries        uint64
	Compared       bool // else nothing is said of Equal
	Equal, Evicted bool
	Unacked        uint64
	Lag            time.Duration
}

// SyncInterface is an interface that carries synchronisation.
type SyncInterface struct {
	Up                                                   bool
	SentBytes, SentFrames, ReceivedBytes, ReceivedFrames uint64
}

// SyncProgress is that of the full sync or repair that this member receives.
type SyncProgress struct {
	Running     bool
	Done, Total uint64
}

// Values of the labels "status" and "role".
var (
	syncStatuses = []string{"OK", "at-risk", "off"}
	syncRoles    = []string{"owner", "copy", "off"}
)

// syncSeries are the series of state synchronisation.
type syncSeries struct {
	status, role, entries, equal, evicted, unacked, peerLag, up *prometheus.GaugeVec
	current, lagRecords, lag, held, running, done, total        prometheus.Gauge
	queue, inject, noted                                        prometheus.Gauge
	bytes                                                       *prometheus.GaugeVec

	events, skipped, lost, records, batches, received, applied *totals
	refused, dropped, errors, reconciled, traffic, frames      *totals
	evictions, unnoted                                         *totals
}

func (m *Metrics) synchronisation(gauge newGauge, reg prometheus.Registerer) {
	s := &m.sync
	one := func(name, help string) prometheus.Gauge { return gauge(name, help).WithLabelValues() }
	s.status = gauge(NameSyncStatus, "State synchronisation as this member sees it: 1 for the status it is in, 0 for the others.", "status")
	s.role = gauge(NameSyncRole, "What this member's connection table is: 1 for its role, 0 for the others.", "role")
	s.current = one(NameSyncCurrent, "Whether this member's connection table is fit to serve with.")
	s.entries = gauge(NameSyncEntries, "Connections that are synchronised, on each member by its own word.", "member")
	s.equal = gauge(NameSyncEqual, "Whether the last comparison with a member found the tables equal; only for members that were compared.", "member")
	s.evicted = gauge(NameSyncEvicted, "Whether a member is too slow to be waited for.", "member")
	s.unacked = gauge(NameSyncUnacked, "Records that a member has not acknowledged yet.", "member")
	s.peerLag = gauge(NameSyncUnackedAge, "Age of the oldest record that a member has not acknowledged yet.", "member")
	s.lagRecords = one(NameSyncLagRecords, "Records that are known to be sent to this member and are not in its kernel yet.")
	s.lag = one(NameSyncLag, "How far this member is behind the owner.")
	s.held = one(NameSyncHeld, "New connections that wait for the delay of their service.")
	s.noted = one(NameSyncNoted, "Translated connections, neither TCP nor UDP, of which the gate has noted how their answers come in.")
	s.running = one(NameSyncFullRunning, "Whether this member receives a full sync or a repair.")
	s.done = one(NameSyncFullDone, "Records that have come in of it.")
	s.total = one(NameSyncFullTotal, "Records that it has, about.")
	s.up = gauge(NameSyncInterfaceUp, "Whether an interface carries state synchronisation.", "interface")
	s.queue = one(NameSyncQueue, "Records that wait to be sent.")
	s.inject = one(NameSyncInject, "Bytes of records that wait for the kernel.")
	s.bytes = gauge(NameSyncLog, "Bytes kept for retransmission, and how many may be (used, limit).", "bytes")

	s.events = newTotals(NameSyncEvents, "Events of the kernel's connection tracking that were read.")
	s.skipped = newTotals(NameSyncSkipped, "Events that are not synchronised, by reason.", "reason")
	s.lost = newTotals(NameSyncEventsLost, "Times that the kernel said it had lost events.")
	s.records = newTotals(NameSyncRecords, "Records that this member put into its stream, by what they say (new, update, delete).", "kind")
	s.batches = newTotals(NameSyncBatches, "Batches by what became of them (sent, retransmitted, received, duplicate, lost), and gaps.", "what")
	s.received = newTotals(NameSyncReceived, "Records that came in.")
	s.applied = newTotals(NameSyncApplied, "Records put into the kernel by result (created, updated, deleted, absent).", "result")
	s.refused = newTotals(NameSyncRefused, "Records from other members that were refused, by reason.", "reason")
	s.dropped = newTotals(NameSyncDropped, "Frames of state synchronisation that were dropped, by reason.", "reason")
	s.errors = newTotals(NameSyncErrors, "Records that the kernel refused, by errno.", "errno")
	s.reconciled = newTotals(NameSyncReconciled, "What reconciliation did (differences, repairs, full-syncs, repaired, removed, served, dumps).", "what")
	s.traffic = newTotals(NameSyncBytes, "Bytes of state synchronisation by interface and direction.", "interface", "direction")
	s.frames = newTotals(NameSyncFrames, "Frames of state synchronisation by interface and direction.", "interface", "direction")
	s.evictions = newTotals(NameSyncEvictions, "Times that a member was too slow to be waited for.")
	s.unnoted = newTotals(NameSyncUnnoted, "Notes of such connections that the gate did not take: it has room for 65536.")
	reg.MustRegister(s.unnoted, s.events, s.skipped, s.lost, s.records, s.batches, s.received, s.applied, s.refused, s.dropped, s.errors, s.reconciled,
		s.traffic, s.frames, s.evictions)
}

// SetSync shows how state synchronisation is.
func (m *Metrics) SetSync(v Sync) {
	if m == nil {
		return
	}
	s := &m.sync
	for _, status := range syncStatuses {
		s.status.WithLabelValues(status).Set(oneIf(status == v.Status))
	}
	for _, role := range syncRoles {
		s.role.WithLabelValues(role).Set(oneIf(role == v.Role))
	}
	for name, t := range v.Members {
		s.entries.WithLabelValues(name).Set(float64(t.Entries))
		if t.Compared {
			s.equal.WithLabelValues(name).Set(oneIf(t.Equal))
		} else {
			s.equal.DeleteLabelValues(name)
		}
		s.evicted.WithLabelValues(name).Set(oneIf(t.Evicted))
		s.unacked.WithLabelValues(name).Set(float64(t.Unacked))
		s.peerLag.WithLabelValues(name).Set(t.Lag.Seconds())
	}
	for name, i := range v.Interfaces {
		s.up.WithLabelValues(name).Set(oneIf(i.Up))
		s.traffic.set(i.SentBytes, name, "out")
		s.traffic.set(i.ReceivedBytes, name, "in")
		s.frames.set(i.SentFrames, name, "out")
		s.frames.set(i.ReceivedFrames, name, "in")
	}
	s.current.Set(oneIf(v.Current))
	s.lagRecords.Set(float64(v.LagRecords))
	s.lag.Set(v.Lag.Seconds())
	s.held.Set(float64(v.Held))
	s.noted.Set(float64(v.Noted))
	s.unnoted.set(v.Unnoted)
	s.running.Set(oneIf(v.FullSync.Running))
	s.done.Set(float64(v.FullSync.Done))
	s.total.Set(float64(v.FullSync.Total))
	s.count(v.Counters)
}

// count shows the counters.
func (s *syncSeries) count(c map[string]map[string]uint64) {
	s.queue.Set(float64(c["queues"]["records"]))
	s.inject.Set(float64(c["queues"]["inject-bytes"]))
	s.bytes.WithLabelValues("used").Set(float64(c["queues"]["log-bytes"]))
	s.bytes.WithLabelValues("limit").Set(float64(c["queues"]["log-bytes-limit"]))
	s.events.set(c["sent"]["events"])
	s.lost.set(c["risk"]["events-lost"])
	s.evictions.set(c["risk"]["evictions"])
	s.received.set(c["received"]["records"])
	for kind, name := range map[string]string{"new": "new", "update": "updates", "delete": "deletes"} {
		s.records.set(c["sent"][name], kind)
	}
	s.batches.set(c["sent"]["batches"], "sent")
	s.batches.set(c["sent"]["retransmitted"], "retransmitted")
	s.batches.set(c["received"]["batches"], "received")
	s.batches.set(c["received"]["duplicates"], "duplicate")
	s.batches.set(c["risk"]["batches-lost"], "lost")
	s.batches.set(c["received"]["gaps"], "gap")
	for result, v := range c["applied"] {
		s.applied.set(v, result)
	}
	s.reconciled.set(c["risk"]["differences"], "differences")
	for _, what := range []string{"repairs", "full-syncs", "repaired", "removed", "served", "dumps"} {
		s.reconciled.set(c["reconciled"][what], what)
	}
	for group, to := range map[string]*totals{"refused-records": s.refused, "dropped-frames": s.dropped, "kernel-errors": s.errors, "skipped-events": s.skipped} {
		for reason, v := range c[group] {
			to.set(v, reason)
		}
	}
}
