// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// rtts collects the histograms that the pulse process counts and sends once a second. A prometheus.HistogramVec cannot take whole
// histograms. Safe for concurrent use.
type rtts struct {
	desc *prometheus.Desc
	mu   sync.Mutex
	rows map[[2]string]*histogram
}

type histogram struct {
	bounds []time.Duration
	counts []uint64 // per bucket, not cumulative; one more than bounds
	sum    time.Duration
}

func newRTTs() *rtts {
	return &rtts{
		desc: prometheus.NewDesc(NameProbeRTT, "Round-trip time of answered probes, by peer and interface.",
			[]string{"member", "interface"}, nil),
		rows: make(map[[2]string]*histogram),
	}
}

// add accumulates. Other bounds than before start the series again; counts beyond len(bounds)+1 are put into the last bucket.
func (r *rtts) add(member, iface string, bounds []time.Duration, counts []uint64, sum time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := [2]string{member, iface}
	h, ok := r.rows[key]
	if !ok || !slices.Equal(h.bounds, bounds) {
		h = &histogram{bounds: slices.Clone(bounds), counts: make([]uint64, len(bounds)+1)}
		r.rows[key] = h
	}
	for i, n := range counts {
		h.counts[min(i, len(bounds))] += n
	}
	h.sum += sum
}

// Describe implements prometheus.Collector.
func (r *rtts) Describe(ch chan<- *prometheus.Desc) { ch <- r.desc }

// Collect implements prometheus.Collector.
func (r *rtts) Collect(ch chan<- prometheus.Metric) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, h := range r.rows {
		buckets := make(map[float64]uint64, len(h.bounds))
		var n uint64
		for i, b := range h.bounds {
			n += h.counts[i]
			buckets[b.Seconds()] = n
		}
		n += h.counts[len(h.bounds)]
		ch <- prometheus.MustNewConstHistogram(r.desc, n, h.sum.Seconds(), buckets, key[0], key[1])
	}
}
