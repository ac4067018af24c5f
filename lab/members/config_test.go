// SPDX-License-Identifier: Apache-2.0

package members

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/lab/topology"
	"github.com/holdfast-project/holdfast/lab/topology/topologytest"
)

func TestYAMLIsAccepted(t *testing.T) {
	labtest.Require(t) // a topology is built for its addresses
	for name, c := range map[string]struct {
		spec func(*topology.Spec)
		opts Options
		want func(*config.Cluster) error
	}{
		"defaults": {},
		"everything": {
			spec: func(s *topology.Spec) { s.SLAAC, s.VIPs = true, 1000 },
			opts: Options{
				Cluster: 300, Profile: "fast", Recovery: "highest-priority", Transport: "multicast", NoVMAC: true, NoNeighbours: true,
				Attach: "tcx", Timers: map[string]string{"hold-down": "1s", "boot-wait": "1s"}, Extra: "log-level: debug\n",
			},
			want: func(c *config.Cluster) error {
				if c.ID != 300 || c.Interfaces[0].VMAC != nil || c.Interfaces[0].RouterAdv == nil || len(c.Interfaces[0].VIPs) != 1001 {
					return fmt.Errorf("id %d, vmac %v, RA %v, %d VIPs", c.ID, c.Interfaces[0].VMAC != nil, c.Interfaces[0].RouterAdv, len(c.Interfaces[0].VIPs))
				}
				return nil
			},
		},
		"load sharing": {
			opts: Options{Method: "multicast", Sharing: []string{"weights: {fw1: 10, fw2: 20, fw3: 70}"}},
			want: func(c *config.Cluster) error {
				if s := c.LoadSharing; s == nil || s.Method != config.MethodMulticast || len(s.Weights) != 3 || s.Weights[2] != 70 {
					return fmt.Errorf("load sharing %+v", s)
				}
				return nil
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			spec := topology.DefaultSpec("test", 3)
			if c.spec != nil {
				c.spec(&spec)
			}
			lab := topologytest.Build(t, spec)
			c.opts.Dir = t.TempDir()
			if err := writeFiles(lab, c.opts); err != nil {
				t.Fatal(err)
			}
			cfg, err := config.Load(c.opts.Config())
			if err != nil {
				text, _ := os.ReadFile(c.opts.Config())
				text = text[:min(len(text), 3000)]
				t.Fatalf("%v\n%s", err, text)
			}
			if c.want != nil {
				if err := c.want(cfg); err != nil {
					t.Error(err)
				}
			}
			if _, err := config.LoadKey(cfg.KeyFile); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFindBinarySaysWayOut(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Chdir(t.TempDir())
	_, err := FindBinary("")
	if err == nil || !strings.Contains(err.Error(), "make build") {
		t.Errorf("got %v, want the way out", err)
	}
	want := filepath.Join(t.TempDir(), "holdfastd")
	if got, err := FindBinary(want); err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestOverride(t *testing.T) {
	const yaml = "id: 7\ntimers:\n  probe: 10ms\n  dead: 30ms\nmembers:\n  - name: fw1\n"
	got := override(yaml, []string{"timers: {hold-down: 3s}", "recovery: highest-priority"})
	const want = "id: 7\nmembers:\n  - name: fw1\ntimers: {hold-down: 3s}\nrecovery: highest-priority\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
