// SPDX-License-Identifier: Apache-2.0

package netns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// NS is one network namespace, held by a descriptor. It is safe for concurrent use until Close.
type NS struct {
	name string
	file *os.File
}

// New makes an empty network namespace with its loopback up. name is used in errors and lists only.
func New(name string) (*NS, error) {
	var ns *NS
	err := onFreshThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		f, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			return err
		}
		ns = &NS{name: name, file: f}
		lo, err := netlink.LinkByName("lo")
		if err == nil {
			err = netlink.LinkSetUp(lo)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("loopback: %w", err), f.Close())
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("netns %s: make: %w", name, err)
	}
	return ns, nil
}

// Open holds the namespace at path, for example /proc/PID/ns/net or /proc/PID/fd/N of another process.
func Open(name, path string) (*NS, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("netns %s: open: %w", name, err)
	}
	return &NS{name: name, file: f}, nil
}

// Name returns the name given to New or Open.
func (n *NS) Name() string { return n.name }

// FD returns the descriptor that holds the namespace. It stays the property of n.
func (n *NS) FD() int { return int(n.file.Fd()) }

// Path returns a path by which other processes can open the namespace while this process lives.
func (n *NS) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.FD()) }

// Do runs fn on a thread of its own inside the namespace and returns fn's error. The thread is thrown away afterwards,
// whatever happened on it. fn must not start processes (see Start) nor goroutines that need the namespace; sockets that
// it opens stay in the namespace.
func (n *NS) Do(fn func() error) error {
	return onFreshThread(func() error {
		if err := unix.Setns(n.FD(), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("netns %s: enter: %w", n.name, err)
		}
		return fn()
	})
}

// Handle returns a netlink handle whose requests act inside the namespace. The caller closes it.
func (n *NS) Handle(families ...int) (*netlink.Handle, error) {
	if len(families) == 0 {
		families = []int{unix.NETLINK_ROUTE}
	}
	h, err := netlink.NewHandleAt(vnetns.NsHandle(n.FD()), families...)
	if err != nil {
		return nil, fmt.Errorf("netns %s: netlink: %w", n.name, err)
	}
	return h, nil
}

// Sysctl sets one of the namespace's net sysctls; key is written with slashes, "ipv4/ip_forward".
func (n *NS) Sysctl(key, value string) error {
	return n.Do(func() error {
		path := filepath.Join("/proc/sys/net", key)
		if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
			return fmt.Errorf("netns %s: sysctl %s=%s: %w", n.name, strings.ReplaceAll(key, "/", "."), value, err)
		}
		return nil
	})
}

// Close lets the namespace go. It vanishes, with all that is in it, when the last process in it has ended.
func (n *NS) Close() error {
	if err := n.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("netns %s: close: %w", n.name, err)
	}
	return nil
}

// onFreshThread runs fn on a goroutine that is locked to its thread and never unlocks it, so that the runtime ends the
// thread with the goroutine: a thread in a foreign namespace is never used again for anything else.
func onFreshThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := errors.New("the function ended its goroutine")
		defer func() { done <- err }()
		err = fn()
	}()
	return <-done
}
