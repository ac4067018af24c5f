// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"bytes"
	"context"
	"flag"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.uber.org/goleak"

	"github.com/holdfast-project/holdfast/internal/labtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write the golden files")

// busy has been through everything once.
func busy() *Metrics {
	m := New(Source{Cluster: "edge", Member: "gw-b", Version: "v1", Revision: "abc"})
	m.SetState("gw-a", "LOST")
	m.SetState("gw-b", "STANDBY")
	m.SetState("gw-b", "ACTIVE(P)")
	m.StateChanged("ACTIVE")
	m.SetTerm("gw-b", 8)
	m.SetServing(true, false)
	m.SetFence(0, 8)
	m.SetDevice("interfaces", "problem")
	m.SetDevice("gone", "ok")
	m.RemoveDevice("gone")
	m.SetInterface("outside", true)
	m.SetMonitor("bgpd", "process", "problem", 3*time.Millisecond)
	m.SetMonitorChecks("bgpd", 40, 2)
	m.SetMonitor("gone", "file", "ok", time.Millisecond)
	m.SetMonitorChecks("gone", 1, 0)
	m.RemoveMonitor("gone")
	m.SetSilence("gw-a", "outside", 250*time.Millisecond)
	m.Failover("silence")
	m.Takeover(400 * time.Microsecond)
	m.Gap(31 * time.Millisecond)
	m.Conflict()
	m.SetConfig([32]byte{1})
	m.SetConfig([32]byte{0xab, 0xcd})
	m.Reloaded(true)
	m.SetTimer("probe", 10*time.Millisecond)
	m.SetKeyNumber(2)
	m.PulseRestarted()
	m.SetFrames("hello", "in", 3)
	m.SetFrames("probe", "out", 1000)
	m.SetDrops("replay", 2)
	m.SetDrops("forged", 5)
	m.SetGateCounters(map[string]uint64{"arp-answered": 7, "frame-tag": 11})
	m.AddProbes("gw-a", "outside", 100, 97)
	bounds := []time.Duration{100 * time.Microsecond, time.Millisecond}
	m.AddRTT("gw-a", "outside", bounds, []uint64{5, 2, 1}, 3*time.Millisecond)
	m.AddRTT("gw-a", "outside", bounds, []uint64{1, 0, 0}, 50*time.Microsecond)
	m.AddRenewals(100, 2*time.Millisecond)
	m.AddRenewals(100, time.Millisecond)
	m.PulseLateness(3 * time.Millisecond)
	m.SoftirqDelay(50 * time.Microsecond)
	m.SetYields("granted", 1)
	m.SetLoad("gw-a", Load{CPU: .25, ProbeJitter: 300 * time.Microsecond, LeaseDelay: time.Millisecond, SoftirqDelay: 40 * time.Microsecond})
	m.SetMargin("gw-a", "probe", "probe-jitter", .03)
	m.SetLoad("gw-b", Load{CPU: 1})
	m.SetMargin("gw-b", "dead", "softirq-delay", 1.5)
	m.ForgetLoad("gw-b")
	m.SetAnnouncements("garp", 4)
	m.SetAnnouncements("na", 6)
	m.SetEventsDropped(9)
	m.SetNotifications("syslog udp://192.0.2.9:514", 11, 2, 5)
	m.SetNotifications("syslog udp://gone:514", 1, 0, 0)
	m.ForgetNotifications("syslog udp://gone:514")
	m.SetSync(Sync{Status: "at-risk", Role: "copy", Current: true, LagRecords: 12, Lag: 4 * time.Millisecond, Held: 3, Noted: 17, Unnoted: 2,
		Members:    map[string]SyncMember{"gw-b": {Entries: 1000}, "gw-a": {Entries: 1012, Compared: true, Unacked: 7, Lag: 2 * time.Millisecond, Evicted: true}},
		Interfaces: map[string]SyncInterface{"sync": {Up: true, SentBytes: 5, SentFrames: 1, ReceivedBytes: 4000, ReceivedFrames: 9}},
		FullSync:   SyncProgress{Running: true, Done: 400, Total: 1000},
		Counters: map[string]map[string]uint64{"risk": {"events-lost": 2, "batches-lost": 1, "evictions": 1, "differences": 3},
			"sent":     {"events": 50, "new": 20, "updates": 10, "deletes": 5, "batches": 4, "retransmitted": 2},
			"received": {"records": 900, "batches": 30, "duplicates": 6, "gaps": 1}, "applied": {"created": 700, "absent": 2},
			"reconciled": {"repairs": 1, "full-syncs": 1, "repaired": 400, "removed": 8, "served": 0, "dumps": 2},
			"queues":     {"records": 11, "inject-bytes": 13, "log-bytes": 4096, "log-bytes-limit": 1 << 20}, "refused-records": {"zone": 1},
			"dropped-frames": {"replay": 2}, "kernel-errors": {"EINVAL": 3}, "skipped-events": {"multicast": 4}}})
	m.SetSharing(Sharing{Term: 8, Moving: 12, Unassigned: 1, Blocking: true, Bytes: 4096,
		Members: map[string]SharingMember{"gw-a": {Weight: 70, Configured: 70, Share: .5, Measured: -1},
			"gw-b": {Leader: true, Open: true, Weight: 10, Configured: 30, Share: .25, Measured: .2}},
		Packets: map[string]uint64{"taken": 64, "passed": 7, "foreign": 0}})
	reachable := true
	m.SetPolicy(Policy{Highest: 43, Members: map[string]uint64{"gw-a": 41, "gw-b": 42}, Differing: 1, Created: time.Unix(1_772_582_400, 0), Since: time.Unix(1_772_582_460, 0),
		Drift: 2, BootFilter: false, Management: &reachable, Last: map[string]time.Duration{"prepare": 611 * time.Millisecond, "commit": 1250 * time.Microsecond},
		Counters: map[string]uint64{"installed": 3, "forged": 0}, Fetched: map[string]uint64{"gw-a": 1, "management": 2}})
	return m
}

// scrape returns what a scraper gets, without what differs from run to run.
func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.ServeListener(ctx, l) }()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	resp, err := client.Get("http://" + l.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	cancel()
	if serveErr := <-done; serveErr != nil {
		t.Error(serveErr)
	}
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %v", resp.Status, err)
	}
	return string(body)
}

// TestWholeSeries compares all series of a busy member with testdata/series.golden; -update writes it.
func TestWholeSeries(t *testing.T) {
	var got bytes.Buffer
	for line := range strings.Lines(scrape(t, busy())) {
		if strings.Contains(line, "holdfast_") {
			got.WriteString(strings.ReplaceAll(line, runtime.Version(), "GOVERSION"))
		}
	}
	const path = "testdata/series.golden"
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("got\n%s\nwant\n%s", got.Bytes(), want)
	}
}

func TestLint(t *testing.T) {
	problems, err := promlint.New(strings.NewReader(scrape(t, busy()))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestFreshSeries: what alerts count must be there before the first time, or the first time is not an increase.
func TestFreshSeries(t *testing.T) {
	text := scrape(t, New(Source{Cluster: "c", Member: "m"}))
	for _, name := range []string{NameFailovers + `{cluster="c",reason="silence",self="m"} 0`, NameConflicts + `{cluster="c",self="m"} 0`,
		NamePulseRestarts + `{cluster="c",self="m"} 0`, NameRenewals + `{cluster="c",self="m"} 0`, NameTakeover + `_count{cluster="c",self="m"} 0`} {
		if !strings.Contains(text, name) {
			t.Errorf("no %s", name)
		}
	}
}

func TestPivotIsNoState(t *testing.T) {
	for state, want := range map[string]string{"ACTIVE(P)": "ACTIVE", "ACTIVE(!P)": "ACTIVE(!)", "ACTIVE(!)": "ACTIVE(!)", "STANDBY": "STANDBY"} {
		if got := withoutPivot(state); got != want {
			t.Errorf("%s: %s, want %s", state, got, want)
		}
	}
}

// TestNilDiscards: tools and tests run without metrics.
func TestNilDiscards(t *testing.T) {
	var m *Metrics
	m.SetState("a", "ACTIVE")
	m.AddRTT("a", "b", nil, nil, 0)
	m.SetConfig([32]byte{})
	m.Failover("x")
	m.SetSharing(Sharing{})
	m.SetPolicy(Policy{})
}

func TestWorstForgetsAfterAMinute(t *testing.T) {
	m := New(Source{Cluster: "c", Member: "m"})
	m.PulseLateness(time.Second)
	for range worstReports {
		m.PulseLateness(time.Millisecond)
	}
	text := scrape(t, m)
	for _, want := range []string{`window="minute"} 0.001`, `window="start"} 1`} {
		if !strings.Contains(text, NamePulseWorst+`{cluster="c",self="m",`+want) {
			t.Errorf("no %s", want)
		}
	}
}

func TestAddressInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	err = New(Source{}).Serve(t.Context(), l.Addr().String())
	if err == nil || !strings.Contains(err.Error(), "metrics.listen") {
		t.Errorf("got %v", err)
	}
}

var seriesName = regexp.MustCompile(`holdfast_[a-z_]+`)

// TestDeployNamesExist: dashboards and alerts ask for series that there are.
func TestDeployNamesExist(t *testing.T) {
	text := scrape(t, busy())
	files, err := filepath.Glob("../../deploy/*/*")
	if err != nil || len(files) < 2 {
		t.Fatalf("%v %v", files, err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err == nil && info.IsDir() {
			continue
		}
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		names := slices.Compact(slices.Sorted(slices.Values(seriesName.FindAllString(string(data), -1))))
		for _, name := range names {
			if !strings.Contains(text, name) {
				t.Errorf("%s asks for %s, which a member does not have", f, name)
			}
		}
	}
}

// TestReferenceHasEverySeries holds docs/OPERATIONS.md to its word: it names all series of a member, and none that there are not.
func TestReferenceHasEverySeries(t *testing.T) {
	doc, err := os.ReadFile("../../docs/OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for line := range strings.Lines(scrape(t, busy())) {
		if name, ok := strings.CutPrefix(line, "# TYPE holdfast_"); ok {
			name, _, _ = strings.Cut(name, " ")
			there["holdfast_"+name] = true
		}
	}
	named := map[string]bool{}
	for _, name := range regexp.MustCompile("`(holdfast_[a-z_0-9]+)[{`]").FindAllStringSubmatch(string(doc), -1) {
		named[name[1]] = true
	}
	for name := range there {
		if !named[name] {
			t.Errorf("docs/OPERATIONS.md does not have %s", name)
		}
	}
	variable := regexp.MustCompile("^holdfast_(member|members|snat|published|vip|vips|dev|owns)") // definitions for rulesets are written likewise
	for name := range named {
		if !there[name] && !variable.MatchString(name) {
			t.Errorf("docs/OPERATIONS.md has %s, which a member does not", name)
		}
	}
}

// TestAlertRules runs promtool, Prometheus's own judge, over rules and their unit tests.
func TestAlertRules(t *testing.T) {
	labtest.Require(t, "promtool")
	for _, args := range [][]string{{"check", "rules", "alerts.yaml"}, {"test", "rules", "alerts_test.yaml"}} {
		cmd := exec.Command("promtool", args...)
		cmd.Dir = "../../deploy/prometheus"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

// TestEveryAlertFires: each rule has a test in which it fires, so that none is one that never does.
func TestEveryAlertFires(t *testing.T) {
	read := func(name string) string {
		data, err := os.ReadFile("../../deploy/prometheus/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	fired := map[string]bool{}
	for _, m := range regexp.MustCompile(`alertname: (\w+)\n\s+exp_alerts:\n\s+- exp_labels`).FindAllStringSubmatch(read("alerts_test.yaml"), -1) {
		fired[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(read("alerts.yaml"), -1) {
		if !fired[m[1]] {
			t.Errorf("no test of alerts_test.yaml has %s fire", m[1])
		}
	}
}

// TestDeployLooksAtAll: what a member measures is on the dashboard or in a rule.
func TestDeployLooksAtAll(t *testing.T) {
	var seen []byte
	for _, f := range []string{"../../deploy/grafana/holdfast.json", "../../deploy/prometheus/alerts.yaml"} {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, data...)
	}
	// These are for whoever asks a question of their own.
	private := []string{NameConfigReloads, NameFenceTerm, NameKeyNumber, NameMemberTerm, NameRenewals, NameStateChanges, NameYieldsReceived}
	for _, line := range strings.Split(scrape(t, busy()), "\n") {
		name, ok := strings.CutPrefix(line, "# TYPE holdfast_")
		if name, _, _ = strings.Cut("holdfast_"+name, " "); !ok || slices.Contains(private, name) {
			continue
		}
		if !bytes.Contains(seen, []byte(name)) {
			t.Errorf("neither dashboard nor alerts look at %s", name)
		}
	}
}
