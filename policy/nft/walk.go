// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// walkBuffer is what one message of a dump may fill. The kernel makes messages no longer than the largest buffer that it has seen on the
// socket, and walks a set from its beginning for each of them: with the library's buffers of a page, 100,000 elements take 0.9 s instead of
// a tenth of it.
const walkBuffer = 64 << 10

// walk dumps on a socket of its own and calls f with each message's attributes. EINTR says that what is dumped changed meanwhile.
func walk(namespace int, m netlink.Message, f func(attrs []byte) error) error {
	var fd int
	err := within(namespace, func() (err error) {
		fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
		return err
	})
	if err != nil {
		return fmt.Errorf("nftables: netlink: %w", err)
	}
	defer unix.Close(fd) //nolint:errcheck // it was read from only
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: int64(answerTime.Seconds())}); err != nil {
		return err
	}
	m.Header.Flags |= netlink.Dump
	m.Header.Length = uint32(16 + len(m.Data)) //nolint:gosec // a request
	request, err := m.MarshalBinary()
	if err != nil {
		return err
	}
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("nftables: netlink: %w", err)
	}
	buffer := make([]byte, walkBuffer)
	interrupted := false
	for {
		n, from, err := unix.Recvfrom(fd, buffer, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("nftables: netlink: %w", err)
		}
		if nl, ok := from.(*unix.SockaddrNetlink); !ok || nl.Pid != 0 {
			continue // not the kernel's
		}
		for b := buffer[:n]; len(b) >= 16; {
			length := int(binary.NativeEndian.Uint32(b))
			if length < 16 || length > len(b) {
				return fmt.Errorf("nftables: netlink: a message of %d bytes, %d are left", length, len(b))
			}
			typ, flags, body := binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint16(b[6:]), b[16:length]
			interrupted = interrupted || flags&unix.NLM_F_DUMP_INTR != 0
			switch {
			case typ == unix.NLMSG_ERROR || typ == unix.NLMSG_DONE:
				if len(body) >= 4 {
					if errno := -int32(binary.NativeEndian.Uint32(body)); errno > 0 { //nolint:gosec // two's complement
						return unix.Errno(errno)
					}
				}
				if interrupted {
					return unix.EINTR
				}
				return nil
			case len(body) >= 4:
				if err := f(body[4:]); err != nil {
					return err
				}
			}
			b = b[min((length+3)&^3, len(b)):]
		}
	}
}
