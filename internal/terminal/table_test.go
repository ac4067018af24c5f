// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// drawn is a table as a terminal of that width shows it; elsewhere for 0.
func drawn(width int) string {
	row := func(texts ...string) (cells []Cell) {
		for _, s := range texts {
			cells = append(cells, Cell{Text: s})
		}
		return cells
	}
	return strings.Join(Table([][]Cell{
		row("ID", "NAME", "EMPTY", "ADDRESSES", "CAUSE", "REASON"),
		row("0 *", "gateway-é", "", "192.0.2.1/24 2001:db8::1/64", "inside", "a neighbour is heard, and nobody else"),
		row("1", "gateway-b", "", "192.0.2.2/24", "", ""),
	}, width, nil), "\n") + "\n"
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
