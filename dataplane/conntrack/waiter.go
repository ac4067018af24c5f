// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// waiter waits for a socket without the runtime's poller. That one is told of every single event that is queued, whether anybody waits for
// it or not, and under load each of these wakes a thread for nothing while the reader gathers: it is a third of what a record costs.
type waiter struct {
	bell    int        // an eventfd, readable when there is something else to look at
	waiting sync.Mutex // held while somebody waits
	ringing sync.Mutex // held while the bell is rung, so that it is not closed then
	closed  atomic.Bool
	until   atomic.Int64 // deadline in ns since began, 0 for none: the clock on the wall may be set while somebody waits
	polled  [2]unix.PollFd
}

// began has a reading of the clock that nobody sets.
var began = time.Now()

func newWaiter() (*waiter, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	return &waiter{bell: fd}, nil
}

// state is os.ErrClosed, os.ErrDeadlineExceeded or nil.
func (w *waiter) state() error {
	if w.closed.Load() {
		return os.ErrClosed
	}
	if until := w.until.Load(); until != 0 && int64(time.Since(began)) >= until {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// wait waits until fd has something to read or to report, and returns state otherwise. One goroutine at a time may call it.
func (w *waiter) wait(fd int) error {
	w.waiting.Lock()
	defer w.waiting.Unlock()
	for {
		if err := w.state(); err != nil {
			return err
		}
		timeout := -1
		if until := w.until.Load(); until != 0 {
			left := time.Duration(until) - time.Since(began)
			timeout = int(min(max(left, 0), time.Hour).Milliseconds()) + 1
		}
		w.polled[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
		w.polled[1] = unix.PollFd{Fd: int32(w.bell), Events: unix.POLLIN}
		if _, err := unix.Poll(w.polled[:], timeout); err != nil && err != unix.EINTR { //nolint:errorlint // a bare errno
			return fmt.Errorf("conntrack: poll: %w", err)
		}
		if w.polled[1].Revents != 0 && !w.closed.Load() {
			var rung [8]byte
			_, _ = unix.Read(w.bell, rung[:])
		}
		if w.polled[0].Revents != 0 {
			return nil
		}
	}
}

// ring has wait look again.
func (w *waiter) ring() {
	w.ringing.Lock()
	defer w.ringing.Unlock()
	if w.bell < 0 {
		return
	}
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(w.bell, one[:])
}

func (w *waiter) setDeadline(t time.Time) {
	until := int64(0)
	if !t.IsZero() {
		until = max(int64(t.Sub(began)), 1)
	}
	w.until.Store(until)
	w.ring()
}

// close ends a wait and all later ones. Only the first call says true.
func (w *waiter) close() bool {
	if w.closed.Swap(true) {
		return false
	}
	w.ring()
	w.waiting.Lock()
	defer w.waiting.Unlock()
	w.ringing.Lock()
	defer w.ringing.Unlock()
	_ = unix.Close(w.bell)
	w.bell = -1
	return true
}
