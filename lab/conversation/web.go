// SPDX-License-Identifier: Apache-2.0

package conversation

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"time"
)

// webPatience bounds one connection of kind web; it is below patience, so that the next one is in time.
const webPatience = 2500 * time.Millisecond

// page reads which page is wanted, sends it with its checksum, and ends.
func page(conn net.Conn) {
	var want [16]byte
	if _, err := io.ReadFull(conn, want[:]); err != nil {
		return
	}
	size := binary.BigEndian.Uint64(want[8:])
	if size > chunkLen {
		return // a stranger
	}
	b := make([]byte, size, size+sumLen)
	fill(b, binary.BigEndian.Uint64(want[:]))
	_, _ = conn.Write(binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))) // the client tells what came
}

// browse fetches pages, each over a connection of its own. One that breaks is counted; a page with a mistake is the end.
func (t *talk) browse(ctx context.Context) error {
	should := make([]byte, min(t.Size, chunkLen))
	broke := false
	for n := uint64(0); ctx.Err() == nil; n++ {
		if !broke { // otherwise something is due since then
			t.due(time.Now())
		}
		is, err := t.fetch(ctx, n)
		fill(should, n)
		broke = err != nil
		switch {
		case ctx.Err() != nil: // it is over
		case err != nil:
			t.broke()
		case !bytes.Equal(is[:len(should)], should) || binary.BigEndian.Uint32(is[len(should):]) != crc32.Checksum(should, castagnoli):
			return fmt.Errorf("page %d differs from what was wanted", n)
		default:
			t.arrived(time.Now(), 1, int64(len(is)))
			t.rest(time.Now(), false)
		}
		t.beat(ctx)
	}
	return nil
}

// fetch gets page n with its checksum.
func (t *talk) fetch(ctx context.Context, n uint64) ([]byte, error) {
	deadline := time.Now().Add(webPatience)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	conn, err := t.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer t.leave(conn)
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	var want [16]byte
	binary.BigEndian.PutUint64(want[:], n)
	binary.BigEndian.PutUint64(want[8:], uint64(min(t.Size, chunkLen)))
	if _, err := conn.Write(want[:]); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(conn, chunkLen+sumLen+1))
	if err == nil && int64(len(b)) != min(t.Size, chunkLen)+sumLen {
		err = fmt.Errorf("page %d has %d bytes", n, len(b))
	}
	return b, err
}
