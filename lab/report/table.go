// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Table is a table for a terminal. A column whose cells are all numbers (with or without a unit) is set to the right.
type Table struct {
	Title   string
	Columns []string
	Rows    [][]string
	// Bad marks rows to be shown in red; it may be shorter than Rows.
	Bad []bool
}

// Add adds a row; bad marks it.
func (t *Table) Add(bad bool, cells ...string) {
	t.Rows = append(t.Rows, cells)
	t.Bad = append(t.Bad, bad)
}

// Write writes the table.
func (t Table) Write(w io.Writer, s Style) error {
	p := &printer{w: w}
	if t.Title != "" {
		p.line(s.paint(bold, t.Title))
	}
	width, right := t.measure()
	p.line(s.paint(bold, row(t.Columns, width, right)))
	rules := make([]string, len(t.Columns))
	for i := range rules {
		rules[i] = strings.Repeat("-", width[i])
	}
	p.line(row(rules, width, right))
	for i, cells := range t.Rows {
		line := row(cells, width, right)
		if i < len(t.Bad) && t.Bad[i] {
			line = s.paint(red, line)
		}
		p.line(line)
	}
	return p.err
}

// measure returns each column's width and whether it is set to the right.
func (t Table) measure() (width []int, right []bool) {
	width, right = make([]int, len(t.Columns)), make([]bool, len(t.Columns))
	for i, c := range t.Columns {
		width[i], right[i] = utf8.RuneCountInString(c), len(t.Rows) > 0
	}
	for _, cells := range t.Rows {
		for i, c := range cells[:min(len(cells), len(width))] {
			width[i] = max(width[i], utf8.RuneCountInString(c))
			right[i] = right[i] && (c == "" || c == "-" || c[0] >= '0' && c[0] <= '9')
		}
	}
	return width, right
}

func row(cells []string, width []int, right []bool) string {
	var b strings.Builder
	for i := range width {
		cell := ""
		if i < len(cells) {
			cell = cells[i]
		}
		pad := strings.Repeat(" ", max(0, width[i]-utf8.RuneCountInString(cell)))
		if right[i] {
			cell = pad + cell
		} else {
			cell += pad
		}
		if i > 0 {
			b.WriteString("  ")
		}
		fmt.Fprint(&b, cell)
	}
	return strings.TrimRight(b.String(), " ")
}
