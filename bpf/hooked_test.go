// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/holdfast-project/holdfast/internal/labtest"
)

// TestHooked: connections are tracked, and translated, while a rule needs it, each family for itself.
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
	var none, both, four, six Families
	both, four.Four, six.Six = Families{true, true}, true, true
	for _, step := range []struct {
		name, family, chain, rule string
		tracked, translated       Families
	}{
		{name: "none"},
		{"a rule of both families", "inet", "filter hook forward priority filter", "ct state established accept", both, none},
		{name: "flushed"},
		{"IPv4 only", "ip", "filter hook input priority filter", "ct state new accept", four, none},
		{"IPv6 only", "ip6", "filter hook input priority filter", "ct state new accept", six, none},
		{"a rule that needs none, as late as can be", "inet", "filter hook postrouting priority 2147483646", "tcp dport 22 accept", none, none},
		{"source translation", "inet", "nat hook postrouting priority srcnat", "masquerade", both, both},
		{"source translation at a priority of its own", "ip", "nat hook postrouting priority 7", "masquerade", four, four},
		{"destination translation", "ip6", "nat hook prerouting priority dstnat", "dnat to 2001:db8::1", six, six},
		{"a chain for translation without rules", "ip", "nat hook prerouting priority dstnat", "", none, four},
		{"no translation, at its priority", "ip", "filter hook postrouting priority srcnat", "ct state new accept", four, four},
		{name: "flushed again"},
	} {
		rules := ""
		if step.family != "" {
			rules = "table " + step.family + " t {\n chain c {\n type " + step.chain + ";\n " + step.rule + "\n }\n}"
		}
		load(rules)
		tracked, translated, err := tracking.Hooked()
		if err != nil || tracked != step.tracked || translated != step.translated {
			t.Errorf("%s: tracked %v, translated %v, %v; want %v and %v", step.name, tracked, translated, err, step.tracked, step.translated)
		}
	}
}
