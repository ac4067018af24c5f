// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-project/holdfast/internal/build"
	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/control/controltest"
)

func TestMain(m *testing.M) {
	build.Version = "v1.0" // whatever the linker says
	goleak.VerifyTestMain(m)
}

var update = flag.Bool("update", false, "write the golden files")

// invoke runs one command line as main would and returns what it printed and its exit code.
func invoke(ctx context.Context, t *testing.T, socket string, terminal bool, args ...string) (out, errs string, code int) {
	t.Helper()
	var o, e bytes.Buffer
	env := environment{out: &o, err: &e, zone: time.UTC, terminal: terminal, now: func() time.Time { return noon },
		getenv: func(k string) string {
			if k == "HOLDFAST_SOCKET" {
				return socket
			}
			return ""
		}}
	code = run(ctx, args, env)
	return o.String(), e.String(), code
}

// TestGolden compares whole outputs. If it fails, run it with -update and look at the difference before committing.
func TestGolden(t *testing.T) {
	socket, events := controltest.Serve(t, edge())
	events.Publish(control.Event{Time: before(4 * time.Minute), Code: "peer-lost", Severity: "warning", Member: "gw-a", Reason: "silent on all interfaces"})
	events.Publish(control.Event{Time: before(3 * time.Minute), Code: "active", Severity: "info", Member: "gw-b", From: "STANDBY", To: "ACTIVE", Term: 8, GapMs: 31.5, Reason: "silence"})
	events.Publish(control.Event{Time: before(time.Minute), Code: "link-down", Number: 403, Severity: "error", Member: "gw-b", Interface: "inside", Reason: "not heard by gw-c"})
	compareGolden(t, socket, []goldenCase{
		{"state", false, 0, "holdfast state"},
		{"state-terminal", true, 0, "holdfast state"},
		{"state-json", false, 0, "holdfast state -o json"},
		{"interfaces", false, 0, "holdfast interfaces"},
		{"interfaces-terminal", true, 0, "holdfast interfaces --no-color"},
		{"devices-terminal", true, 0, "holdfast devices --no-color"},
		{"history-terminal", true, 0, "holdfast history --no-color"},
		{"timers-terminal", true, 0, "holdfast timers --no-color"},
		{"why-terminal", true, 0, "holdfast why --no-color"},
		{"devices", false, 0, "holdfast devices"},
		{"devices-all", false, 0, "holdfast devices --all"},
		{"devices-problems", false, 0, "holdfast devices --problems"},
		{"devices-json", false, 0, "holdfast devices -o json"},
		{"vips", false, 0, "holdfast vips"},
		{"failover-history", false, 0, "holdfast failover history"},
		{"failover-history-since", false, 0, "holdfast failover history --since 24h"},
		{"history", false, 0, "holdfast history"},
		{"history-last", false, 0, "holdfast history --since 2026-03-04 --last 1"},
		{"failover-history-json", false, 0, "holdfast failover history -o json"},
		{"reload-json", false, 1, "holdfast reload -o json"},
		{"freeze-json", false, 0, "holdfast freeze -o json"},
		{"timers", false, 0, "holdfast timers"},
		{"why", false, 0, "holdfast why"},
		{"why-json", false, 0, "holdfast why -o json"},
		{"why-peer", false, 0, "holdfast why gw-c"},
		{"why-peer-json", false, 0, "holdfast why gw-c -o json"},
		{"why-self", false, 0, "holdfast why gw-b"},
		{"version", false, 0, "holdfast version"},
		{"version-json", false, 0, "holdfast version -o json"},
		{"interfaces-json", false, 0, "holdfast interfaces -o json"},
		{"vips-json", false, 0, "holdfast vips -o json"},
		{"timers-json", false, 0, "holdfast timers -o json"},
		{"counters-json", false, 0, "holdfast counters -o json"},
		{"counters", false, 0, "holdfast counters"},
		{"counters-all", false, 0, "holdfast counters --all"},
		{"events", false, 0, "holdfast events"},
		{"events-json", false, 0, "holdfast events --since 2 -o json"},
		{"reload", false, 1, "holdfast reload"},
		{"sync", false, 0, "holdfast sync"},
		{"sync", false, 0, "holdfast sync status"},
		{"sync-terminal", true, 0, "holdfast sync status"},
		{"sync-json", false, 0, "holdfast sync status -o json"},
		{"sync-stats", false, 0, "holdfast sync stats"},
		{"sync-stats-json", false, 0, "holdfast sync stats -o json"},
		{"sync-verify", false, 1, "holdfast sync verify"},
		{"sync-verify-json", false, 1, "holdfast sync verify gw-a -o json"},
		{"cphaprob-syncstat", false, 0, "cphaprob syncstat"},
		{"cphaprob-state", false, 0, "/usr/sbin/cphaprob state"},
		{"cphaprob-if", false, 0, "cphaprob if"},
		{"cphaprob-a-if", false, 0, "cphaprob -a if"},
		{"cphaprob-list", false, 0, "cphaprob list"},
		{"cphaprob-l-list", false, 0, "holdfast cphaprob -l list"},
		{"cphaprob-i-list", false, 0, "cphaprob -i list"},
		{"cphaprob-ia-list", false, 0, "cphaprob -ia list"},
		{"cphaprob-e-list", false, 0, "cphaprob -e list"},
		{"cphaprob-help", false, 0, "cphaprob help"},
		{"cphaprob-show_failover", false, 0, "cphaprob show_failover"},
	})
}

// goldenCase is a command line whose whole output is in testdata.
type goldenCase struct {
	golden   string
	terminal bool
	code     int
	args     string
}

func compareGolden(t *testing.T, socket string, cases []goldenCase) {
	t.Helper()
	for _, k := range cases {
		t.Run(k.golden, func(t *testing.T) {
			got, errs, code := invoke(t.Context(), t, socket, k.terminal, strings.Fields(k.args)...)
			if code != k.code || errs != "" {
				t.Errorf("%s: exit code %d, want %d; %s", k.args, code, k.code, errs)
			}
			path := filepath.Join("testdata", k.golden+".golden")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if strings.Contains(k.args, "-o json") {
				var v any
				if err := json.NewDecoder(strings.NewReader(got)).Decode(&v); err != nil {
					t.Errorf("%s: not JSON: %v", k.args, err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s:\n%s\nwant:\n%s", k.args, got, want)
			}
		})
	}
}
