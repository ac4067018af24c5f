// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Get reads one connection: the one that attrs (as record.AppendDelete and record.AppendMaster make them) name. Its payload is appended
// to dst. The error wraps ENOENT if there is none.
func (t *Table) Get(dst []byte, family uint8, attrs []byte) (Message, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return Message{}, os.ErrClosed
	}
	var got Message
	refused := unix.ENOENT
	t.message(msgGet, 0, family, request{}, func(b []byte) []byte { return append(b, attrs...) })
	err := t.exchange(func(_ request, errno unix.Errno, m Message) {
		if refused = errno; errno == 0 {
			at := len(dst)
			dst = append(dst, m.Payload...)
			got = Message{Type: m.Type, Flags: m.Flags, Port: m.Port, Payload: dst[at:]}
		}
	})
	if err == nil && got.Payload == nil {
		err = refused
	}
	if err != nil {
		return Message{}, fmt.Errorf("conntrack: read a connection: %w", err)
	}
	return got, nil
}
