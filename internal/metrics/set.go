// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"encoding/hex"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// SetState says which of States member is in, as this member sees it.
func (m *Metrics) SetState(member, state string) {
	if m == nil {
		return
	}
	oneHot(m.state, member, withoutPivot(state), States)
}

// StateChanged counts that this member entered state.
func (m *Metrics) StateChanged(state string) {
	if m == nil {
		return
	}
	m.changes.WithLabelValues(withoutPivot(state)).Inc()
}

// SetTerm sets the term of member's lease.
func (m *Metrics) SetTerm(member string, term uint32) {
	if m == nil {
		return
	}
	m.term.WithLabelValues(member).Set(float64(term))
}

// SetServing sets this member's serving bits.
func (m *Metrics) SetServing(answer, forward bool) {
	if m == nil {
		return
	}
	m.serving.WithLabelValues("answer").Set(oneIf(answer))
	m.serving.WithLabelValues("forward").Set(oneIf(forward))
}

// SetFence sets the fence's term of a VIP group.
func (m *Metrics) SetFence(group uint8, term uint32) {
	if m == nil {
		return
	}
	m.fence.WithLabelValues(strconv.Itoa(int(group))).Set(float64(term))
}

// SetDevice sets a critical device's status: ok, init or problem.
func (m *Metrics) SetDevice(device, status string) {
	if m == nil {
		return
	}
	oneHot(m.device, device, status, statuses)
}

// RemoveDevice forgets a device that was unregistered.
func (m *Metrics) RemoveDevice(device string) {
	if m == nil {
		return
	}
	m.device.DeletePartialMatch(prometheus.Labels{"device": device})
}

// SetMonitor sets a monitor's type, its status (ok, init or problem) and how long its last check took.
func (m *Metrics) SetMonitor(monitor, kind, status string, took time.Duration) {
	if m == nil {
		return
	}
	for _, s := range statuses {
		m.monitor.WithLabelValues(monitor, kind, s).Set(oneIf(s == status))
	}
	m.monitorTook.WithLabelValues(monitor).Set(took.Seconds())
}

// SetMonitorChecks sets how many of a monitor's checks found all well, and how many did not.
func (m *Metrics) SetMonitorChecks(monitor string, good, bad uint64) {
	if m == nil {
		return
	}
	m.monitorChecks.set(good, monitor, "good")
	m.monitorChecks.set(bad, monitor, "bad")
}

// RemoveMonitor forgets a monitor that is no more.
func (m *Metrics) RemoveMonitor(monitor string) {
	if m == nil {
		return
	}
	m.monitor.DeletePartialMatch(prometheus.Labels{"monitor": monitor})
	m.monitorTook.DeleteLabelValues(monitor)
	m.monitorChecks.remove(monitor)
}

// SetInterface says whether an interface is well.
func (m *Metrics) SetInterface(iface string, up bool) {
	if m == nil {
		return
	}
	m.interfaceUp.WithLabelValues(iface).Set(oneIf(up))
}

// SetSilence sets how long a peer has not answered on an interface.
func (m *Metrics) SetSilence(member, iface string, d time.Duration) {
	if m == nil {
		return
	}
	m.silence.WithLabelValues(member, iface).Set(d.Seconds())
}

// HistoryWritable reports whether the history gets to the disk.
func (m *Metrics) HistoryWritable(writable bool) {
	if m == nil {
		return
	}
	m.history.Set(oneIf(writable))
}

// Failover counts a hand-over to this member: each must be counted once in a cluster. Reasons other than FailoverReasons make a new series: keep them few.
func (m *Metrics) Failover(reason string) {
	if m == nil {
		return
	}
	m.failovers.WithLabelValues(reason).Inc()
}

// Takeover records how long this member needed from its decision to the open gate.
func (m *Metrics) Takeover(d time.Duration) {
	if m == nil {
		return
	}
	m.takeover.Observe(d.Seconds())
}

// Gap records how long nobody served before this member did.
func (m *Metrics) Gap(d time.Duration) {
	if m == nil {
		return
	}
	m.gap.Observe(d.Seconds())
}

// Conflict counts that this member met another serving one.
func (m *Metrics) Conflict() {
	if m == nil {
		return
	}
	m.conflicts.Inc()
}

// SetConfig replaces the exported digest of the configuration.
func (m *Metrics) SetConfig(digest [32]byte) {
	if m == nil {
		return
	}
	m.configInfo.Reset()
	m.configInfo.WithLabelValues(hex.EncodeToString(digest[:8])).Set(1)
}

// Reloaded counts a reload.
func (m *Metrics) Reloaded(applied bool) {
	if m == nil {
		return
	}
	result := "refused"
	if applied {
		result = "applied"
	}
	m.reloads.WithLabelValues(result).Inc()
}

// SetTimer exports a timer in force under its name of cluster.yaml.
func (m *Metrics) SetTimer(name string, d time.Duration) {
	if m == nil {
		return
	}
	m.timer.WithLabelValues(name).Set(d.Seconds())
}

// SetKeyNumber says which key seals outgoing frames.
func (m *Metrics) SetKeyNumber(n uint8) {
	if m == nil {
		return
	}
	m.keyNumber.Set(float64(n))
}

// PulseRestarted counts a pulse process that had to be started again.
func (m *Metrics) PulseRestarted() {
	if m == nil {
		return
	}
	m.pulseDeaths.Inc()
}

func oneHot(v *prometheus.GaugeVec, who, which string, all []string) {
	for _, s := range all {
		v.WithLabelValues(who, s).Set(oneIf(s == which))
	}
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
