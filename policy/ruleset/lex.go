// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"fmt"
	"strings"
)

// Error is one thing that a ruleset must not contain, or that cannot be read.
type Error struct {
	File   string
	Line   int // from 1
	What   string
	WayOut string
}

// Error implements error.
func (e *Error) Error() string {
	s := fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.What)
	if e.WayOut != "" {
		s += "; " + e.WayOut
	}
	return s
}

// Word is one token: a word, an operator, a brace, a comma, or a quoted string with its quotes.
type Word struct {
	Text string
	Line int
	at   int // offset of its first byte
}

// separator is the token of a newline or a semicolon.
const separator = ";"

const (
	breaks    = " \t\r\n{}(),;\"#=!<>\\"
	operators = "=!<>"
)

// lex splits text into words and separators. Comments and continued lines vanish; a newline after a comma ends nothing.
func lex(file, text string) ([]Word, error) {
	words := make([]Word, 0, len(text)/6)
	line := 1
	add := func(from, to int) { words = append(words, Word{text[from:to], line, from}) }
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '\n':
			if n := len(words); n > 0 && words[n-1].Text != separator && words[n-1].Text != "," {
				words = append(words, Word{separator, line, i})
			}
			line++
			i++
		case c == ' ' || c == '\t' || c == '\r':
			i++
		case c == '\\' && i+1 < len(text) && text[i+1] == '\n':
			line++
			i += 2
		case c == '#':
			end := strings.IndexByte(text[i:], '\n')
			if end < 0 {
				end = len(text) - i
			}
			i += end
		case c == '"':
			end := strings.IndexByte(text[i+1:], '"')
			if end < 0 || strings.IndexByte(text[i+1:i+1+end], '\n') >= 0 {
				return nil, &Error{file, line, "a string without an end", `write the closing " on the same line`}
			}
			add(i, i+end+2)
			i += end + 2
		case strings.IndexByte("{}(),;", c) >= 0:
			add(i, i+1)
			i++
		case strings.IndexByte(operators, c) >= 0:
			j := i + 1
			for j < len(text) && strings.IndexByte(operators, text[j]) >= 0 {
				j++
			}
			add(i, j)
			i = j
		case c == '\\':
			return nil, &Error{file, line, `a \ that is not at the end of a line`, "remove it"}
		default:
			j := i
			for j < len(text) && strings.IndexByte(breaks, text[j]) < 0 {
				j++
			}
			add(i, j)
			i = j
		}
	}
	return words, nil
}

// join writes words as one line.
func join(words []Word) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 && w.Text != "," && w.Text != ";" && w.Text != ")" && words[i-1].Text != "(" {
			b.WriteByte(' ')
		}
		b.WriteString(w.Text)
	}
	return b.String()
}

// closing returns the index of the brace that closes the one at words[open], or -1.
func closing(words []Word, open int) int {
	depth := 0
	for i := open; i < len(words); i++ {
		switch words[i].Text {
		case "{":
			depth++
		case "}":
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}
