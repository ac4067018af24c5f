// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/internal/labtest"
)

// fullChild is the environment variable that makes of the test's own binary a process with a small disk of its own at that path.
const fullChild = "HOLDFAST_STORE_FULL"

func TestFileOnAFullDisk(t *testing.T) {
	labtest.Require(t)
	child := exec.Command(os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), fullChild+"="+t.TempDir())
	if out, err := child.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// fillDisk exits with 0 if a full disk costs nothing that was acknowledged, and room makes all well again.
func fillDisk(dir string) {
	runtime.LockOSThread()
	err := errors.Join(unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"))
	if err == nil {
		err = onFullDisk(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func onFullDisk(dir string) error {
	ctx := context.Background()
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err != nil {
		return err
	}
	s, err := OpenFile(filepath.Join(dir, "store"))
	if err != nil {
		return err
	}
	n := 0
	add := func() error {
		err := s.Update(ctx, func(tx Tx) error {
			return errors.Join(tx.Put(fmt.Sprintf("large/%d", n), make([]byte, 50<<10)), tx.Put("n", fmt.Append(nil, n+1)))
		})
		if err == nil {
			n++
		}
		return err
	}
	for err = nil; err == nil && n < 100; {
		err = add()
	}
	if !errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("after %d changes: %w", n, err)
	}
	for range 2 { // as it is open, and opened again
		err := s.View(ctx, func(r Reader) error {
			b, err := r.Get("n")
			if err == nil && string(b) != fmt.Sprint(n) {
				err = fmt.Errorf("%d changes were acknowledged, and %s are there", n, b)
			}
			return err
		})
		if err := errors.Join(err, s.Close()); err != nil {
			return err
		}
		if s, err = OpenFile(filepath.Join(dir, "store")); err != nil {
			return err
		}
	}
	if err := errors.Join(os.Remove(ballast), add()); err != nil {
		return fmt.Errorf("with room again: %w", err)
	}
	return s.Close()
}
