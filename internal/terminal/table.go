// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Cell is one field of a table.
type Cell struct {
	Text string
	// Style is for paint, which is told of it with the text.
	Style string
}

// Table returns the lines of a table. Its first row is the heading, and columns that are empty in all others are left out. paint adds escape
// sequences to a text, which do not count as width (text/tabwriter would count them); nil adds none. A table that is wider than width is
// folded, unless width is 0: elsewhere than on a terminal a row is a line, for grep and awk.
func Table(rows [][]Cell, width int, paint func(Cell) string) []string {
	if paint == nil {
		paint = func(c Cell) string { return c.Text }
	}
	t := grid{rows: rows, limit: width, paint: paint, widths: make([]int, len(rows[0]))}
	for i, heading := range rows[0] {
		for _, row := range rows[1:] {
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(row[i].Text))
		}
		if t.widths[i] > 0 || i == 0 {
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(heading.Text))
		}
	}
	if all := t.shown(); width == 0 || t.width(all) <= width {
		t.print(all, -1)
	} else {
		t.fold(all)
	}
	return t.lines
}

// grid is a table as it is to be shown.
type grid struct {
	rows   [][]Cell
	limit  int // columns of the terminal
	paint  func(Cell) string
	widths []int
	lines  []string
}

// gutter is between two columns.
const gutter = 2

// Below is what a sentence is indented by that has a line of its own below what it is about.
const Below = "    "

// sentences are the headings of columns that may be wrapped, and leastSentence is how wide such a column must be to be beside the others.
var sentences = []string{"REASON", "NOTE", "ERROR", "MEANING", "COMMENT", "SAYS", "WHY", "DETAIL"}

const leastSentence = 30

func (t *grid) line(s string) { t.lines = append(t.lines, s) }

// shown lists the columns that are not empty.
func (t *grid) shown() []int {
	var out []int
	for i, w := range t.widths {
		if w > 0 {
			out = append(out, i)
		}
	}
	return out
}

func (t *grid) width(columns []int) int {
	sum := gutter * (len(columns) - 1)
	for _, i := range columns {
		sum += t.widths[i]
	}
	return sum
}

// fold prints a table that is too wide as several, one below the other, each with the columns that name a row. Sentences at a row's end are
// wrapped, with the cause before them if it has no room of its own.
func (t *grid) fold(columns []int) {
	sentence := -1
	if last := columns[len(columns)-1]; len(columns) > 1 && slices.Contains(sentences, t.rows[0][last].Text) {
		sentence, columns = last, columns[:len(columns)-1]
	}
	if last := columns[len(columns)-1]; sentence >= 0 && t.rows[0][last].Text == "CAUSE" && t.width(columns) > t.limit {
		columns = columns[:len(columns)-1]
		t.join(last, sentence)
	}
	keys := columns[:t.keys(columns)]
	for rest := columns; ; {
		n := len(rest)
		for n > len(keys)+1 && t.width(rest[:n]) > t.limit {
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
func (t *grid) join(from, to int) {
	for i, row := range t.rows {
		if before := row[from].Text; i > 0 && before != "" && !strings.Contains(row[to].Text, before) {
			t.rows[i] = slices.Clone(row)
			t.rows[i][to].Text = before + ": " + row[to].Text
		}
	}
}

// keys is how many of the first columns it takes to tell rows apart: one or two. A number alone says little: its name goes with it.
func (t *grid) keys(columns []int) int {
	if len(columns) < 2 || t.rows[0][columns[0]].Text == "ID" {
		return min(len(columns), 2)
	}
	seen := map[string]bool{}
	for _, row := range t.rows {
		if seen[row[columns[0]].Text] {
			return 2
		}
		seen[row[columns[0]].Text] = true
	}
	return 1
}

// print prints these columns and, if sentence is one, that column wrapped: beside them if there is room, else below each row.
func (t *grid) print(columns []int, sentence int) {
	at := t.width(columns) + gutter
	for i, row := range t.rows {
		var line strings.Builder
		pad := 0
		for _, c := range columns {
			line.WriteString(strings.Repeat(" ", pad) + t.paint(row[c]))
			pad = t.widths[c] - utf8.RuneCountInString(row[c].Text) + gutter
		}
		if sentence < 0 {
			t.line(strings.TrimRight(line.String(), " "))
			continue
		}
		said := row[sentence]
		if room := t.limit - at; room >= leastSentence || room >= t.widths[sentence] {
			lines := Wrap(said.Text, room)
			t.line(strings.TrimRight(line.String()+strings.Repeat(" ", pad)+t.paint(Cell{lines[0], said.Style}), " "))
			for _, more := range lines[1:] {
				t.line(strings.Repeat(" ", at) + t.paint(Cell{more, said.Style}))
			}
			continue
		}
		t.line(strings.TrimRight(line.String(), " "))
		if i == 0 || said.Text == "" {
			continue // a sentence below its row needs no heading
		}
		for _, more := range Wrap(said.Text, t.limit-len(Below)) {
			t.line(Below + t.paint(Cell{more, said.Style}))
		}
	}
}
