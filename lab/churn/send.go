// SPDX-License-Identifier: Apache-2.0

package churn

import (
	"errors"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/topology"
)

// batch is how many packets one system call sends at most.
const batch = 64

// message is the kernel's struct mmsghdr.
type message struct {
	header unix.Msghdr
	sent   uint32
	_      [4]byte
}

// sender sends raw packets with whole IP headers. It is not safe for concurrent use.
type sender struct {
	fd       int
	make     maker
	packets  [batch][]byte
	vectors  [batch]unix.Iovec
	messages [batch]message
}

// openSender opens a raw socket on node, connected to an address so that the kernel looks its route up once.
func openSender(node *topology.Node, to netip.Addr, m maker) (*sender, error) {
	s := &sender{fd: -1, make: m}
	err := node.NS.Do(func() (err error) {
		family, peer := unix.AF_INET, unix.Sockaddr(nil)
		if to.Is6() {
			family, peer = unix.AF_INET6, &unix.SockaddrInet6{Addr: to.As16()}
		} else {
			peer = &unix.SockaddrInet4{Addr: to.As4()}
		}
		if s.fd, err = unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW); err != nil {
			return fmt.Errorf("open a raw socket: %w", err)
		}
		if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 8<<20); err != nil {
			return fmt.Errorf("set SO_SNDBUFFORCE: %w", err)
		}
		return unix.Connect(s.fd, peer)
	})
	if err != nil {
		s.close()
		return nil, fmt.Errorf("churn: sender of %s to %s: %w", node.Name, to, err)
	}
	for i := range batch {
		s.packets[i] = make([]byte, len(m.base))
		s.vectors[i].Base = &s.packets[i][0]
		s.vectors[i].SetLen(len(m.base))
		s.messages[i].header.Iov = &s.vectors[i]
		s.messages[i].header.SetIovlen(1)
	}
	return s, nil
}

// send sends the first packets of count connections from number first on, count at most batch, and returns how many it sent. A
// packet that the host's own stack refuses (no route, no neighbour) is left out: refused is then 1, and the packet counts as sent.
func (s *sender) send(first, count int) (sent, refused int, err error) {
	for i := range count {
		s.make.put(s.packets[i], first+i)
	}
	for {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.messages[0])), uintptr(count), 0, 0, 0)
		switch {
		case errno == 0:
			return int(n), 0, nil
		case errors.Is(errno, unix.EINTR):
		case errors.Is(errno, unix.ENOBUFS), errors.Is(errno, unix.ENETUNREACH), errors.Is(errno, unix.EHOSTUNREACH),
			errors.Is(errno, unix.ENETDOWN), errors.Is(errno, unix.EPERM):
			return 1, 1, nil
		default:
			return 0, 0, fmt.Errorf("churn: send connection %d: %w", first, errno)
		}
	}
}

func (s *sender) close() {
	if s.fd >= 0 {
		_ = unix.Close(s.fd) // nothing is lost with it
		s.fd = -1
	}
}
