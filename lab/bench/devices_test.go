// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/lab/report"
)

func TestDevices(t *testing.T) {
	labtest.Require(t)
	binary := filepath.Join(t.TempDir(), "holdfastd")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/holdfast-project/holdfast/cmd/holdfastd").CombinedOutput(); err != nil {
		t.Fatalf("build holdfastd: %v\n%s", err, out)
	}
	dir, err := os.MkdirTemp("/tmp", "hf") // short enough for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cfg := DevicesConfig{Binary: binary, Devices: 20, Monitors: 10, Rounds: 1, Window: time.Second, Members: 2, Dir: dir}
	res, err := Devices(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range res.Rows {
		got = append(got, fmt.Sprintf("%s %s %s %d", r.Case, r.System, r.Metric, r.N))
		if r.Median <= 0 || r.Median > r.Worst {
			t.Errorf("%+v", r)
		}
	}
	const want = "devices holdfast cpu_percent 2, devices holdfast rss_mb 2, devices holdfast-devices cpu_percent 2, devices holdfast-devices rss_mb 2"
	if text := strings.Join(got, ", "); text != want {
		t.Errorf("rows %s, want %s", text, want)
	}
	var b bytes.Buffer
	if err := res.WriteMetrics(&b, report.Style{}); err != nil || !strings.Contains(b.String(), "cpu_percent") {
		t.Errorf("%v:\n%s", err, b.String())
	}
}

func TestDevicesConfig(t *testing.T) {
	for _, cfg := range []DevicesConfig{{Window: time.Minute}, {Rounds: 1}, {Rounds: 1, Window: time.Minute, Devices: 100_000}} {
		if _, err := Devices(context.Background(), cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}
