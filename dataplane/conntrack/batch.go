// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// BatchSize is how many messages one Events.Read takes at most.
const BatchSize = 128

// slotLen is what one message may take. The longest that ctnetlink writes of one entry (two tuples of IPv6, helper, labels,
// synproxy, sequence adjustments) is below 800 bytes, but a security context may have some hundreds more. It is no multiple of a page:
// the beginnings of all slots would fall into the same lines of the cache.
const slotLen = 2112

// Batch is the memory for what one Events.Read takes: about 280 KB, made by NewBatch and used again and again. It is not safe for
// concurrent use.
type Batch struct {
	n         int
	truncated int
	buffer    []byte
	headers   []mmsghdr
	vectors   []unix.Iovec
}

// mmsghdr is struct mmsghdr of recvmmsg(2), which golang.org/x/sys does not have.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// NewBatch makes an empty batch.
func NewBatch() *Batch {
	b := &Batch{
		buffer: make([]byte, BatchSize*slotLen), headers: make([]mmsghdr, BatchSize), vectors: make([]unix.Iovec, BatchSize),
	}
	for i := range b.headers {
		b.vectors[i].Base = &b.buffer[i*slotLen]
		b.vectors[i].SetLen(slotLen)
		b.headers[i].hdr.Iov = &b.vectors[i]
		b.headers[i].hdr.SetIovlen(1)
	}
	return b
}

// Len is how many messages the batch holds.
func (b *Batch) Len() int { return b.n }

// Each calls f for every message in the order in which the kernel sent them. The payloads are good until the batch is read into again.
func (b *Batch) Each(f func(Message)) {
	b.each(func(_ uint32, m Message) { f(m) })
}

// each is Each with the sequence number. Of each datagram it takes the first message: events and answers to requests other than dumps
// have one.
func (b *Batch) each(f func(seq uint32, m Message)) {
	for i := range b.n {
		slot := b.buffer[i*slotLen:][:b.headers[i].len]
		if len(slot) < nlmsgLen {
			continue
		}
		n := int(binary.NativeEndian.Uint32(slot))
		if n < nlmsgLen || n > len(slot) {
			continue
		}
		f(binary.NativeEndian.Uint32(slot[8:]), header(slot, n))
	}
}

// receive reads what is there, at most BatchSize messages, and reports EAGAIN when there is nothing.
func (b *Batch) receive(fd int) error {
	b.n, b.truncated = 0, 0
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b.headers))),
			uintptr(len(b.headers)), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
		case unix.EINTR:
			continue
		default:
			return errno
		}
		b.n = int(n)
		for i := range b.n {
			if b.headers[i].hdr.Flags&unix.MSG_TRUNC != 0 {
				b.truncated++
				b.headers[i].len = 0
			}
		}
		return nil
	}
}
