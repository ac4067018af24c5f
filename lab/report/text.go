// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Style says how text is written. The zero value is plain ASCII.
type Style struct {
	// Color uses ANSI escape sequences; set it when the output is a terminal (Terminal).
	Color bool
	// Columns is how wide that terminal is; 0 means 80.
	Columns int
}

// ANSI sequences.
const (
	bold   = "\x1b[1m"
	dim    = "\x1b[2m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	cyan   = "\x1b[36m"
	reset  = "\x1b[0m"
)

// paint colours s if the style says so.
func (s Style) paint(color, text string) string {
	if !s.Color || color == "" || text == "" {
		return text
	}
	return color + text + reset
}

// Ms writes a duration in milliseconds, with one digit below 100 ms: "9.3 ms", "1204 ms".
func Ms(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	if ms < 100 {
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}

// Line writes one event; origin is the time that its own is given from.
func (s Style) Line(e Event, origin time.Time) string {
	color := map[Kind]string{Fault: yellow, Heal: cyan, Dual: red, State: bold, Note: dim}[e.Kind]
	if e.Bad {
		color = red
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%9.3f s  ", e.At.Sub(origin).Seconds())
	b.WriteString(s.paint(color, fmt.Sprintf("%-6s", e.Kind)))
	b.WriteString(" ")
	if e.Subject != "" {
		fmt.Fprintf(&b, " %s:", e.Subject)
	}
	fmt.Fprintf(&b, " %s", e.Text)
	if e.Lasted > 0 {
		fmt.Fprintf(&b, " (%s)", Ms(e.Lasted))
	}
	if e.Bad {
		b.WriteString(s.paint(red, "  !"))
	}
	return b.String()
}

// WriteText writes a result for a person: the timeline, the judged expectations, the verdict.
func WriteText(w io.Writer, r Result, s Style) error {
	p := &printer{w: w}
	p.line(s.paint(bold, "== "+r.Name))
	for _, e := range r.Events {
		if e.Kind != Expect { // judged below
			p.line(s.Line(e, r.Started))
		}
	}
	passed := 0
	for _, c := range r.Checks {
		verdict := s.paint(red, "FAIL")
		if c.Passed {
			passed++
			verdict = s.paint(green, "ok  ")
		}
		p.line("  %s %s: %s", verdict, c.Text, c.Got)
	}
	for _, f := range r.Files {
		p.line("  file %s", f)
	}
	verdict := s.paint(green, "passed")
	if !r.Passed() {
		verdict = s.paint(red, "FAILED")
	}
	if r.Err != "" {
		p.line("  error: %s", r.Err)
	}
	p.line("-- %s: %s, %d of %d expectations, %.1f s", r.Name, verdict, passed, len(r.Checks), r.Took.Seconds())
	return p.err
}

// printer keeps the first error of many writes.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, a ...any) {
	if p.err != nil {
		return
	}
	if len(a) > 0 {
		format = fmt.Sprintf(format, a...)
	}
	_, p.err = io.WriteString(p.w, strings.TrimRight(format, " ")+"\n")
}

// Title sets a line apart.
func (s Style) Title(text string) string { return s.paint(bold, text) }
