// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Lengths of the headers of a ctnetlink message: struct nlmsghdr, struct nfgenmsg, and both.
const (
	nlmsgLen = 16
	nfgenLen = 4
	headLen  = nlmsgLen + nfgenLen
)

// Message types of ctnetlink (linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h), with their subsystem in the upper byte.
const (
	subConntrack = unix.NFNL_SUBSYS_CTNETLINK << 8
	subExpect    = unix.NFNL_SUBSYS_CTNETLINK_EXP << 8

	msgNew      = subConntrack
	msgGet      = subConntrack | 1
	msgDelete   = subConntrack | 2
	msgGetStats = subConntrack | 5

	expNew    = subExpect
	expGet    = subExpect | 1
	expDelete = subExpect | 2
)

// dial opens a socket of NETLINK_NETFILTER with buffers of at least the given sizes (0 leaves the kernel's), and returns it with
// its port id.
func dial(receive, send int) (fd int, port uint32, err error) {
	fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
	if err != nil {
		return -1, 0, fmt.Errorf("netlink socket: %w", err)
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
			fd = -1
		}
	}()
	if receive > 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receive); err != nil {
			return fd, 0, fmt.Errorf("receive buffer of %d bytes: %w", receive, err)
		}
	}
	if send > 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, send); err != nil {
			return fd, 0, fmt.Errorf("send buffer of %d bytes: %w", send, err)
		}
	}
	// An error's answer repeats the request otherwise.
	if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1); err != nil {
		return fd, 0, fmt.Errorf("short acknowledgements: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fd, 0, fmt.Errorf("bind: %w", err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return fd, 0, fmt.Errorf("port id: %w", err)
	}
	nl, ok := sa.(*unix.SockaddrNetlink)
	if !ok {
		return fd, 0, fmt.Errorf("port id: address of type %T", sa)
	}
	return fd, nl.Pid, nil
}
