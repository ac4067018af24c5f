// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// table prints rows under a heading, columns aligned. Columns in which every row is empty are left out; escape sequences do not
// count as width, which is why text/tabwriter will not do. On a terminal that is too narrow a table is folded; elsewhere a row is a line,
// for grep and awk.
func (p *page) table(heading []string, rows [][]cell) {
	t := grid{page: p, widths: make([]int, len(heading))}
	head := make([]cell, len(heading))
	for i, h := range heading {
		head[i] = cell{h, bold}
		for _, row := range rows {
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(row[i].text))
		}
		if t.widths[i] > 0 || i == 0 {
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(h))
		}
	}
	t.rows = append([][]cell{head}, rows...)
	all := t.shown()
	if !p.terminal || t.width(all) <= p.columns() {
		t.print(all, -1)
		return
	}
	t.fold(all)
}

// columns is how wide the terminal is.
func (p *page) columns() int {
	if p.width <= 0 {
		return pageWidth
	}
	return p.width
}

// grid is a table as it is to be printed: the heading is its first row.
type grid struct {
	*page
	rows   [][]cell
	widths []int
}

// gutter is between two columns; below is what a sentence is indented by that has a line of its own below its row.
const (
	gutter = 2
	below  = "    "
)

// sentences are the headings of columns that may be wrapped, and leastSentence is how wide such a column must be to be beside the others.
var sentences = []string{"REASON", "NOTE", "ERROR", "MEANING", "COMMENT", "SAYS"}

const leastSentence = 30

// shown lists the columns that are not empty.
func (t grid) shown() []int {
	var out []int
	for i, w := range t.widths {
		if w > 0 {
			out = append(out, i)
		}
	}
	return out
}

func (t grid) width(columns []int) int {
	sum := gutter * (len(columns) - 1)
	for _, i := range columns {
		sum += t.widths[i]
	}
	return sum
}

// fold prints a table that is too wide as several, one below the other, each with the columns that name a row. Sentences at a row's end are
// wrapped, with the cause before them if it has no room of its own.
func (t grid) fold(columns []int) {
	sentence := -1
	if last := columns[len(columns)-1]; len(columns) > 1 && slices.Contains(sentences, t.rows[0][last].text) {
		sentence, columns = last, columns[:len(columns)-1]
	}
	if last := columns[len(columns)-1]; sentence >= 0 && t.rows[0][last].text == "CAUSE" && t.width(columns) > t.columns() {
		columns = columns[:len(columns)-1]
		t.join(last, sentence)
	}
	keys := columns[:t.keys(columns)]
	for rest := columns; ; {
		n := len(rest)
		for n > len(keys)+1 && t.width(rest[:n]) > t.columns() {
			n--
		}
		if n == len(rest) {
			t.print(rest, sentence)
			return
		}
		t.print(rest[:n], -1)
		t.line("")
		rest = append(slices.Clone(keys), rest[n:]...)
	}
}

// join puts one column's words before another's, where those do not say them.
func (t grid) join(from, to int) {
	for i, row := range t.rows {
		if before := row[from].text; i > 0 && before != "" && !strings.Contains(row[to].text, before) {
			t.rows[i] = slices.Clone(row)
			t.rows[i][to].text = before + ": " + row[to].text
		}
	}
}

// keys is how many of the first columns it takes to tell rows apart: one or two. A number alone says little: its name goes with it.
func (t grid) keys(columns []int) int {
	if len(columns) < 2 || t.rows[0][columns[0]].text == "ID" {
		return min(len(columns), 2)
	}
	seen := map[string]bool{}
	for _, row := range t.rows {
		if seen[row[columns[0]].text] {
			return 2
		}
		seen[row[columns[0]].text] = true
	}
	return 1
}

// print prints these columns and, if sentence is one, that column wrapped: beside them if there is room, else below each row.
func (t grid) print(columns []int, sentence int) {
	at := t.width(columns) + gutter
	for i, row := range t.rows {
		var line strings.Builder
		pad := 0
		for _, c := range columns {
			line.WriteString(strings.Repeat(" ", pad) + t.paint(row[c]))
			pad = t.widths[c] - utf8.RuneCountInString(row[c].text) + gutter
		}
		if sentence < 0 {
			t.line("%s", strings.TrimRight(line.String(), " "))
			continue
		}
		said := row[sentence]
		if room := t.columns() - at; room >= leastSentence || room >= t.widths[sentence] {
			lines := wrap(said.text, room)
			t.line("%s", strings.TrimRight(line.String()+strings.Repeat(" ", pad)+t.paint(cell{lines[0], said.style}), " "))
			for _, more := range lines[1:] {
				t.line("%s%s", strings.Repeat(" ", at), t.paint(cell{more, said.style}))
			}
			continue
		}
		t.line("%s", strings.TrimRight(line.String(), " "))
		if i == 0 || said.text == "" {
			continue // a sentence below its row needs no heading
		}
		for _, more := range wrap(said.text, t.columns()-len(below)) {
			t.line("%s%s", below, t.paint(cell{more, said.style}))
		}
	}
}
