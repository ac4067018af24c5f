// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// request is one message of the batch under way.
type request struct {
	// work is what the answer is for, as an index into Table.work; -1: nobody.
	work int32
	// part of the work: one that deletes and then creates sends two messages.
	part uint8
}

// Parts of a work.
const (
	partOnly  = iota // the one that decides
	partClear        // the deletion before it
)

// begin begins a message in the batch. The caller appends attributes to t.out and calls end.
func (t *Table) begin(typ, flags uint16, family uint8, r request) (at int) {
	at = len(t.out)
	seq := t.seq + uint32(len(t.sent))
	t.sent = append(t.sent, r)
	t.out = append(t.out, 0, 0, 0, 0)
	t.out = binary.NativeEndian.AppendUint16(t.out, typ)
	t.out = binary.NativeEndian.AppendUint16(t.out, flags|unix.NLM_F_REQUEST)
	t.out = binary.NativeEndian.AppendUint32(t.out, seq)
	t.out = append(t.out, 0, 0, 0, 0, family, unix.NFNETLINK_V0, 0, 0)
	return at
}

// end ends the message that begins at.
func (t *Table) end(at int) {
	t.out = pad(t.out)
	binary.NativeEndian.PutUint32(t.out[at:], uint32(len(t.out)-at))
	t.lastAt = at
}

// full says that the batch is to be sent before more is added.
func (t *Table) full() bool { return len(t.sent) >= t.limit-1 || len(t.out) >= maxBytes }

// exchange sends the batch and calls answer for every answer; no answer to a request is success. The kernel works on the batch while it
// is being sent, so all answers are there when that returns.
func (t *Table) exchange(answer func(r request, errno unix.Errno, m Message)) error {
	if len(t.sent) == 0 {
		return nil
	}
	// The last message's acknowledgement says that the kernel has worked on the batch at all.
	flags := t.out[t.lastAt+6:]
	binary.NativeEndian.PutUint16(flags, binary.NativeEndian.Uint16(flags)|unix.NLM_F_ACK)
	first, n := t.seq, uint32(len(t.sent))
	defer func() {
		t.seq += n
		t.sent, t.out = t.sent[:0], t.out[:0]
	}()
	if _, err := unix.Write(t.fd, t.out); err != nil {
		return fmt.Errorf("conntrack: send %d requests: %w", n, err)
	}
	const missing = unix.EAGAIN
	last := missing // the acknowledgement, once it is there
	var whole error
	for last == missing { // it comes behind all others
		if err := t.in.receive(t.fd); err == unix.EAGAIN { //nolint:errorlint // receive returns bare errnos
			break
		} else if err != nil {
			return fmt.Errorf("%w: %w", errLostAnswers, err)
		}
		t.in.each(func(seq uint32, m Message) {
			i := seq - first
			if i >= n {
				return // of a batch that was given up
			}
			if m.Type != unix.NLMSG_ERROR {
				answer(t.sent[i], 0, m)
				return
			}
			if len(m.Payload) < 4 {
				return
			}
			errno := unix.Errno(-int32(binary.NativeEndian.Uint32(m.Payload)))
			if i == n-1 {
				last = errno
			}
			if errno == unix.EPERM && i == 0 {
				whole = fmt.Errorf("conntrack: write the table: %w (it takes CAP_NET_ADMIN in the network namespace)", errno)
			}
			if errno != 0 {
				answer(t.sent[i], errno, Message{})
			}
		})
	}
	if last == missing {
		if whole != nil {
			return whole
		}
		return errLostAnswers
	}
	return nil
}

// message appends a message with the attributes that attrs appends.
func (t *Table) message(typ, flags uint16, family uint8, r request, attrs func([]byte) []byte) {
	at := t.begin(typ, flags, family, r)
	t.out = attrs(t.out)
	t.end(at)
}

// without appends what attrs appends, less the attributes in drop.
func (t *Table) without(dst []byte, drop set, attrs func([]byte) []byte) []byte {
	if drop == 0 {
		return attrs(dst)
	}
	t.spare = attrs(t.spare[:0])
	return appendWithout(dst, t.spare, drop)
}
