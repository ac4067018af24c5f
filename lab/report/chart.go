// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// Chart shows what happened around one moment, one row per flow or segment, one character per cell of time.
type Chart struct {
	// At is the moment (a fault); From is where the rows begin; Cell is the time of one character.
	From, At time.Time
	Cell     time.Duration
	Rows     []Strip
}

// Strip is one row of a chart.
type Strip struct {
	Label string
	// Cells holds one character per cell of time. Shown in colour: '.' (nothing) and '!' (two at once) in red.
	Cells string
}

// Write writes the chart. A bar marks the moment.
func (c Chart) Write(w io.Writer, s Style) error {
	p := &printer{w: w}
	label := 0
	for _, r := range c.Rows {
		label = max(label, utf8.RuneCountInString(r.Label))
	}
	mark := int(c.At.Sub(c.From) / c.Cell)
	for _, r := range c.Rows {
		at := min(max(mark, 0), len(r.Cells))
		p.line("  %-*s  %s%s%s", label, r.Label, s.cells(r.Cells[:at]), s.paint(yellow, "|"), s.cells(r.Cells[at:]))
	}
	p.line("  %s  %s", strings.Repeat(" ", label), s.paint(dim, fmt.Sprintf("%s^ each character %s", strings.Repeat(" ", max(mark, 0)), Ms(c.Cell))))
	return p.err
}

// cells colours the bad cells of a strip.
func (s Style) cells(text string) string {
	if !s.Color {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		switch r {
		case '.', '!':
			b.WriteString(s.paint(red, string(r)))
		default:
			b.WriteString(s.paint(green, string(r)))
		}
	}
	return b.String()
}
