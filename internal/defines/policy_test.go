// SPDX-License-Identifier: Apache-2.0

package defines

import (
	"reflect"
	"strings"
	"testing"
)

// A ruleset may move from the file that it includes to a policy: every name of the file is there, and means the same.
func TestPolicyHasTheSame(t *testing.T) {
	c := cluster(t, sharing)
	p := Cluster(c)
	for i, m := range c.Members {
		have := map[string]string{}
		for _, d := range p.Definitions(i) {
			if _, twice := have[d.Name]; twice {
				t.Errorf("%s twice", d.Name)
			}
			have[d.Name] = d.Value
		}
		n := 0
		for _, l := range strings.Split(Text(c, m), "\n") {
			name, value, ok := strings.Cut(strings.TrimPrefix(l, "define "), " = ")
			if !ok || !strings.HasPrefix(l, "define ") {
				continue
			}
			n++
			value, _, _ = strings.Cut(value, " # ")
			if have[name] != value {
				t.Errorf("%s: %s is %q, in the file %q", m.Name, name, have[name], value)
			}
		}
		if n < 15 {
			t.Errorf("%d names", n)
		}
	}
	if ha := Cluster(cluster(t, "")); ha.SNATFirst != 0 || ha.EtherType != c.CCP.EtherType {
		t.Error("ha", ha)
	}
	want := map[string]int{"ens0": 2, "ens1": 1, "ens2": 1, "lo": 4}
	got := map[string]int{}
	for device, addresses := range Links(&p.Members[1]) {
		got[device] = len(addresses)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("links %v", got)
	}
}
