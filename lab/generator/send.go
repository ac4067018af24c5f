// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batch is how many frames one system call sends.
const batch = 64

// message is the kernel's struct mmsghdr.
type message struct {
	header unix.Msghdr
	sent   uint32
	_      [4]byte
}

// sender sends frames out of a device, one after the other and again from the first. One thread uses it at a time; its counts may be
// read by others.
type sender struct {
	fd       int
	name     string
	frames   [][]byte
	vectors  []unix.Iovec
	messages []message // of the flows, and the first batch of them again, so that a batch never wraps
	next     int
	to       unix.RawSockaddrLinklayer

	sent, refused atomic.Uint64
}

// openSender opens a packet socket at a node's first port. It receives nothing.
func openSender(cfg Config, flows []Flow) (*sender, error) {
	port := cfg.Node.Ports[0]
	s := &sender{fd: -1, name: cfg.Node.Name}
	err := cfg.Node.NS.Do(func() error {
		ifi, err := net.InterfaceByName(port.Device)
		if err != nil {
			return err
		}
		s.to = unix.RawSockaddrLinklayer{Family: unix.AF_PACKET, Ifindex: int32(ifi.Index), Halen: macLen}
		copy(s.to.Addr[:], cfg.NextHop)
		if s.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return fmt.Errorf("open a packet socket: %w", err)
		}
		return unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1)
	})
	if err != nil {
		s.close()
		return nil, fmt.Errorf("generator at %s of %s: %w", port.Device, s.name, err)
	}
	for _, f := range flows {
		s.frames = append(s.frames, frame(cfg.NextHop, port.MAC, f))
	}
	s.vectors = make([]unix.Iovec, len(s.frames))
	s.messages = make([]message, len(s.frames)+batch)
	for i := range s.messages {
		k := i % len(s.frames)
		s.vectors[k].Base = &s.frames[k][0]
		s.vectors[k].SetLen(len(s.frames[k]))
		h := &s.messages[i].header
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&s.to)), unix.SizeofSockaddrLinklayer
		h.Iov = &s.vectors[k]
		h.SetIovlen(1)
	}
	return s, nil
}

// batch sends the next count frames, count at most batch, or less: what a signal leaves over.
func (s *sender) batch(count int) error {
	// The runtime is not told of the call: it would take the thread for blocked, and wake others to do its work.
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.messages[s.next])), uintptr(count), 0, 0, 0)
	switch {
	case errno == 0:
	case errors.Is(errno, unix.EINTR), errors.Is(errno, unix.EAGAIN):
		return nil
	case errors.Is(errno, unix.ENOBUFS):
		n = 1
		s.refused.Add(1)
	default:
		return fmt.Errorf("generator at %s: send: %w", s.name, errno)
	}
	s.next = (s.next + int(n)) % len(s.frames)
	s.sent.Add(uint64(n))
	return nil
}

func (s *sender) close() {
	if s.fd >= 0 {
		unix.Close(s.fd)
		s.fd = -1
	}
}
