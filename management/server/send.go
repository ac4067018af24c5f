// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/holdfast-project/holdfast/management/api"
)

// piece is what a client has to take in within Options.lineWithin, again and again: who does makes progress, and is not cut off however long all of it
// takes. It is slower than any line that management is used over.
const piece = 128 << 10

// file sends bytes.
type file struct {
	kind string
	data []byte
}

// stored sends a file that has no name any more, and is gone when it is closed: what is in memory no longer takes no place of all clients.
type stored struct {
	kind string
	file *os.File
	size int64
}

// spool writes an answer to the disk, and gives back what all clients share before the first byte is sent. It is closed with the request.
func (c *call) spool(kind string, write func(io.Writer) error) (stored, error) {
	f, err := os.CreateTemp("", "holdfast-mgmt-") // made with mode 0600
	if err != nil {
		return stored{}, noRoom(err)
	}
	c.after = append(c.after, func() { _ = f.Close() })
	if err := os.Remove(f.Name()); err != nil {
		return stored{}, noRoom(err)
	}
	if err := write(f); err != nil {
		if e := (*os.PathError)(nil); errors.As(err, &e) {
			err = noRoom(err)
		}
		return stored{}, err
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return stored{}, noRoom(err)
	}
	c.shared()
	return stored{kind, f, size}, nil
}

func noRoom(err error) error {
	return &api.Error{Code: api.CodeUnavailable, What: fmt.Sprintf("the answer cannot be kept until it is sent: %v", err), WayOut: "make room for temporary files on the server"}
}

// send writes an answer that is whole before its first byte is sent.
func (c *call) send(status int, kind string, size int64, from io.Reader) {
	h := c.w.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.FormatInt(size, 10))
	c.w.WriteHeader(status)
	if b, ok := from.(*bytes.Reader); ok && size <= piece {
		_, _ = b.WriteTo(c.w) // within the deadline that the request has
		return
	}
	for size > 0 {
		c.deadlines(c.server.o.lineWithin)
		n, err := io.CopyN(c.w, from, min(size, piece))
		if err != nil {
			return // who is gone, or does not read, needs no answer
		}
		size -= n
	}
}
