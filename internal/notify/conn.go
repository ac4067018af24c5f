// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds one attempt to connect or to write.
const patience = 3 * time.Second

// conn is a connection that is opened when it is needed, and anew after a failure. Its owner's goroutine is the only one that uses it.
type conn struct {
	network, address string
	c                net.Conn
}

// write sends one message. After an error the connection is closed.
func (c *conn) write(ctx context.Context, text []byte) error {
	if c.c != nil && c.ended() {
		c.close()
	}
	if c.c == nil {
		dialer := net.Dialer{Timeout: patience}
		n, err := dialer.DialContext(ctx, c.network, c.address)
		if err != nil {
			return err
		}
		c.c = n
	}
	deadline := time.Now().Add(patience)
	if at, ok := ctx.Deadline(); ok && at.Before(deadline) {
		deadline = at
	}
	open := c.c
	defer context.AfterFunc(ctx, func() { _ = open.SetWriteDeadline(time.Unix(1, 0)) })()
	err := c.c.SetWriteDeadline(deadline)
	if err == nil {
		_, err = c.c.Write(text)
	}
	if err != nil {
		c.close()
	}
	return err
}

// ended reports whether a receiver over TCP has closed the connection: a write would be lost without an error.
func (c *conn) ended() bool {
	t, ok := c.c.(*net.TCPConn)
	if !ok {
		return false
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return true
	}
	ended := false
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		ended = err == nil && n == 0 || err != nil && !errors.Is(err, unix.EAGAIN)
	})
	return ended || err != nil && !errors.Is(err, io.EOF)
}

func (c *conn) close() {
	if c.c != nil {
		_ = c.c.Close()
		c.c = nil
	}
}
