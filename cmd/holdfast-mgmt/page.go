// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-project/holdfast/internal/terminal"
)

// page collects what is shown at once.
type page struct {
	*app
	b bytes.Buffer
}

func (p *page) line(format string, args ...any) {
	fmt.Fprintf(&p.b, format, args...)
	p.b.WriteByte('\n')
}

// table prints rows under a heading, folded at the width of a terminal.
func (p *page) table(heading []string, rows [][]string) {
	cells := make([][]terminal.Cell, 1+len(rows))
	for i, row := range slices.Concat([][]string{heading}, rows) {
		for _, text := range row {
			cells[i] = append(cells[i], terminal.Cell{Text: text})
		}
	}
	for _, line := range terminal.Table(cells, p.width, nil) {
		p.line("%s", line)
	}
}

// stamp writes a moment; "" for none.
func (p *page) stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(p.zone).Format("2006-01-02 15:04:05")
}

// maybe writes a moment that may be missing.
func (p *page) maybe(t *time.Time) string {
	if t == nil {
		return ""
	}
	return p.stamp(*t)
}

// ago writes how long ago a moment was; "never" for none.
func (p *page) ago(t *time.Time) string {
	if t == nil {
		return "never"
	}
	d := p.now().Sub(*t)
	switch {
	case d < 2*time.Second:
		return "now"
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd ago", int(d.Hours())/24)
	}
}

// generation writes a number that may be none.
func generation(n uint64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}
