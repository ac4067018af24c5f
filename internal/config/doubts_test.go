// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"strings"
	"testing"
)

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
