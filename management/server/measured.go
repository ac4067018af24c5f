// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/holdfast-project/holdfast/management/api"
)

// measured counts what the server does. docs/MANAGEMENT.md lists the names.
type measured struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	took     *prometheus.HistogramVec
	done     map[*route]answeredRoute // of the table: what most requests end as
}

// answeredRoute counts requests of one route that were carried out.
type answeredRoute struct {
	requests prometheus.Counter
	took     prometheus.Observer
}

func newMeasured(version string) *measured {
	m := &measured{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "holdfast_mgmt_requests_total",
			Help: "Requests by route and error code; the code is empty for success."}, []string{"route", "error"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "holdfast_mgmt_request_seconds",
			Help: "Time of requests, reports and installs with the time that they are held.", Buckets: []float64{.001, .005, .025, .1, .5, 1, 2, 10, 60}}, []string{"route"}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "holdfast_mgmt_info", Help: "Always 1; its label says which build this is.",
		ConstLabels: prometheus.Labels{"version": version}})
	info.Set(1)
	m.done = make(map[*route]answeredRoute, len(table))
	for i := range table {
		r := &table[i]
		m.done[r] = answeredRoute{m.requests.WithLabelValues(r.name(), ""), m.took.WithLabelValues(r.name())}
	}
	m.registry.MustRegister(m.requests, m.took, info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *measured) request(r *route, code api.Code, took time.Duration) {
	if d, ok := m.done[r]; ok && code == "" {
		d.requests.Inc()
		d.took.Observe(took.Seconds())
		return
	}
	m.requests.WithLabelValues(r.name(), string(code)).Inc()
	m.took.WithLabelValues(r.name()).Observe(took.Seconds())
}

// name is the route's in metrics.
func (r *route) name() string {
	if r.method == "" {
		return r.path
	}
	return r.method + " " + r.path
}

func (m *measured) handler(s *Server) http.Handler {
	all := prometheus.Gatherers{m.registry, gathered(s)}
	return promhttp.HandlerFor(all, promhttp.HandlerOpts{MaxRequestsInFlight: heavyAtOnce})
}

// gathered asks the coordinator and the records when somebody asks for metrics.
func gathered(s *Server) prometheus.Gatherer {
	r := prometheus.NewRegistry()
	r.MustRegister(state{s})
	return r
}

type state struct{ s *Server }

var (
	clustersDesc = prometheus.NewDesc("holdfast_mgmt_clusters", "Clusters that management knows.", nil, nil)
	membersDesc  = prometheus.NewDesc("holdfast_mgmt_members", "Members of all clusters, and those that report to this server.", []string{"which"}, nil)
	runningDesc  = prometheus.NewDesc("holdfast_mgmt_installs_running", "Installs that this server runs.", nil, nil)
	reportsDesc  = prometheus.NewDesc("holdfast_mgmt_reports_total", "Reports of members.", nil, nil)
	auditDesc    = prometheus.NewDesc("holdfast_mgmt_audit_entries", "Entries of the audit log.", nil, nil)
	storeDesc    = prometheus.NewDesc("holdfast_mgmt_store_up", "1 if the store answers.", nil, nil)
	ownDesc      = prometheus.NewDesc("holdfast_mgmt_certificate_expires_seconds", "When this server's certificate ends, in seconds since 1970.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c state) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c state) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	stats := c.s.o.Coordinator.Stats()
	gauge(clustersDesc, float64(stats.Clusters))
	gauge(membersDesc, float64(stats.Members), "all")
	gauge(membersDesc, float64(stats.There), "here")
	gauge(runningDesc, float64(stats.Running))
	ch <- prometheus.MustNewConstMetric(reportsDesc, prometheus.CounterValue, float64(stats.Reports))
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if head, err := c.s.o.Records.AuditHead(ctx); err == nil {
		gauge(storeDesc, 1)
		gauge(auditDesc, float64(head.Number))
	} else {
		gauge(storeDesc, 0)
	}
	c.s.own.mu.Lock()
	defer c.s.own.mu.Unlock()
	if !c.s.own.shown.NotAfter.IsZero() {
		gauge(ownDesc, float64(c.s.own.shown.NotAfter.Unix()))
	}
}
