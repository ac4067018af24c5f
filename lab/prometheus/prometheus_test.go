// SPDX-License-Identifier: Apache-2.0

package prometheus_test

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	client "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/lab/netns"
	"github.com/holdfast-project/holdfast/lab/prometheus"
)

func TestARealPrometheusScrapes(t *testing.T) {
	labtest.Require(t, "prometheus")
	ns, err := netns.New("prometheus")
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	target := serve(t, ns)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	s, err := prometheus.Start(ctx, prometheus.Config{
		Start: func(cmd *exec.Cmd) error { return netns.Start(netns.Place{Net: ns}, cmd) },
		In:    ns.Do, Dir: t.TempDir(), Targets: []netip.AddrPort{target, netip.MustParseAddrPort("127.0.0.1:1")},
	})
	if err != nil {
		t.Fatal(err)
	}
	samples, err := s.Await(ctx, `holdfast_term{group="gateway"}`, func(s []prometheus.Sample) bool { return len(s) == 1 })
	if err != nil {
		t.Error(err)
	} else if samples[0].Value != 42 || samples[0].Labels["instance"] != target.String() {
		t.Errorf("%+v, want 42 from %s", samples, target)
	}
	if _, err := s.Await(ctx, "up == 0", func(s []prometheus.Sample) bool { return len(s) == 1 }); err != nil {
		t.Error(err)
	}
	targets, err := s.Targets(ctx)
	if err != nil || len(targets) != 2 || targets[target.String()] != "" || targets["127.0.0.1:1"] == "" {
		t.Errorf("targets %v, %v", targets, err)
	}
	if _, err := s.Query(ctx, "not a query"); err == nil {
		t.Error("a wrong query is no error")
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat("/proc/" + strconv.Itoa(s.PID())); err == nil {
		t.Error("it still runs")
	}
}

// serve answers scrapes in the namespace.
func serve(t *testing.T, ns *netns.NS) netip.AddrPort {
	t.Helper()
	term := client.NewGaugeVec(client.GaugeOpts{Name: "holdfast_term", Help: "Term."}, []string{"group"})
	term.WithLabelValues("gateway").Set(42)
	registry := client.NewRegistry()
	registry.MustRegister(term)
	var l net.Listener
	err := ns.Do(func() (err error) {
		l, err = net.Listen("tcp", "127.0.0.1:0")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: promhttp.HandlerFor(registry, promhttp.HandlerOpts{})}
	go srv.Serve(l) //nolint:errcheck // ends with Close
	t.Cleanup(func() { _ = srv.Close() })
	return netip.MustParseAddrPort(l.Addr().String())
}
