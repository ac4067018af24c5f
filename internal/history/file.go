// SPDX-License-Identifier: Apache-2.0

package history

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfast-project/holdfast/internal/atomicfile"
	"github.com/holdfast-project/holdfast/internal/control"
)

// format is the number of the file's format; a file with a greater one is moved aside.
const format = 1

// line is one line of the file: one of its fields is set.
type line struct {
	Format   int               `json:"format,omitempty"`
	Failover *control.Failover `json:"failover,omitempty"`
	Change   *control.Event    `json:"change,omitempty"`
	Counter  *Counter          `json:"counter,omitempty"`
	Reset    *Reset            `json:"reset,omitempty"`
}

// Reset is an order of the operator's.
type Reset struct {
	Counter bool      `json:"counter,omitempty"`
	History bool      `json:"history,omitempty"`
	Time    time.Time `json:"time"`
}

// disk is what the writer knows of the file.
type disk struct {
	file   *os.File // open for appending; nil: not yet, or given up after an error
	lines  int      // in the file
	failed bool     // the last attempt did
}

// retry is how long the writer waits after the disk has refused something.
const retry = 5 * time.Second

// read takes what is in the file. Only Open calls it.
func (l *Log) read() {
	text, err := os.ReadFile(l.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.rewrite = true
		return
	case err != nil:
		l.aside(err.Error())
		return
	}
	damaged, torn, end := 0, false, 0
	for number := 1; end < len(text); number++ {
		raw, _, whole := bytes.Cut(text[end:], []byte("\n"))
		var ln line
		err := json.Unmarshal(raw, &ln)
		switch {
		case err != nil && (!whole || blank(text[end+len(raw):])):
			torn = true // nothing readable follows: the end that a crash has left
		case err != nil:
			damaged++
		case number == 1 && ln.Format > format:
			l.aside(fmt.Sprintf("it has format %d, this version writes %d", ln.Format, format))
			return
		case !whole: // complete, but for its end: the next line would be glued to it
			l.rewrite = true
			l.take(ln)
		default:
			l.take(ln)
		}
		if torn {
			break
		}
		end += len(raw) + 1
		l.disk.lines++
	}
	switch {
	case damaged > 0:
		l.aside(fmt.Sprintf("%d of its lines cannot be read; the others are kept", damaged))
	case torn:
		l.o.Log.Warn("the last line of the history was torn by a crash and is dropped", "file", l.path, "bytes", len(text)-end)
		l.rewrite = true
	}
}

// blank reports whether nothing in text is of use: a crash can leave zeros where data had not been written.
func blank(text []byte) bool { return len(bytes.Trim(text, "\x00\n ")) == 0 }

// take brings memory up to date with one line.
func (l *Log) take(ln line) {
	switch {
	case ln.Failover != nil:
		l.failovers.put(*ln.Failover)
		l.counter.Count++
		l.counter.Server = ln.Failover.To
		l.counter.Number = max(l.counter.Number, ln.Failover.Number)
	case ln.Change != nil:
		l.changes.put(*ln.Change)
	case ln.Counter != nil:
		number := l.counter.Number
		l.counter = *ln.Counter
		l.counter.Number = max(number, ln.Counter.Number)
	case ln.Reset != nil:
		l.reset(*ln.Reset)
	}
}

// aside puts a file that is of no use out of the way, for somebody to look at.
func (l *Log) aside(why string) {
	l.rewrite = true
	to := l.path + ".damaged"
	err := os.Rename(l.path, to)
	l.o.Log.Warn("the history is damaged and was moved aside", "file", l.path, "to", to, "reason", why, "error", err)
}

// Serve writes what is added until ctx ends, and then what is left. While the disk refuses it tries again each 5 s, whether or not
// more is added.
func (l *Log) Serve(ctx context.Context) error {
	again := time.NewTimer(retry)
	defer again.Stop()
	for {
		wake := l.wake
		if l.flush() != nil {
			wake = nil // not at each event while the disk is full
			again.Reset(retry)
		}
		select {
		case <-ctx.Done():
			_ = l.flush() // its error has been said
			return nil
		case <-wake:
		case <-again.C: // of no use while all is written, and harmless
		}
	}
}

// Close writes what is left and closes the file. Serve must have ended.
func (l *Log) Close() error {
	err := l.flush()
	if l.disk.file != nil {
		err = errors.Join(err, l.disk.file.Close())
		l.disk.file = nil
	}
	return err
}

// flush brings the file up to date with memory.
func (l *Log) flush() error {
	gone := l.gone()
	l.mu.Lock()
	pending, whole := l.pending, l.rewrite
	l.pending, l.rewrite = nil, false
	if l.disk.lines+len(pending) > len(l.failovers.all)+len(l.changes.all)+slack {
		whole = true
	}
	if whole = whole || gone && len(pending) > 0; whole {
		pending = l.everything()
	}
	l.mu.Unlock()
	if len(pending) == 0 {
		return nil
	}
	text, err := encode(pending)
	if err == nil && whole {
		err = l.replace(text, len(pending))
	} else if err == nil {
		err = l.append(text, len(pending))
	}
	if err != nil {
		// What is in the file now is unknown: all of it is written again.
		l.mu.Lock()
		l.rewriteAll()
		l.mu.Unlock()
		if l.disk.file != nil {
			_ = l.disk.file.Close()
			l.disk.file = nil
		}
	}
	l.tell(err)
	return err
}

// gone reports whether the file that is open for appending is no longer the history: somebody has removed or replaced it.
func (l *Log) gone() bool {
	if l.disk.file == nil {
		return false
	}
	open, err := l.disk.file.Stat()
	if err != nil {
		return true
	}
	named, err := os.Stat(l.path)
	return err != nil || !os.SameFile(open, named)
}

// Keep has the whole history written anew.
func (l *Log) Keep() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rewriteAll()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// tell says once that the disk refuses, and once that it no longer does.
func (l *Log) tell(err error) {
	if (err != nil) == l.disk.failed {
		return
	}
	l.disk.failed = err != nil
	r := Report{Failed: l.disk.failed, Reason: l.path + " is written again, nothing is missing"}
	if err != nil {
		r.Reason = fmt.Sprintf("cannot write the history: %v: see to space and mount of state-dir; until then it is in memory", err)
	}
	select {
	case l.reports <- r:
	default:
	}
}

// everything is the whole file. The counter comes last: it holds after all that is before it. The caller holds mu.
func (l *Log) everything() []line {
	failovers, changes := l.failovers.list(), l.changes.list()
	all := make([]line, 0, len(failovers)+len(changes)+2)
	all = append(all, line{Format: format})
	for i := range failovers {
		all = append(all, line{Failover: &failovers[i]})
	}
	for i := range changes {
		all = append(all, line{Change: &changes[i]})
	}
	return append(all, line{Counter: new(l.counter)})
}

func encode(lines []line) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b) // ends each value with a newline
	for _, ln := range lines {
		if err := e.Encode(ln); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

func (l *Log) append(text []byte, lines int) error {
	if l.disk.file == nil {
		f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND, 0) // it exists: the first flush has written it, or read has found it
		if err != nil {
			return err
		}
		l.disk.file = f
	}
	if _, err := l.disk.file.Write(text); err != nil {
		return err
	}
	l.disk.lines += lines
	return l.disk.file.Sync()
}

// replace writes the file anew: a crash leaves the old one or the new one.
func (l *Log) replace(text []byte, lines int) (err error) {
	f, err := os.CreateTemp(l.o.Dir, ".history-*") // mode 0600
	if errors.Is(err, fs.ErrNotExist) {            // somebody has removed it
		if err = os.MkdirAll(l.o.Dir, 0o700); err == nil {
			f, err = os.CreateTemp(l.o.Dir, ".history-*")
		}
	}
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	if _, err = f.Write(text); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), l.path); err != nil {
		return err
	}
	if l.disk.file != nil {
		_ = l.disk.file.Close()
	}
	l.disk.file, l.disk.lines = f, lines
	return atomicfile.SyncDir(filepath.Dir(l.path))
}
