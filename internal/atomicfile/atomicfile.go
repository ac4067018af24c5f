// SPDX-License-Identifier: Apache-2.0

// Package atomicfile replaces files in one step that outlives a crash: whoever reads one, also after the machine has lost its power, has the
// old content or the new one, whole. It knows nothing of what is in them.
package atomicfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Temporary begins the names of files that are being written. A crash may leave one beside the file that it was to replace.
const Temporary = ".new-"

// Write makes path hold content with this mode. The directory must be there. After an error path is as it was, or the new content is there and
// might not outlive a crash.
func Write(path string, content []byte, mode fs.FileMode) error {
	return WriteFrom(path, mode, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// WriteFrom is Write of what fill writes. If fill fails, path is as it was.
func WriteFrom(path string, mode fs.FileMode, fill func(io.Writer) error) error {
	return write(path, mode, fill, os.Rename, (*os.File).Sync)
}

// CreateFrom is WriteFrom of a file that must not be there yet: else the error is fs.ErrExist, and path stays as it is.
func CreateFrom(path string, mode fs.FileMode, fill func(io.Writer) error) error {
	if _, err := os.Lstat(path); err == nil { // before much is written in vain
		return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	return write(path, mode, fill, renameNew, (*os.File).Sync)
}

// SyncDir makes what was renamed and removed in a directory outlive a crash.
func SyncDir(dir string) error { return syncDir(dir, (*os.File).Sync) }

func write(path string, mode fs.FileMode, fill func(io.Writer) error, publish func(from, to string) error, sync func(*os.File) error) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, Temporary+"*") // made with mode 0600: nobody reads a secret before it has its mode
	if err != nil {
		return err
	}
	if err = fill(f); err == nil {
		err = errors.Join(f.Chmod(mode), sync(f))
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = publish(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(dir, sync)
}

// syncDir takes it for done on file systems that have no such thing.
func syncDir(dir string, sync func(*os.File) error) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err = sync(d); errors.Is(err, unix.EINVAL) {
		err = nil
	}
	return errors.Join(err, d.Close())
}

// renameNew is a rename that replaces nothing.
func renameNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) { // not on this file system
		if err = os.Link(from, to); err == nil {
			return os.Remove(from)
		}
		return err
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}
