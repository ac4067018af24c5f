// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/policy/ruleset"
)

// TestPolicy installs a small policy on a cluster by a management server, and loads it with nft.
func TestPolicy(t *testing.T) {
	labtest.Require(t, "nft")
	programs := t.TempDir()
	build := exec.Command("go", "build", "-o", programs+"/", "github.com/holdfast-project/holdfast/cmd/holdfastd",
		"github.com/holdfast-project/holdfast/cmd/holdfast", "github.com/holdfast-project/holdfast/cmd/holdfast-mgmt")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	dir, err := os.MkdirTemp("/tmp", "hf") // short enough for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	var log bytes.Buffer
	res, err := Policy(t.Context(), PolicyConfig{Rounds: 1, Rules: 50, Elements: 200, Members: 2, Binary: programs + "/holdfastd", Dir: dir, Log: &log})
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Failures) > 0 {
		t.Fatalf("%+v\n%s", res.Failures, log.String())
	}
	got := map[string]float64{}
	for _, r := range res.Rows {
		if r.Case != "install-50-rules" || r.N != 1 {
			t.Errorf("%+v", r)
		}
		got[r.System+" "+r.Metric] = r.Median
	}
	parts := 0.0
	for _, name := range []string{"check_seconds", "prepare_seconds", "commit_seconds", "other_seconds"} {
		if parts += got["holdfast "+name]; got["holdfast "+name] <= 0 {
			t.Errorf("%s is %v", name, got["holdfast "+name])
		}
	}
	if whole := got["holdfast seconds"]; whole <= 0 || parts < whole-1e-6 || parts > whole+1e-6 {
		t.Errorf("the whole is %v, its parts are %v", whole, parts)
	}
	if got["nft seconds"] <= 0 || got["nft one_seconds"] <= 0 || got["holdfast times_nft"] <= 0 || got["holdfast confirm_seconds"] < 0.5 {
		t.Errorf("%v", got)
	}
}

// What an install is measured by is what the command prints of it.
func TestFollowed(t *testing.T) {
	began := time.Now()
	f := followed{began: began}
	for i, text := range []string{
		`{"checked": {"members": ["a", "b"], "took_ms": 7}}`,
		`{"install": {"phase": "preparing", "members": [{"name": "a", "state": "prepared"}, {"name": "b", "state": "loading"}]}}`,
		`{"install": {"phase": "committed", "members": [{"name": "a", "state": "committed"}, {"name": "b", "state": "prepared"}]}}`,
		`{"install": {"phase": "committed", "members": [{"name": "a", "state": "committed"}, {"name": "b", "state": "committed"}]}}`,
		`{"install": {"phase": "confirmed", "over": true, "members": [{"name": "a", "state": "confirmed"}, {"name": "b", "state": "confirmed"}]}}`,
	} {
		if err := f.line(began.Add(time.Duration(i)*time.Second), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if f.checked.TookMs != 7 || f.inForce.Sub(began) != 3*time.Second || f.attempt.Phase != "confirmed" {
		t.Errorf("%+v", f)
	}
	for _, text := range []string{`{"error": {"code": "ruleset", "what": "no"}}`, "table"} {
		if err := f.line(began, []byte(text)); err == nil {
			t.Errorf("%s was taken", text)
		}
	}
}

func TestHeavyRules(t *testing.T) {
	text := heavyRules(300, 70_000, 5)
	r, err := ruleset.Parse("heavy.nft", text)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(text, "\t\tip saddr 172."); n != 300 || len(r.Tables) != 1 || !r.Has("inet", "filter", "listed") || strings.Count(text, "10.") < 70_000 {
		t.Errorf("%d rules, %d tables", n, len(r.Tables))
	}
	if text == heavyRules(300, 70_000, 6) {
		t.Error("rounds do not differ")
	}
}

func TestPolicyConfig(t *testing.T) {
	for _, cfg := range []PolicyConfig{{}, {Rounds: 1, Rules: -1}, {Rounds: 1, Elements: 2_000_000}, {Rounds: 1, Systems: []string{"iptables"}}} {
		if _, err := cfg.check(); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
	cfg, err := (PolicyConfig{Rounds: 1}).check()
	if name := fmt.Sprint(cfg.caseName(), cfg.Systems, cfg.Members); err != nil || name != "install-10k-rules[nft holdfast] 3" {
		t.Errorf("%s, %v", name, err)
	}
}

func TestBeside(t *testing.T) {
	res, err := Beside(measured(1, 100), Result{Benchmark: benchPolicy, Took: "3s", Rounds: 4, Rows: []Row{{Case: "fleet-5000"}}})
	if err != nil || res.Took != "4s" || res.Rounds != 4 || len(res.Measures) != 2 || len(res.Rows) != 1 {
		t.Errorf("%+v, %v", res, err)
	}
}
