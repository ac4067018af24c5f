// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTableFitsTheTerminal(t *testing.T) {
	draw := func(width int) string {
		p := &page{app: &app{environment: environment{width: width}}}
		p.table([]string{"MEMBER", "STATE", "AFTER", "REASON"}, [][]string{
			{"fw1", "confirmed", "120ms", ""},
			{"fw2", "refused", "80ms", "edge.nft:12: no such device: the interface is named in the ruleset, and not in cluster.yaml"},
		})
		return p.b.String()
	}
	if got := draw(0); strings.Count(got, "\n") != 3 {
		t.Errorf("without a terminal a row is a line:\n%s", got)
	}
	const width = 50
	got := draw(width)
	for line := range strings.Lines(got) {
		if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > width {
			t.Errorf("longer than %d columns: %q", width, line)
		}
	}
	if strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(strings.Replace(draw(0), "REASON", "", 1)), " ") {
		t.Errorf("something is lost:\n%s", got)
	}
}
