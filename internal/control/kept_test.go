// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

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

// TestAnswersWithoutDescriptors: a daemon that has as many files open as it may can still be asked what is wrong, and says the way out.
func TestAnswersWithoutDescriptors(t *testing.T) {
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: min(before.Cur, 256), Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	}()
	path := filepath.Join(t.TempDir(), "s")
	ctx, cancel := context.WithCancel(t.Context())
	log := new(strings.Builder)
	ended := make(chan error, 1)
	go func() {
		s := &control.Server{Backend: &controltest.Backend{}, Events: control.NewEvents(1), Log: slog.New(slog.NewTextHandler(log, nil))}
		ended <- s.ServeKept(ctx, path, time.Hour)
	}()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	client := os.NewFile(uintptr(fd), "client")
	for unix.Access(path, unix.F_OK) != nil {
		time.Sleep(time.Millisecond)
	}
	var files []*os.File
	for {
		f, err := os.Open(os.DevNull)
		if errors.Is(err, unix.EMFILE) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	for errors.Is(unix.Connect(fd, &unix.SockaddrUnix{Name: path}), unix.ECONNREFUSED) { // it is there, and nobody listens yet
		time.Sleep(time.Millisecond)
	}
	if _, err := client.WriteString("GET /nothing HTTP/1.1\r\nHost: holdfast\r\n\r\n"); err != nil {
		t.Error(err)
	}
	if n, err := client.Read(make([]byte, 4096)); n == 0 || err != nil {
		t.Errorf("%d bytes of an answer, %v", n, err)
	}
	for _, f := range append(files, client) {
		_ = f.Close()
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "raise LimitNOFILE"); n != 1 {
		t.Errorf("said %d times what to do: %s", n, log)
	}
}
