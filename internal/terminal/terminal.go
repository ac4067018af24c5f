// SPDX-License-Identifier: Apache-2.0

// Package terminal lays out what commands show: tables that fold, and sentences that wrap, at a terminal's width. It knows nothing of what is
// shown, nor of colours.
package terminal

import (
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// DefaultWidth is how many columns a terminal is taken to have that does not say, and a line that may be read on any.
const DefaultWidth = 80

// Is reports whether a file is a terminal.
func Is(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// Width returns how many columns a terminal has, DefaultWidth if it does not say, 0 if the file is none.
func Width(f *os.File) int {
	if !Is(f) {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 {
		return DefaultWidth
	}
	return int(size.Col)
}

// Wrap breaks a sentence into lines of at most that many characters, but for words that are longer. It returns one line at the least.
func Wrap(sentence string, width int) []string {
	lines := []string{""}
	for _, word := range strings.Fields(sentence) {
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = word
		case utf8.RuneCountInString(*last)+1+utf8.RuneCountInString(word) > width:
			lines = append(lines, word)
		default:
			*last += " " + word
		}
	}
	return lines
}
