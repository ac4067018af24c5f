// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/netns"
)

const (
	// listenerEvery is how often the bare listener reads: as often as an owner does under load.
	listenerEvery = 800 * time.Microsecond
	// listenerBuffer is the size of its receive buffer, and listenerRead how many messages it reads before it rests again.
	listenerBuffer = 32 << 20
	listenerRead   = 4096
)

// listen has somebody listen to the connections of a network namespace and do nothing with what he hears: what is slower then is the
// kernel's building and queueing of messages. Stop ends it.
func listen(ns *netns.NS) (stop func() error, err error) {
	fd := -1
	err = ns.Do(func() (err error) {
		if fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, listenerBuffer/2); err != nil {
			return err
		}
		if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return err
		}
		for _, group := range []int{unix.NFNLGRP_CONNTRACK_NEW, unix.NFNLGRP_CONNTRACK_UPDATE, unix.NFNLGRP_CONNTRACK_DESTROY} {
			if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		if fd >= 0 {
			_ = unix.Close(fd) // nothing came in
		}
		return nil, fmt.Errorf("listen to connections: %w", err)
	}
	end, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- hear(fd, end) }()
	return func() error {
		close(end)
		return errors.Join(<-done, unix.Close(fd))
	}, nil
}

// hear reads what is there, again and again.
func hear(fd int, end <-chan struct{}) error {
	buf := make([]byte, 4096)
	for {
		select {
		case <-end:
			return nil
		default:
		}
		for range listenerRead {
			if _, err := unix.Read(fd, buf); errors.Is(err, unix.EAGAIN) {
				break
			} else if err != nil && !errors.Is(err, unix.EINTR) {
				return fmt.Errorf("hear of connections: %w", err)
			}
		}
		rest := unix.NsecToTimespec(listenerEvery.Nanoseconds())
		_ = unix.Nanosleep(&rest, nil) // one that is cut short does no harm
	}
}
