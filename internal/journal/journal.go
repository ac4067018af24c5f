// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"syscall"
)

// Priorities of syslog(3), as the journal takes them at the beginning of a line.
const (
	priorityError   = "<3>"
	priorityWarning = "<4>"
	priorityInfo    = "<6>"
	priorityDebug   = "<7>"
)

// Journaled reports whether what is written to w comes to the journal: w is a file, and the one that systemd names in JOURNAL_STREAM.
// That variable alone says nothing, since children have it too, with other files.
func Journaled(w io.Writer, getenv func(string) string) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil {
		return false
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", s.Dev, s.Ino)
}

// Handler returns a handler that writes records of the level and above to w, for the journal or as slog's plain text.
func Handler(w io.Writer, level slog.Leveler, journaled bool) slog.Handler {
	if !journaled {
		return slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})
	}
	plain := &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
			return slog.Attr{}
		}
		return a
	}}
	var h handler
	for i, p := range []string{priorityDebug, priorityInfo, priorityWarning, priorityError} {
		h[i] = slog.NewTextHandler(prefixed{w, p}, plain)
	}
	return h
}

// handler has one for each priority: debug, info, warning, error.
type handler [4]slog.Handler

func (h handler) of(l slog.Level) slog.Handler {
	switch {
	case l >= slog.LevelError:
		return h[3]
	case l >= slog.LevelWarn:
		return h[2]
	case l >= slog.LevelInfo:
		return h[1]
	}
	return h[0]
}

// Enabled implements slog.Handler.
func (h handler) Enabled(ctx context.Context, l slog.Level) bool { return h.of(l).Enabled(ctx, l) }

// Handle implements slog.Handler.
func (h handler) Handle(ctx context.Context, r slog.Record) error {
	return h.of(r.Level).Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	for i := range h {
		h[i] = h[i].WithAttrs(attrs)
	}
	return h
}

// WithGroup implements slog.Handler.
func (h handler) WithGroup(name string) slog.Handler {
	for i := range h {
		h[i] = h[i].WithGroup(name)
	}
	return h
}

// prefixed puts the priority before what is written, a line at a time, in one write.
type prefixed struct {
	w        io.Writer
	priority string
}

// Write implements io.Writer.
func (p prefixed) Write(b []byte) (int, error) {
	if _, err := p.w.Write(append([]byte(p.priority), b...)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Complain writes the lines of why a program ends.
func Complain(w io.Writer, text string, journaled bool) {
	if journaled {
		text = priorityError + strings.ReplaceAll(text, "\n", "\n"+priorityError)
	}
	fmt.Fprintln(w, text)
}
