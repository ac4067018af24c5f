// SPDX-License-Identifier: Apache-2.0

package report

import (
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/holdfast-project/holdfast/internal/terminal"
)

// Live writes events as they happen and, on a terminal, a status line below them that is renewed in place. It is safe for
// concurrent use.
type Live struct {
	w      io.Writer
	style  Style
	origin time.Time

	mu     sync.Mutex
	status string
	err    error
}

// NewLive begins; times are given from now on.
func NewLive(w io.Writer, s Style) *Live { return &Live{w: w, style: s, origin: time.Now()} }

// Event writes an event; it fits Timeline.Watch.
func (l *Live) Event(e Event) { l.Print(l.style.Line(e, l.origin)) }

// Print writes whole lines above the status line.
func (l *Live) Print(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.write(l.erase() + strings.TrimRight(text, "\n") + "\n" + l.status)
}

// Status replaces the status line; it does nothing unless the style has colour, which stands for a terminal. What is wider than that is
// cut off: a line that the terminal wraps could not be taken away again.
func (l *Live) Status(text string) {
	if !l.style.Color {
		return
	}
	if room := l.style.Width() - 1; utf8.RuneCountInString(text) > room {
		text = string([]rune(text)[:room])
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	erase := l.erase()
	l.status = text
	l.write(erase + text)
}

// Err returns the first error of a write.
func (l *Live) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// erase returns what takes the status line away.
func (l *Live) erase() string {
	if l.status == "" {
		return ""
	}
	return "\r\x1b[K"
}

func (l *Live) write(text string) {
	if l.err == nil {
		_, l.err = io.WriteString(l.w, text)
	}
}

// Width is how many columns a line may have.
func (s Style) Width() int {
	if s.Columns <= 0 {
		return terminal.DefaultWidth
	}
	return s.Columns
}

// Terminal tells whether a file is a terminal that wants colour: NO_COLOR is not set and TERM is not "dumb".
func Terminal(f *os.File) bool {
	if os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	return terminal.Is(f)
}
