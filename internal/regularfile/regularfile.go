// SPDX-License-Identifier: Apache-2.0

// Package regularfile reads files that somebody has named, whatever is there: it never waits, as opening a FIFO does, wakes no device, as
// opening a watchdog does, and takes no more than it is told to. It knows nothing of what is in them.
package regularfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// What is wrong with a file. Errors name it.
var (
	ErrNotRegular = errors.New("not a regular file")
	ErrTooLarge   = errors.New("too large")
)

// Open opens a regular file to read, and says what it is.
func Open(path string) (*os.File, fs.FileInfo, error) {
	info, err := os.Stat(path) // before it is opened: some devices begin to work by that
	if err != nil {
		return nil, nil, err
	}
	if err := regular(path, info); err != nil {
		return nil, nil, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	if info, err = f.Stat(); err == nil { // of the open file: the name may be another's by now
		err = regular(path, info)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

func regular(path string, info fs.FileInfo) error {
	if info.Mode().IsRegular() {
		return nil
	}
	return fmt.Errorf("%s is %w", path, ErrNotRegular)
}

// Read reads a regular file of at most this many bytes. Of a larger one, or one that is not regular, nothing is returned.
func Read(path string, most int64) ([]byte, error) {
	f, _, err := Open(path)
	if err != nil {
		return nil, err
	}
	b, err := Rest(f, most)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return b, nil
}

// Rest reads an open file from where it is to its end, at most this many bytes.
func Rest(f *os.File, most int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		return nil, fmt.Errorf("%s: %w: more than %d bytes", f.Name(), ErrTooLarge, most)
	}
	return b, err
}
