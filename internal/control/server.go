// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/netutil"
)

// Limits of the server. The socket is the owner's alone, so they guard against mistakes, not against attackers.
const (
	maxConnections = 2 * MaxDevices   // a reporter for each device; what is left is for operators and followers
	maxFollowers   = MaxDevices / 4   // they stay: the rest is for those that come and go
	maxBody        = 256 << 10        // MaxDevices requests, each with a reason
	requestTimeout = 60 * time.Second // a graceful hand-over is done in far less
	writeTimeout   = 5 * time.Second  // a follower that reads nothing for this long is dropped
)

// Server answers the API for one member.
type Server struct {
	Backend Backend      // required
	Events  *Events      // required
	Log     *slog.Logger // nil for none
	Version string       // sent with every answer

	followers atomic.Int32
}

// Listen makes the socket at path with mode 0600, and the directory it is in if there is none. A socket that no process listens on
// any more is replaced; one that answers is an error, and so is anything else there.
func Listen(ctx context.Context, path string) (*net.UnixListener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if c, err := new(net.Dialer).DialContext(ctx, "unix", path); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("control socket %s: another daemon answers there; stop it, or choose another control.socket", path)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSocket == 0 {
		return nil, fmt.Errorf("control socket %s: something else is there; move it away, or choose another control.socket", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	// The mode of the socket's own inode becomes that of the file: set before bind, so that there is no moment with another one.
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var chmod error
		if err := c.Control(func(fd uintptr) { chmod = syscall.Fchmod(int(fd), 0o600) }); err != nil {
			return err
		}
		return chmod
	}}
	l, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return l.(*net.UnixListener), nil
}

// Serve listens on path and answers until ctx is cancelled, which is no error. Requests under way are finished, within a second. A socket
// that somebody removes is made again.
func (s *Server) Serve(ctx context.Context, path string) error {
	return s.serveKept(ctx, path, keepEvery)
}

func (s *Server) serveKept(ctx context.Context, path string, every time.Duration) error {
	log := s.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	l, err := keptListener(ctx, path, log)
	if err != nil {
		return err
	}
	ctx, end := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.keep(ctx, every)
	}()
	err = s.ServeListener(ctx, l)
	end()
	<-ended
	return err
}

// ServeListener is Serve on a listener that the caller has opened; it closes it.
func (s *Server) ServeListener(ctx context.Context, l net.Listener) error {
	hs := &http.Server{
		Handler:           s.handler(ctx),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ConnState:         newConnections(maxConnections).follow,
	}
	if s.Log != nil {
		hs.ErrorLog = slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug)
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if hs.Shutdown(grace) != nil {
			_ = hs.Close()
		}
	})
	err := hs.Serve(netutil.LimitListener(l, maxConnections))
	if !stop() {
		<-stopped
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("control socket: %w", err)
	}
	return nil
}
