// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// routes is a netlink socket that asks for routes. It passes them on as they come: of a full table a list would take hundreds of MB.
type routes struct {
	fd  int
	seq uint32
	buf []byte
}

// answerWait is how long the kernel may take for the next part of an answer, which it makes while it is read.
const answerWait = 5

func openRoutes() (*routes, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink socket: %w", err)
	}
	r := &routes{fd: fd, buf: make([]byte, 64<<10)}
	// From Linux 4.20 on the kernel leaves out what a dump does not ask for; before, it sends more, and the reader chooses.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: answerWait}); err != nil {
		r.close()
		return nil, fmt.Errorf("netlink socket: %w", err)
	}
	return r, nil
}

func (r *routes) close() { _ = unix.Close(r.fd) }

// ask sends a request and passes the body of each message of the answer to each. The body is good until each returns.
func (r *routes) ask(kind, flags uint16, body []byte, each func([]byte)) error {
	r.seq++
	b := make([]byte, unix.NLMSG_HDRLEN, unix.NLMSG_HDRLEN+len(body))
	binary.NativeEndian.PutUint32(b, uint32(cap(b)))
	binary.NativeEndian.PutUint16(b[4:], kind)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST|flags)
	binary.NativeEndian.PutUint32(b[8:], r.seq)
	if err := unix.Sendto(r.fd, append(b, body...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("ask the kernel: %w", err)
	}
	for {
		n, _, err := unix.Recvfrom(r.fd, r.buf, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("answer of the kernel: %w", err)
		}
		if done, err := r.messages(r.buf[:n], each); done || err != nil {
			return err
		}
	}
}

// messages passes on what one datagram holds; done is set with the last message of the answer.
func (r *routes) messages(b []byte, each func([]byte)) (done bool, err error) {
	for len(b) >= unix.NLMSG_HDRLEN {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.NLMSG_HDRLEN || size > len(b) {
			return true, fmt.Errorf("answer of the kernel: a message of %d bytes in %d", size, len(b))
		}
		kind, flags, body := binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint16(b[6:]), b[unix.NLMSG_HDRLEN:size]
		ours := binary.NativeEndian.Uint32(b[8:]) == r.seq
		b = b[min(len(b), (size+3)&^3):]
		switch {
		case !ours: // the rest of an answer that was given up
		case kind == unix.NLMSG_DONE || kind == unix.NLMSG_ERROR:
			if len(body) >= 4 {
				if code := int32(binary.NativeEndian.Uint32(body)); code != 0 {
					return true, unix.Errno(-code)
				}
			}
			return true, nil
		default:
			each(body)
			if flags&unix.NLM_F_MULTI == 0 {
				return true, nil
			}
		}
	}
	return false, nil
}
