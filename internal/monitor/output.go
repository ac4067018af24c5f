// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// tail is how much of a command's output is kept, lineMax how much of its last line is shown.
	tail, lineMax = 4 << 10, 200
	// chunk is how much is read at once: a pipe full.
	chunk = 64 << 10
)

// lastLine reads r to its end and returns the last line that is not empty, fit to be shown.
func lastLine(r io.Reader) string {
	buf, kept := make([]byte, chunk), []byte(nil)
	for {
		n, err := r.Read(buf)
		got := buf[:n]
		if n >= tail {
			kept = append(kept[:0], got[n-tail:]...)
		} else {
			kept = append(kept, got...)
			if more := len(kept) - tail; more > 0 {
				kept = append(kept[:0], kept[more:]...)
			}
		}
		if err != nil {
			break
		}
	}
	return printable(kept)
}

func printable(text []byte) string {
	line := strings.TrimSpace(string(text))
	if i := strings.LastIndexByte(line, '\n'); i >= 0 {
		line = line[i+1:]
	}
	line = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.TrimSpace(line))
	if runes := []rune(line); len(runes) > lineMax {
		return string(runes[:lineMax]) + "..."
	}
	return line
}
