// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/holdfast-project/holdfast/internal/terminal"
)

// page collects what is shown at once, so that --watch replaces one picture by another.
type page struct {
	*app
	b bytes.Buffer
}

func (p *page) bytes() []byte { return p.b.Bytes() }

func (p *page) line(format string, args ...any) {
	fmt.Fprintf(&p.b, format, args...)
	p.b.WriteByte('\n')
}

// table prints rows under a heading, folded at the width of a terminal.
func (p *page) table(heading []string, rows [][]cell) {
	cells := make([][]terminal.Cell, 1+len(rows))
	for _, h := range heading {
		cells[0] = append(cells[0], terminal.Cell{Text: h, Style: string(bold)})
	}
	for i, row := range rows {
		for _, c := range row {
			cells[1+i] = append(cells[1+i], terminal.Cell{Text: c.text, Style: string(c.style)})
		}
	}
	width := 0
	if p.terminal {
		width = p.columns()
	}
	for _, line := range terminal.Table(cells, width, func(c terminal.Cell) string { return p.paint(cell{c.Text, style(c.Style)}) }) {
		p.line("%s", line)
	}
}

// columns is how wide the terminal is.
func (p *page) columns() int {
	if p.width <= 0 {
		return terminal.DefaultWidth
	}
	return p.width
}

// wrapped writes a sentence that may be longer than a line of 80 columns, wherever it is shown: first before it, rest before its further lines.
func (p *page) wrapped(first, rest, sentence string) {
	for i, line := range terminal.Wrap(sentence, terminal.DefaultWidth-utf8.RuneCountInString(first)) {
		if i > 0 {
			first = rest
		}
		p.line("%s%s", first, line)
	}
}

// told writes a sentence of a style after what is before it. On a terminal it is wrapped to that, indented; elsewhere it is one line, for grep.
func (p *page) told(before string, state cell, after, sentence string, s style) {
	lines := []string{sentence}
	if p.terminal {
		lines = terminal.Wrap(sentence, p.columns()-utf8.RuneCountInString(before+state.text+after))
	}
	p.line("%s%s%s%s", before, p.paint(state), after, p.paint(cell{lines[0], s}))
	for _, more := range lines[1:] {
		p.line("%s%s", terminal.Below, p.paint(cell{more, s}))
	}
}

// style is how a cell looks on a terminal.
type style string

const (
	plain  style = ""
	bold   style = "1"
	dim    style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
)

// cell is one field of a table.
type cell struct {
	text  string
	style style
}

func text(s string) cell { return cell{text: s} }

func (p *page) paint(c cell) string {
	if c.style == plain || !p.terminal || p.noColor || c.text == "" {
		return c.text
	}
	return "\x1b[" + string(c.style) + "m" + c.text + "\x1b[0m"
}

// stateCell colours a member's state.
func stateCell(s string) cell {
	switch s {
	case "ACTIVE", "ACTIVE(P)":
		return cell{s, green}
	case "STANDBY":
		return cell{s, plain}
	case "DOWN", "LOST":
		return cell{s, red}
	default:
		return cell{s, yellow}
	}
}

// statusCell colours a device's or interface's status.
func statusCell(s string) cell {
	switch s {
	case "ok", "UP":
		return cell{s, green}
	case "problem", "DOWN":
		return cell{s, red}
	case "non-monitored":
		return cell{s, dim}
	default:
		return cell{s, yellow}
	}
}

// stamp writes a moment; "" for none.
func (p *page) stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(p.zone).Format("2006-01-02 15:04:05.000")
}

// ago writes how long ago a moment was, to be read at a glance.
func (p *page) ago(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	d := p.now().Sub(t)
	switch {
	case d < 0:
		return "now"
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + "s"
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return strconv.Itoa(int(d.Hours())/24) + "d"
	}
}

// ms writes milliseconds with three significant places or so.
func ms(v float64) string {
	switch {
	case v == 0:
		return "0 ms"
	case v < 10:
		return strconv.FormatFloat(v, 'f', 2, 64) + " ms"
	case v < 100:
		return strconv.FormatFloat(v, 'f', 1, 64) + " ms"
	case v < 10_000:
		return strconv.FormatFloat(v, 'f', 0, 64) + " ms"
	default:
		return strconv.FormatFloat(v/1000, 'f', 1, 64) + " s"
	}
}

func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}
