// SPDX-License-Identifier: Apache-2.0

package announce

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// socket sends whole frames on one interface. It receives nothing: protocol 0 costs the receive path no work.
type socket struct {
	fd int
}

// openSocket binds a raw socket to an interface. The socket never blocks: a full queue drops the frame, and the series
// repeats it.
func openSocket(index int) (*socket, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("raw socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: index}); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("raw socket: bind: %w", err)
	}
	// TC_PRIO_CONTROL: ahead of forwarded traffic in the default queueing discipline. Room for a burst of thousands of
	// small frames. Neither is worth failing for.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PRIORITY, 7)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 4<<20)
	return &socket{fd: fd}, nil
}

// send puts a frame on the wire or returns the kernel's refusal.
func (s *socket) send(b []byte) error {
	for {
		_, err := unix.Write(s.fd, b)
		if err != unix.EINTR {
			return err
		}
	}
}

// boundTo reports whether a raw socket sends and hears on an interface. A device that was gone has taken its sockets with it, also where it is
// back by now with the same index, and says so to nobody who waits.
func boundTo(fd, index int) bool {
	name, err := unix.Getsockname(fd)
	at, is := name.(*unix.SockaddrLinklayer)
	return err == nil && is && at.Ifindex == index
}

func (s *socket) close() { _ = unix.Close(s.fd) }
