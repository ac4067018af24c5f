// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds one attempt to connect or to write.
const patience = 3 * time.Second

// confirmTimeout is how long a receiver over TCP may take to acknowledge what was sent before the connection counts as dead. The kernel alone
// would try for a quarter of an hour, and take everything that is written meanwhile.
const confirmTimeout = 5 * time.Second

// conn is a connection that is opened when it is needed, and anew after a failure. Its owner's goroutine is the only one that uses it. Over
// TCP it keeps what the receiver's machine has not acknowledged, and sends it again on the next connection.
type conn struct {
	network, address string
	confirm          time.Duration // TCP: after which silence the receiver is dead
	c                net.Conn
	written          uint64 // bytes, on c
	kept             []unconfirmed
}

// unconfirmed is a message that was written, but may not have arrived.
type unconfirmed struct {
	text []byte
	end  uint64 // of it, in bytes of the connection
	at   time.Time
}

// write sends one message, after those that the last connection lost; an empty one sends only those. After an error the connection is closed.
func (c *conn) write(ctx context.Context, text []byte) error {
	if err := c.check(); err != nil && !errors.Is(err, errEnded) {
		return err
	}
	if c.c == nil {
		if err := c.open(ctx); err != nil {
			return err
		}
	}
	if len(text) == 0 {
		return nil
	}
	return c.put(ctx, text)
}

// open connects, and repeats what was not acknowledged.
func (c *conn) open(ctx context.Context) error {
	dialer := net.Dialer{Timeout: patience}
	n, err := dialer.DialContext(ctx, c.network, c.address)
	if err != nil {
		return err
	}
	c.c, c.written = n, 0
	if _, ok := n.(*net.TCPConn); ok {
		// The check before each message sees the same, but not while nobody looks.
		_ = c.control(func(fd int) error {
			return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(c.confirm/time.Millisecond))
		})
	}
	again := c.kept
	c.kept = nil
	for i, k := range again {
		if err := c.put(ctx, k.text); err != nil {
			c.kept = append(c.kept, again[i:]...)
			return err
		}
	}
	return nil
}

func (c *conn) put(ctx context.Context, text []byte) error {
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
		return err
	}
	if c.network == "tcp" {
		c.written += uint64(len(text))
		c.kept = append(c.kept, unconfirmed{text, c.written, time.Now()})
	}
	return nil
}

// waits reports whether something was written that the receiver's machine has not acknowledged yet, as far as check has seen.
func (c *conn) waits() bool { return len(c.kept) > 0 }

// errEnded is what check says of a connection that the receiver has closed: a new one may work at once.
var errEnded = errors.New("it has closed the connection")

// check looks after a connection over TCP: forgets what the receiver's machine has acknowledged, and closes it when the receiver has ended it
// (a write would be lost without an error) or acknowledges nothing any more.
func (c *conn) check() error {
	if _, ok := c.c.(*net.TCPConn); !ok {
		return nil
	}
	ended := false
	var waiting int
	err := c.control(func(fd int) (err error) {
		waiting, err = unix.IoctlGetInt(fd, unix.SIOCOUTQ) // also of a dead connection
		var b [1]byte
		n, _, e := unix.Recvfrom(fd, b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		ended = e == nil && n == 0 || e != nil && !errors.Is(e, unix.EAGAIN)
		return err
	})
	if err != nil {
		c.close()
		return errEnded
	}
	arrived := c.written - uint64(waiting)
	for len(c.kept) > 0 && c.kept[0].end <= arrived {
		c.kept = c.kept[1:]
	}
	switch {
	case ended:
		c.close()
		return errEnded
	case len(c.kept) > 0 && time.Since(c.kept[0].at) > c.confirm:
		// What the kernel still holds is sent anew: it must not go on trying.
		_ = c.c.(*net.TCPConn).SetLinger(0)
		c.close()
		return fmt.Errorf("%s acknowledges nothing for %s: is it down, or stuck?", c.address, c.confirm)
	}
	return nil
}

// control calls f with the socket.
func (c *conn) control(f func(fd int) error) error {
	raw, err := c.c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	e := raw.Control(func(fd uintptr) { err = f(int(fd)) })
	return errors.Join(e, err)
}

func (c *conn) close() {
	if c.c != nil {
		_ = c.c.Close()
		c.c = nil
	}
}
