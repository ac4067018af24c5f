// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/internal/labtest"
)

// TestRealPrometheus lets Debian's Prometheus scrape a member, with our alert rules loaded, and asks it what it got.
func TestRealPrometheus(t *testing.T) {
	labtest.Require(t, "prometheus")
	member, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	served := make(chan error, 1)
	go func() { served <- busy().ServeListener(ctx, member) }()
	rules, err := filepath.Abs("../../deploy/prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("global: {scrape_interval: 200ms, scrape_timeout: 200ms}\nrule_files: [%q]\nscrape_configs:\n"+
		"  - {job_name: holdfast, static_configs: [{targets: [%q]}]}\n", rules, member.Addr())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	listen := freeAddress(t)
	cmd := exec.CommandContext(ctx, "prometheus", "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+listen)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = cmd.Wait() // it is killed
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	await(ctx, t, listen, `up{job="holdfast"}`, "1")
	await(ctx, t, listen, `holdfast_member_state{member="gw-b",state="ACTIVE",self="gw-b",cluster="edge"}`, "1")
	await(ctx, t, listen, `round(1e6 * histogram_quantile(0.5, holdfast_probe_rtt_seconds_bucket{member="gw-a"}))`, "75")
	await(ctx, t, listen, `count({__name__=~"holdfast_.*"}) > bool 50`, "1")
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// await asks Prometheus until the query has the value.
func await(ctx context.Context, t *testing.T, address, query, want string) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		got, err := ask(ctx, address, query)
		if err == nil && got == want {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s is %q (%v), want %s", query, got, err, want)
		case <-tick.C:
		}
	}
}

func ask(ctx context.Context, address, query string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/api/v1/query?query="+url.QueryEscape(query), nil)
	if err != nil {
		return "", err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct {
		Data struct {
			Result []struct {
				Value [2]any
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || len(answer.Data.Result) != 1 {
		return "", err
	}
	return fmt.Sprint(answer.Data.Result[0].Value[1]), nil
}
