// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/holdfast-project/holdfast/internal/labtest"
)

// TestHooked: connections are tracked while a rule needs it, each family for itself.
func TestHooked(t *testing.T) {
	labtest.Require(t)
	tracking, err := OpenTracking()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := tracking.Close(); err != nil {
			t.Error(err)
		}
	}()
	load := func(rules string) {
		t.Helper()
		nft := exec.Command("nft", "-f", "-")
		nft.Stdin = strings.NewReader("flush ruleset\n" + rules)
		if out, err := nft.CombinedOutput(); err != nil {
			t.Fatalf("nft: %v: %s", err, out)
		}
	}
	t.Cleanup(func() { load("") })
	for _, step := range []struct {
		name, family, chain, rule string
		four, six                 bool
	}{
		{name: "none"},
		{"a rule of both families", "inet", "filter hook forward priority filter", "ct state established accept", true, true},
		{name: "flushed"},
		{"IPv4 only", "ip", "filter hook input priority filter", "ct state new accept", true, false},
		{"IPv6 only", "ip6", "filter hook input priority filter", "ct state new accept", false, true},
		{"a rule that needs none, as late as can be", "inet", "filter hook postrouting priority 2147483646", "tcp dport 22 accept", false, false},
		{"translation", "inet", "nat hook postrouting priority srcnat", "masquerade", true, true},
		{name: "flushed again"},
	} {
		rules := ""
		if step.family != "" {
			rules = "table " + step.family + " t {\n chain c {\n type " + step.chain + ";\n " + step.rule + "\n }\n}"
		}
		load(rules)
		four, six, err := tracking.Hooked()
		if err != nil || four != step.four || six != step.six {
			t.Errorf("%s: tracked %t, %t, %v; want %t, %t", step.name, four, six, err, step.four, step.six)
		}
	}
}
