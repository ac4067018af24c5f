// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// totals is a counter vector whose values may come as increments (add) or as absolute readings of a counter that lives elsewhere
// (set), such as one in a BPF map. prometheus.CounterVec knows increments only. Safe for concurrent use.
type totals struct {
	desc *prometheus.Desc
	mu   sync.Mutex
	rows map[string]*total
}

type total struct {
	labels []string
	value  uint64
}

func newTotals(name, help string, labels ...string) *totals {
	return &totals{desc: prometheus.NewDesc(name, help, labels, nil), rows: make(map[string]*total)}
}

func (t *totals) row(labels []string) *total {
	key := strings.Join(labels, "\x00")
	r, ok := t.rows[key]
	if !ok {
		r = &total{labels: append([]string(nil), labels...)}
		t.rows[key] = r
	}
	return r
}

func (t *totals) add(n uint64, labels ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.row(labels).value += n
}

// set takes an absolute reading. A reading below the last one is a counter that started again, which Prometheus understands.
func (t *totals) set(v uint64, labels ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.row(labels).value = v
}

// remove forgets all rows with a first label.
func (t *totals) remove(first string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, r := range t.rows {
		if r.labels[0] == first {
			delete(t.rows, key)
		}
	}
}

// Describe implements prometheus.Collector.
func (t *totals) Describe(ch chan<- *prometheus.Desc) { ch <- t.desc }

// Collect implements prometheus.Collector.
func (t *totals) Collect(ch chan<- prometheus.Metric) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.rows {
		ch <- prometheus.MustNewConstMetric(t.desc, prometheus.CounterValue, float64(r.value), r.labels...)
	}
}
