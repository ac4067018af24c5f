// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// drawn is a table as a terminal of that width shows it; elsewhere for 0.
func drawn(width int) string {
	p := &page{app: &app{environment: environment{terminal: width > 0, width: width}, noColor: true}}
	p.table([]string{"ID", "NAME", "EMPTY", "ADDRESSES", "CAUSE", "REASON"}, [][]cell{
		{text("0 *"), text("gateway-é"), text(""), text("192.0.2.1/24 2001:db8::1/64"), text("inside"), {"a neighbour is heard, and nobody else", yellow}},
		{text("1"), text("gateway-b"), text(""), text("192.0.2.2/24"), text(""), text("")},
	})
	return p.b.String()
}

func TestTableFolds(t *testing.T) {
	flat := drawn(0)
	if strings.Count(flat, "\n") != 3 || strings.Contains(flat, "EMPTY") {
		t.Errorf("without a terminal a row is a line:\n%s", flat)
	}
	if wide := drawn(120); wide != flat {
		t.Errorf("on a wide terminal:\n%s", wide)
	}
	for width := 44; width < 100; width++ {
		got := drawn(width)
		for line := range strings.Lines(got) {
			if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > width {
				t.Errorf("at %d columns: %q", width, line)
			}
		}
		for _, word := range strings.Fields(flat) {
			if word != "CAUSE" && word != "REASON" && !strings.Contains(got, word) {
				t.Errorf("at %d columns %q is lost:\n%s", width, word, got)
			}
		}
	}
	if got, want := drawn(44), `ID   NAME       ADDRESSES
0 *  gateway-é  192.0.2.1/24 2001:db8::1/64
    inside: a neighbour is heard, and nobody
    else
1    gateway-b  192.0.2.2/24
`; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
