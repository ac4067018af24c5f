// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/hex"
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

// TestReadme: the configuration that README tells people to write is one, and has the digest that it shows.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(text), "```yaml\n")
	block, _, ended := strings.Cut(block, "```")
	if !found || !ended {
		t.Fatal("README.md shows no configuration")
	}
	var lines []string
	for line := range strings.Lines(block) {
		lines = append(lines, strings.TrimPrefix(line, "   "))
	}
	c, err := Parse("README.md", []byte(strings.Join(lines, "")))
	if err != nil {
		t.Fatal(err)
	}
	digest := c.Digest()
	if shown := "Configuration " + hex.EncodeToString(digest[:8]); !strings.Contains(string(text), shown) {
		t.Errorf("README.md does not show %q", shown)
	}
	if d := c.Doubts(); d != nil {
		t.Errorf("README.md: doubts: %v", d)
	}
}
