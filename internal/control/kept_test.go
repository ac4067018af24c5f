// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/control/controltest"
)

// TestSocketIsMadeAgain: a control socket that somebody removes, alone or with its directory, or replaces by another, is there again; who was
// connected stays so, and nothing is left in the end.
func TestSocketIsMadeAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	path := filepath.Join(dir, "s")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- (&control.Server{Backend: &controltest.Backend{}, Events: control.NewEvents(1)}).ServeKept(ctx, path, time.Millisecond)
	}()
	dial := func() net.Conn {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
			c, err := new(net.Dialer).DialContext(t.Context(), "unix", path)
			if err == nil {
				return c
			}
			if time.Now().After(end) {
				t.Fatal(err)
			}
		}
	}
	answers := func(c net.Conn) {
		t.Helper()
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		if _, err := c.Write([]byte("GET /nothing HTTP/1.1\r\nHost: holdfast\r\n\r\n")); err != nil {
			t.Error(err)
		}
		if _, err := c.Read(make([]byte, 4096)); err != nil {
			t.Error(err)
		}
	}
	first := dial()
	defer func() { _ = first.Close() }()
	answers(first)
	for _, harm := range []func() error{
		func() error { return os.Remove(path) },
		func() error { return os.RemoveAll(dir) },
		func() error { // another one's, which is gone
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path + ".new", Net: "unix"})
			if err != nil {
				return err
			}
			l.SetUnlinkOnClose(false)
			return errors.Join(l.Close(), os.Rename(path+".new", path))
		},
	} {
		if err := harm(); err != nil {
			t.Fatal(err)
		}
		c := dial()
		answers(c)
		answers(first)
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the new socket: %v, %v", info, err)
		}
		_ = c.Close()
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}
}
