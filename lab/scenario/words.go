// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// words are the rest of a line. Its methods take words from the front and panic with a mistake, which the parser of the line
// turns into an Error; so each statement's grammar reads as one line of calls.
type words struct {
	rest []string
	text string // the rest as it was written
}

// mistake is what words panic with.
type mistake string

func bad(format string, a ...any) { panic(mistake(fmt.Sprintf(format, a...))) }

func split(line string) *words {
	return &words{rest: strings.Fields(line), text: strings.TrimSpace(line)}
}

func (w *words) more() bool { return len(w.rest) > 0 }

func (w *words) peek() string {
	if len(w.rest) == 0 {
		return ""
	}
	return w.rest[0]
}

// next takes a word; what says what was wanted.
func (w *words) next(what string) string {
	if len(w.rest) == 0 {
		bad("%s is missing", what)
	}
	first := w.rest[0]
	w.rest = w.rest[1:]
	w.text = strings.TrimSpace(strings.TrimPrefix(w.text, first))
	return first
}

// take takes the word if it is next.
func (w *words) take(word string) bool {
	if w.peek() != word {
		return false
	}
	w.next(word)
	return true
}

// must takes exactly this word.
func (w *words) must(word string) {
	if got := w.next(strconv.Quote(word)); got != word {
		bad("%q where %q was expected", got, word)
	}
}

// oneOf takes one of these words.
func (w *words) oneOf(what string, choices ...string) string {
	got := w.next(what + " (" + strings.Join(choices, ", ") + ")")
	if !slices.Contains(choices, got) {
		bad("%s %q: one of %s", what, got, strings.Join(choices, ", "))
	}
	return got
}

// end refuses what is left.
func (w *words) end() {
	if w.more() {
		bad("unexpected %q", w.text)
	}
}

// all takes what is left as it was written.
func (w *words) all() string {
	text := w.text
	w.rest, w.text = nil, ""
	return text
}

// fields takes what is left, word by word; words in double quotes are one.
func (w *words) fields() []string {
	var out []string
	for i, part := range strings.Split(w.all(), `"`) {
		if i%2 == 1 {
			out = append(out, part)
			continue
		}
		out = append(out, strings.Fields(part)...)
	}
	return out
}

// phrase takes the words before "within", as they were written but for the space between them.
func (w *words) phrase() string {
	var text []string
	for w.more() && w.peek() != "within" {
		text = append(text, w.next("text"))
	}
	return strings.Join(text, " ")
}

func (w *words) duration(what string) time.Duration {
	s := w.next(what)
	d, err := time.ParseDuration(s)
	if err != nil {
		bad("%s %q: write a duration with its unit, like 10ms or 3s", what, s)
	}
	return d
}

func (w *words) number(what string, low, high int) int {
	s := w.next(what)
	n, err := strconv.Atoi(s)
	if err != nil || n < low || n > high {
		bad("%s %q: a number from %d to %d", what, s, low, high)
	}
	return n
}

// percent takes "20%" and returns 0.2.
func (w *words) percent(what string) float64 {
	s := w.next(what)
	digits, ok := strings.CutSuffix(s, "%")
	f, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil || f < 0 || f > 100 {
		bad("%s %q: write a percentage like 20%%", what, s)
	}
	return f / 100
}

// compare is a comparison with a number or a duration.
type compare struct {
	op   string
	want float64
	unit string // as written
}

var operators = []string{"==", "!=", "<=", ">=", "<", ">"}

func (w *words) compare(duration bool) compare {
	c := compare{op: w.oneOf("comparison", operators...)}
	if duration {
		d := w.duration("duration")
		c.want, c.unit = float64(d), d.String()
		return c
	}
	c.unit = w.next("number")
	n, err := strconv.ParseFloat(c.unit, 64)
	if err != nil {
		bad("number %q: not one", c.unit)
	}
	c.want = n
	return c
}

// grows says whether what only ever grows may come to hold, rather than has to hold from the beginning.
func (c compare) grows() bool {
	return c.op == ">" || c.op == ">=" || c.op == "==" && c.want > 0
}

func (c compare) holds(got float64) bool {
	switch c.op {
	case "==":
		return got == c.want
	case "!=":
		return got != c.want
	case "<=":
		return got <= c.want
	case ">=":
		return got >= c.want
	case "<":
		return got < c.want
	default:
		return got > c.want
	}
}

// hex takes a number that may be written in hexadecimal.
func (w *words) hex(what string, high uint64) uint64 {
	s := w.next(what)
	n, err := strconv.ParseUint(s, 0, 64)
	if err != nil || n > high {
		bad("%s %q: a number up to %#x", what, s, high)
	}
	return n
}
