// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"
)

// TestHidden: paths that the unit's sandbox changes are warned of, others are not.
func TestHidden(t *testing.T) {
	for _, k := range []struct {
		m    Monitor
		want string
	}{
		{Monitor{Type: MonitorFile, Path: "/tmp/maintenance"}, "PrivateTmp"},
		{Monitor{Type: MonitorFile, Path: "/var/tmp/../tmp/x"}, "PrivateTmp"},
		{Monitor{Type: MonitorFile, Path: "/tmpfs/x"}, ""},
		{Monitor{Type: MonitorFile, Path: "/run/maintenance"}, ""},
		{Monitor{Type: MonitorDisk, Path: "/home"}, "ProtectHome"},
		{Monitor{Type: MonitorDisk, Path: "/usr"}, "ProtectSystem"},
		{Monitor{Type: MonitorDisk, Path: "/usr", ReadOnly: true}, ""},
		{Monitor{Type: MonitorFile, Path: "/usr/lib/x"}, ""},
		{Monitor{Type: MonitorDisk, Path: "/var"}, ""},
		{Monitor{Type: MonitorProcess, Process: "x"}, ""},
		{Monitor{Type: MonitorProcess, PIDFile: "/root/x.pid"}, "ProtectHome"},
	} {
		k.m.Name, k.m.Members = "x", []string{"gw-a"}
		c := Cluster{Monitors: []Monitor{k.m}}
		got := c.Hidden("gw-a")
		if strings.Join(c.Hidden(""), "") != strings.Join(got, "") || len(c.Hidden("gw-b")) > 0 {
			t.Errorf("%+v: the member does not matter as it should", k.m)
		}
		if k.want == "" && len(got) > 0 || k.want != "" && (len(got) != 1 || !strings.Contains(got[0], k.want)) {
			t.Errorf("%+v: %v, want %q", k.m, got, k.want)
		}
	}
}
