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
	fd, err := dumpSocket(namespace)
	if err != nil {
		return fmt.Errorf("nftables: netlink: %w", err)
	}
	defer unix.Close(fd) //nolint:errcheck // it was read from only
	m.Header.Flags |= netlink.Dump
	m.Header.Length = uint32(unix.NLMSG_HDRLEN + len(m.Data)) //nolint:gosec // a request
	request, err := m.MarshalBinary()
	if err != nil {
		return err
	}
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("nftables: netlink: %w", err)
	}
	buffer := make([]byte, walkBuffer)
	for w := (walker{f: f}); !w.done; {
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
		if err := w.read(buffer[:n]); err != nil {
			return err
		}
	}
	return nil
}

// dumpSocket opens a socket in a namespace that waits answerTime for an answer.
func dumpSocket(namespace int) (fd int, err error) {
	err = within(namespace, func() (err error) {
		fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
		return err
	})
	if err != nil {
		return -1, err
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: int64(answerTime.Seconds())}); err != nil {
		return -1, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

// nfgenmsgLen is the length of the kernel's struct nfgenmsg.
const nfgenmsgLen = 4

// walker reads the answer to a dump.
type walker struct {
	f           func(attrs []byte) error
	interrupted bool
	done        bool
}

// read takes what came in one piece: whole messages, the last of which may end the dump.
func (w *walker) read(b []byte) error {
	for len(b) >= unix.NLMSG_HDRLEN && !w.done {
		length := int(binary.NativeEndian.Uint32(b))
		if length < unix.NLMSG_HDRLEN || length > len(b) {
			return fmt.Errorf("nftables: netlink: a message of %d bytes, %d are left", length, len(b))
		}
		typ, flags, body := binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint16(b[6:]), b[unix.NLMSG_HDRLEN:length]
		w.interrupted = w.interrupted || flags&unix.NLM_F_DUMP_INTR != 0
		switch {
		case typ == unix.NLMSG_ERROR || typ == unix.NLMSG_DONE:
			w.done = true
			return w.end(body)
		case len(body) >= nfgenmsgLen:
			if err := w.f(body[nfgenmsgLen:]); err != nil {
				return err
			}
		}
		b = b[min((length+3)&^3, len(b)):]
	}
	return nil
}

// end is what the last message says.
func (w *walker) end(body []byte) error {
	if len(body) >= 4 {
		if errno := -int32(binary.NativeEndian.Uint32(body)); errno > 0 { //nolint:gosec // two's complement
			return unix.Errno(errno)
		}
	}
	if w.interrupted {
		return unix.EINTR
	}
	return nil
}
