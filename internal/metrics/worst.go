// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// worstReports is how many reports "the last minute" has: the pulse reports once a second.
const worstReports = 60

// worst exports the largest of the last minute's reports and of all reports, as one gauge with a label. A histogram would hide the
// single late one, which is the one that matters. Safe for concurrent use.
type worst struct {
	desc *prometheus.Desc
	mu   sync.Mutex
	ring [worstReports]time.Duration
	next int
	ever time.Duration
}

func newWorst(name, help string) *worst {
	return &worst{desc: prometheus.NewDesc(name, help+" Over the last minute and since the daemon's start.", []string{"window"}, nil)}
}

func (w *worst) report(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ring[w.next] = d
	w.next = (w.next + 1) % worstReports
	w.ever = max(w.ever, d)
}

// Describe implements prometheus.Collector.
func (w *worst) Describe(ch chan<- *prometheus.Desc) { ch <- w.desc }

// Collect implements prometheus.Collector.
func (w *worst) Collect(ch chan<- prometheus.Metric) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var minute time.Duration
	for _, d := range w.ring {
		minute = max(minute, d)
	}
	ch <- prometheus.MustNewConstMetric(w.desc, prometheus.GaugeValue, minute.Seconds(), "minute")
	ch <- prometheus.MustNewConstMetric(w.desc, prometheus.GaugeValue, w.ever.Seconds(), "start")
}
