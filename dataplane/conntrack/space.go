// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// ownSpace shows the network namespace of the thread that opens it.
const ownSpace = "/proc/thread-self/ns/net"

// space is a network namespace to open further sockets in: each dump has one of its own, and whoever asks for it may run on a thread of
// another namespace.
type space struct {
	file *os.File
	id   unix.Stat_t
}

// here is the namespace of the calling thread.
func here() (*space, error) {
	f, err := os.Open(ownSpace)
	if err != nil {
		return nil, fmt.Errorf("network namespace: %w", err)
	}
	s := &space{file: f}
	if err := unix.Fstat(int(f.Fd()), &s.id); err != nil {
		f.Close()
		return nil, fmt.Errorf("network namespace: %w", err)
	}
	return s, nil
}

func (s *space) close() { _ = s.file.Close() }

// do runs f on a thread of the namespace.
func (s *space) do(f func() error) error {
	runtime.LockOSThread()
	var now unix.Stat_t
	if err := unix.Stat(ownSpace, &now); err == nil && now.Dev == s.id.Dev && now.Ino == s.id.Ino {
		defer runtime.UnlockOSThread()
		return f()
	}
	runtime.UnlockOSThread()
	done := make(chan error, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine rather than be reused in this namespace.
		runtime.LockOSThread()
		if err := unix.Setns(int(s.file.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("enter network namespace: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}
