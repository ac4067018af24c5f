// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"fmt"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/stamp"
	"github.com/holdfast-project/holdfast/lab/tap"
)

// receiveBuffer holds more than a second of two flows, so that a stalled receiving task loses nothing.
const receiveBuffer = 8 << 20

// end is one socket: one host, one family. Both directions use it.
type end struct {
	fd   int
	addr netip.Addr
	once sync.Once
}

func (e *end) close() { e.once.Do(func() { _ = unix.Close(e.fd) }) }

func (e Endpoint) addr(family int) netip.Addr {
	if family == 6 {
		return e.Addr6
	}
	return e.Addr4
}

// openSocket opens a UDP socket bound to addr and port in a namespace. It is not connected: a connected one would report ICMP
// errors of the fault under test as failures to send.
func openSocket(in tap.Namespace, addr netip.Addr, port uint16) (int, error) {
	fd := -1
	err := in.Do(func() error {
		domain := unix.AF_INET
		if addr.Is6() {
			domain = unix.AF_INET6
		}
		var err error
		fd, err = unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open UDP socket: %w", err)
		}
		if err := stamp.Enable(fd); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer); err != nil {
			return fmt.Errorf("set SO_RCVBUFFORCE to %d: %w", receiveBuffer, err)
		}
		if err := unix.Bind(fd, sockaddr(addr, port)); err != nil {
			return fmt.Errorf("bind to %s port %d: %w", addr, port, err)
		}
		return nil
	})
	if err != nil && fd >= 0 {
		_ = unix.Close(fd)
		fd = -1
	}
	return fd, err
}

func sockaddr(addr netip.Addr, port uint16) unix.Sockaddr {
	if addr.Is4() {
		return &unix.SockaddrInet4{Port: int(port), Addr: addr.As4()}
	}
	return &unix.SockaddrInet6{Port: int(port), Addr: addr.As16()}
}
