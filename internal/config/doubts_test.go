// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"strings"
	"testing"
)

// TestDoubtsMetrics: an address to listen on that one member alone has is doubted for the others, unless they have another.
func TestDoubtsMetrics(t *testing.T) {
	text, err := os.ReadFile("../../deploy/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []struct{ cluster, member, want string }{
		{":9848", "", ""},
		{"127.0.0.1:9848", "", ""},
		{"10.99.0.2:9848", "", "member gw-b: metrics.listen: 10.99.0.2:9848 is gw-a's own address"},
		{"10.99.0.3:9848", "", "member gw-a: metrics.listen: 10.99.0.3:9848 is gw-b's own address"},
		{"10.99.0.3:9848", "10.99.0.2:9848", ""},
		{"", "", ""},
	} {
		changed := string(text) + "\nmetrics: {listen: \"" + k.cluster + "\"}\n"
		if k.member != "" {
			changed = strings.Replace(changed, "  - name: gw-a\n", "  - name: gw-a\n    metrics: {listen: \""+k.member+"\"}\n", 1)
		}
		c, err := Parse("cluster.yaml", []byte(changed))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(c.Doubts(), "|"); k.want == "" && got != "" || !strings.HasPrefix(got, k.want) {
			t.Errorf("%+v: %q", k, got)
		}
	}
}

// TestDoubts: a neighbour that is on no network of its interface is doubted; those of the reference, which names some in declared prefixes,
// are not.
func TestDoubts(t *testing.T) {
	text, err := os.ReadFile("../../deploy/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for old, want := range map[string]string{
		"neighbours: [192.0.2.254]": "",
		"neighbours: [8.8.8.8]":     "interface outside: neighbour 8.8.8.8 is in no network",
		"neighbours: [fe80::5]":     "",
	} {
		c, err := Parse("cluster.yaml", []byte(strings.Replace(string(text), "neighbours: [192.0.2.254]", old, 1)))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(c.Doubts(), "|"); want == "" && got != "" || !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", old, got, want)
		}
	}
}
