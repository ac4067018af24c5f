// SPDX-License-Identifier: Apache-2.0

package regularfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(
		os.WriteFile(at("file"), []byte("1234"), 0o600),
		os.Symlink("file", at("link")),
		os.Symlink("nowhere", at("broken")),
		os.Mkdir(at("directory"), 0o700),
		unix.Mkfifo(at("fifo"), 0o600),
		os.Symlink("fifo", at("link to fifo")),
		os.WriteFile(at("huge"), nil, 0o600),
		os.Truncate(at("huge"), 1<<40),
	); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path, text string
		err        error
	}{
		{at("file"), "1234", nil},
		{at("link"), "1234", nil},
		{at("broken"), "", fs.ErrNotExist},
		{at("none"), "", fs.ErrNotExist},
		{at("directory"), "", ErrNotRegular},
		{at("fifo"), "", ErrNotRegular},
		{at("link to fifo"), "", ErrNotRegular},
		{"/dev/zero", "", ErrNotRegular},
		{at("huge"), "", ErrTooLarge},
	} {
		text, err := Read(c.path, 4)
		if string(text) != c.text || !errors.Is(err, c.err) {
			t.Errorf("%s: %q, %v, want %q, %v", c.path, text, err, c.text, c.err)
		}
	}
}

// TestOpenNeverWaits: a name may be a FIFO's between the look and the opening.
func TestOpenNeverWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	other := path + ".fifo"
	if err := errors.Join(os.WriteFile(path, nil, 0o600), unix.Mkfifo(other, 0o600)); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			if err := unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, other, unix.RENAME_EXCHANGE); err != nil {
				stopped <- err
				return
			}
		}
	}()
	for range 20_000 {
		if _, err := Read(path, 1); err != nil && !errors.Is(err, ErrNotRegular) {
			t.Fatal(err)
		}
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
}
