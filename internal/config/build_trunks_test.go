// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strings"
	"testing"
)

// TestTrunkMonitor: what a trunk monitors, of VLANs 10 (outside), 30 (inside) and 20 (sync).
func TestTrunkMonitor(t *testing.T) {
	for _, k := range []struct{ monitor, want string }{
		{"", "outside inside sync"},
		{", monitor: all", "outside inside sync"},
		{", monitor: lowest-and-highest", "outside inside"},
		{", monitor: [sync]", "sync"},
		{", monitor: [sync, outside]", "outside sync"},
	} {
		text := strings.NewReplacer("- name: outside\n", "- name: outside\n    trunk: t\n    vlan: 10\n",
			"- name: inside\n", "- name: inside\n    trunk: t\n    vlan: 30\n",
			"role: sync}", "role: sync, trunk: t, vlan: 20}\ntrunks: [{name: t"+k.monitor+"}]").Replace(sound)
		c, err := Parse("cluster.yaml", []byte(text))
		if err != nil {
			t.Errorf("%q: %v", k.monitor, err)
			continue
		}
		var monitored []string
		for _, i := range c.Interfaces {
			if i.Monitored {
				monitored = append(monitored, i.Name)
			}
			if i.Role.Gated() && len(i.VIPs) == 0 {
				t.Errorf("%q: %s has lost its virtual addresses", k.monitor, i.Name)
			}
		}
		if got := strings.Join(monitored, " "); got != k.want {
			t.Errorf("%q: %s are monitored, want %s", k.monitor, got, k.want)
		}
	}
}

// TestGroupsAndBonds also holds private interfaces of a trunk to its choice.
func TestGroupsAndBonds(t *testing.T) {
	c := edit(t, "role: sync}", "role: private, trunk: t, vlan: 0, bond: {min-links: 2}}\ntrunks: [{name: t}]\ngroups: [{name: g, interfaces: [sync, inside], min-up: 2}]")
	if got := fmt.Sprint(c.Groups, c.Interfaces[2].MinLinks, c.Interfaces[2].Monitored); got != "[{g [inside sync] 2}] 2 true" {
		t.Error(got)
	}
}
