// SPDX-License-Identifier: Apache-2.0

package segment

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// BatchLen is how many frames go through one system call; longer batches take several.
const BatchLen = 64

// Frame is one frame of a batch, without its Ethernet header.
type Frame struct {
	// MAC is the address that it is for, or the one that it came from.
	MAC [6]byte
	// Bytes is the frame. To receive, its capacity is the room: what is longer is cut.
	Bytes []byte
}

// message is Linux's struct mmsghdr.
type message struct {
	unix.Msghdr
	n uint32
	_ [unsafe.Sizeof(uintptr(0)) - 4]byte
}

// messages is what one system call needs, kept so that nothing is allocated for the next.
type messages struct {
	headers [BatchLen]message
	parts   [BatchLen][2]unix.Iovec // Ethernet header, frame
	heads   [BatchLen][ethLen + vlanLen]byte
}

func newMessages(head int) *messages {
	m := &messages{}
	for i := range m.headers {
		m.parts[i][0].Base = &m.heads[i][0]
		m.parts[i][0].SetLen(head)
		m.headers[i].Iov = &m.parts[i][0]
		m.headers[i].SetIovlen(len(m.parts[i]))
	}
	return m
}

// put makes b the frame of message i, until release.
func (m *messages) put(i int, b []byte) {
	put(&m.parts[i][1], b)
}

func (m *messages) release(n int) {
	for i := range n {
		m.parts[i][1].Base = nil
	}
}

// call is sendmmsg or recvmmsg for the first n messages, and returns how many were dealt with.
func (m *messages) call(trap uintptr, fd, n int) (int, error) {
	for {
		done, _, errno := unix.Syscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(&m.headers[0])), uintptr(n), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return int(done), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// SendBatch sends frames in their order with as few system calls as it can, and returns how many have left. It never blocks: at the
// first that could not be sent it stops, with the error that Send would have for it, and what to do with the rest is the caller's to
// say. It allocates nothing after its first call.
func (c *Conn) SendBatch(frames []Frame) (sent int, err error) {
	c.sending.Lock()
	defer c.sending.Unlock()
	if c.outBatch == nil {
		c.outBatch = newMessages(int(c.out[0].Len))
	}
	for sent < len(frames) {
		if c.closed.Load() {
			return sent, os.ErrClosed
		}
		n := min(len(frames)-sent, BatchLen)
		for i, f := range frames[sent : sent+n] {
			copy(c.outBatch.heads[i][:], f.MAC[:])
			copy(c.outBatch.heads[i][len(f.MAC):], c.head[len(f.MAC):c.out[0].Len])
			c.outBatch.put(i, f.Bytes)
		}
		done, err := c.outBatch.call(unix.SYS_SENDMMSG, c.tx, n)
		c.outBatch.release(n)
		if err != nil {
			return sent, err
		}
		sent += done
	}
	return sent, nil
}

// RecvBatch waits for a frame as Recv does, and takes what else is there by then, up to BatchLen frames: into frames[0] and so on, whose
// Bytes must have a capacity and get the frames' lengths. It returns how many came. It allocates nothing after its first call.
func (c *Conn) RecvBatch(frames []Frame) (received int, err error) {
	raw, err := c.pollable()
	if err != nil {
		return 0, err
	}
	c.receiving.Lock()
	defer c.receiving.Unlock()
	if c.inBatch == nil {
		c.inBatch, c.readBatch = newMessages(ethLen), c.tryReadBatch
	}
	frames = frames[:min(len(frames), BatchLen)]
	for i := range frames {
		frames[i].Bytes = frames[i].Bytes[:cap(frames[i].Bytes)]
		c.inBatch.put(i, frames[i].Bytes)
	}
	defer c.inBatch.release(len(frames))
	c.n = len(frames)
	if err := raw.Read(c.readBatch); err != nil {
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			err = os.ErrClosed
		}
		return 0, err
	}
	if c.err != nil {
		return 0, c.err
	}
	for i := range c.n {
		frames[i].Bytes = frames[i].Bytes[:max(0, int(c.inBatch.headers[i].n)-ethLen)]
		frames[i].MAC = [6]byte(c.inBatch.heads[i][6:12])
	}
	return c.n, nil
}

// tryReadBatch reads c.n frames at most and reports whether there was anything to say.
func (c *Conn) tryReadBatch(fd uintptr) bool {
	n, err := c.inBatch.call(unix.SYS_RECVMMSG, int(fd), c.n)
	if errors.Is(err, unix.EAGAIN) {
		return false
	}
	c.n, c.err = n, err
	return true
}

// Lost returns how many frames the kernel had for this socket since the last call and had no room for.
func (c *Conn) Lost() (uint32, error) {
	c.blocking.Lock()
	defer c.blocking.Unlock()
	if c.closed.Load() {
		return 0, os.ErrClosed
	}
	var stats unix.TpacketStats
	size := uint32(unsafe.Sizeof(stats))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(c.fd), unix.SOL_PACKET, unix.PACKET_STATISTICS,
		uintptr(unsafe.Pointer(&stats)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return 0, fmt.Errorf("segment: read the socket's statistics: %w", errno)
	}
	return stats.Drops, nil
}
