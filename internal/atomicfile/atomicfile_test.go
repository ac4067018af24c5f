// SPDX-License-Identifier: Apache-2.0

package atomicfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, tc := range []struct {
		text string
		mode fs.FileMode
	}{{"long ago", 0o644}, {"new", 0o600}, {"", 0o640}} {
		if err := Write(path, []byte(tc.text), tc.mode); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := content(t, path); got != tc.text || info.Mode() != tc.mode {
			t.Errorf("%q with mode %v, want %q with %v", got, info.Mode(), tc.text, tc.mode)
		}
	}
	if err := Write(filepath.Join(filepath.Dir(path), "absent", "file"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a directory that is not there: %v", err)
	}
}

// TestOrder: the content is on the disk before its name, and the name before Write returns.
func TestOrder(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := Write(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	var synced []string
	err := write(path, 0o644, func(w io.Writer) error { _, err := io.WriteString(w, "new"); return err }, os.Rename, func(f *os.File) error {
		what := "directory"
		if f.Name() != dir {
			info, err := f.Stat()
			if err != nil || info.Mode() != 0o644 || !strings.HasPrefix(filepath.Base(f.Name()), Temporary) {
				t.Errorf("%s has mode %v, %v", f.Name(), info.Mode(), err)
			}
			what = content(t, f.Name())
		}
		synced = append(synced, what+", the name has "+content(t, path))
		return f.Sync()
	})
	if want := []string{"new, the name has old", "directory, the name has new"}; err != nil || !slices.Equal(synced, want) {
		t.Errorf("%v; synced: %q, want %q", err, synced, want)
	}
}

// TestFailures: what cannot be written changes nothing, and leaves nothing behind.
func TestFailures(t *testing.T) {
	broken := errors.New("broken")
	fine := func(io.Writer) error { return nil }
	failsFor := func(dirs bool, err error) func(*os.File) error {
		return func(f *os.File) error {
			if info, _ := f.Stat(); info.IsDir() == dirs {
				return err
			}
			return nil
		}
	}
	for _, tc := range []struct {
		name string
		fill func(io.Writer) error
		sync func(*os.File) error
		want error
		then string
	}{
		{"what is written fails", func(w io.Writer) error { _, _ = io.WriteString(w, "half"); return broken }, (*os.File).Sync, broken, "old"},
		{"the disk is full", fine, failsFor(false, unix.ENOSPC), unix.ENOSPC, "old"},
		{"the directory cannot be synced", fine, failsFor(true, unix.EIO), unix.EIO, ""},
		{"directories are not synced there", fine, failsFor(true, unix.EINVAL), nil, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "file")
			if err := Write(path, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := write(path, 0o600, tc.fill, os.Rename, tc.sync); !errors.Is(err, tc.want) {
				t.Errorf("error %v, want %v", err, tc.want)
			}
			if got := content(t, path); got != tc.then {
				t.Errorf("the file has %q, want %q", got, tc.then)
			}
			if got := files(t, dir); !slices.Equal(got, []string{"file"}) {
				t.Errorf("left behind: %q", got)
			}
		})
	}
}

// TestCreate: a file that is there is left alone, also if it came while the new one was written; one that is not is there whole or not at all.
func TestCreate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	text := func(s string) func(io.Writer) error {
		return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
	}
	broken := errors.New("broken")
	half := func(w io.Writer) error { return errors.Join(text("half")(w), broken) }
	if err := CreateFrom(path, 0o640, half); !errors.Is(err, broken) || len(files(t, dir)) != 0 {
		t.Errorf("half a file: %v, %q", err, files(t, dir))
	}
	quick := func(w io.Writer) error {
		return errors.Join(text("new")(w), os.WriteFile(path, []byte("somebody's"), 0o600))
	}
	if err := CreateFrom(path, 0o640, quick); !errors.Is(err, fs.ErrExist) || content(t, path) != "somebody's" {
		t.Errorf("somebody was quicker: %v, %q", err, content(t, path))
	}
	if err := CreateFrom(path, 0o640, func(io.Writer) error { t.Error("written in vain"); return nil }); !errors.Is(err, fs.ErrExist) {
		t.Errorf("it is there: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := CreateFrom(path, 0o640, text("new")); err != nil || content(t, path) != "new" {
		t.Errorf("%v, %q", err, content(t, path))
	}
	if got := files(t, dir); !slices.Equal(got, []string{"file"}) {
		t.Errorf("left behind: %q", got)
	}
}
