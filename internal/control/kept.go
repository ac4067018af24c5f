// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// keepEvery is how often it is looked whether the socket is still there.
const keepEvery = 2 * time.Second

// sayShort is how long nothing more is said of descriptors that are all in use.
const sayShort = time.Minute

// kept is a listener on a socket that is made again when somebody has removed it: what cleans up below /run takes a socket that nobody is
// talking to for one that nobody needs, and operators could then give no orders until the daemon is restarted.
type kept struct {
	path string
	log  *slog.Logger

	mu     sync.Mutex
	now    *net.UnixListener
	file   os.FileInfo // of the socket
	closed bool

	spare *os.File // kept for the connection that there is no descriptor for any more
	said  time.Time
}

// keptListener is Listen.
func keptListener(ctx context.Context, path string, log *slog.Logger) (*kept, error) {
	k := &kept{path: path, log: log}
	k.keepSpare()
	if err := k.listen(ctx); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	return k, nil
}

// listen makes the socket, in the place of the one before.
func (k *kept) listen(ctx context.Context) error {
	l, err := Listen(ctx, k.path)
	if err != nil {
		return err
	}
	file, err := os.Lstat(k.path)
	if err != nil {
		_ = l.Close()
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return l.Close()
	}
	before := k.now
	k.now, k.file = l, file
	if before != nil {
		before.SetUnlinkOnClose(false) // the file is the new one's
		return before.Close()
	}
	return nil
}

// keep looks after the socket until ctx ends.
func (k *kept) keep(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if file, err := os.Lstat(k.path); err == nil && os.SameFile(file, k.file) {
			continue
		}
		switch err := k.listen(ctx); {
		case err == nil:
			k.log.Warn("something on this machine removed the control socket; it is made again", "socket", k.path)
			said = ""
		case ctx.Err() == nil && err.Error() != said:
			said = err.Error()
			k.log.Error("something on this machine removed the control socket, and it cannot be made again yet", "socket", k.path, "error", err)
		}
	}
}

// Accept waits for a connection to the socket, whichever it is by then. Where all descriptors of this process are in use, the operator who
// comes to see what is wrong gets the last one.
func (k *kept) Accept() (net.Conn, error) {
	k.keepSpare()
	for {
		k.mu.Lock()
		l := k.now
		k.mu.Unlock()
		c, err := l.Accept()
		if err == nil {
			return c, nil
		}
		if (errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)) && k.useSpare(err) {
			continue
		}
		k.mu.Lock()
		replaced := l != k.now && !k.closed
		k.mu.Unlock()
		if !replaced {
			return nil, err
		}
	}
}

// keepSpare takes a descriptor, if it has none and there is one.
func (k *kept) keepSpare() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.spare == nil && !k.closed {
		k.spare, _ = os.Open(os.DevNull)
	}
}

// useSpare gives the spare descriptor back, if there is one, and says so.
func (k *kept) useSpare(err error) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.spare == nil || k.closed {
		return false
	}
	if k.said.IsZero() || time.Since(k.said) > sayShort {
		k.said = time.Now()
		k.log.Error("this process has as many files open as it may, and the control socket answers one at a time: raise LimitNOFILE in its unit and restart it",
			"socket", k.path, "error", err)
	}
	_ = k.spare.Close()
	k.spare = nil
	return true
}

// Close ends Accept, and removes the socket if it is still this one.
func (k *kept) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil
	}
	k.closed = true
	if k.spare != nil {
		_ = k.spare.Close()
		k.spare = nil
	}
	if k.now == nil {
		return nil
	}
	if file, err := os.Lstat(k.path); err != nil || !os.SameFile(file, k.file) {
		k.now.SetUnlinkOnClose(false)
	}
	return k.now.Close()
}

// Addr is the socket's address.
func (k *kept) Addr() net.Addr { return &net.UnixAddr{Name: k.path, Net: "unix"} }
