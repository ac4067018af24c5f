// SPDX-License-Identifier: Apache-2.0

package ftp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/lab/tap"
)

// Client is a control connection. It is not safe for concurrent use, but for Close.
type Client struct {
	in    tap.Namespace
	conn  net.Conn
	lines *bufio.Reader
}

// Dial opens a control connection from an address in a namespace and logs in.
func Dial(ctx context.Context, in tap.Namespace, from netip.Addr, to netip.AddrPort, patience time.Duration) (*Client, error) {
	c := &Client{in: in}
	err := in.Do(func() (err error) {
		d := net.Dialer{Timeout: patience, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
		c.conn, err = d.DialContext(ctx, "tcp", to.String())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ftp: %w", err)
	}
	c.lines = bufio.NewReader(c.conn)
	if _, err = c.answer(220); err == nil {
		_, err = c.Do(331, "USER lab")
	}
	if err == nil {
		_, err = c.Do(230, "PASS lab")
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Close ends the connection without a word.
func (c *Client) Close() error { return c.conn.Close() }

// Do says a command and returns the text of the answer, which must have the code want.
func (c *Client) Do(want int, command string) (string, error) {
	if _, err := io.WriteString(c.conn, command+"\r\n"); err != nil {
		return "", fmt.Errorf("ftp: %s: %w", command, err)
	}
	text, err := c.answer(want)
	if err != nil {
		return "", fmt.Errorf("ftp: %s: %w", command, err)
	}
	return text, nil
}

func (c *Client) answer(want int) (string, error) {
	line, err := c.lines.ReadString('\n')
	if err != nil {
		return "", err
	}
	if !strings.HasPrefix(line, fmt.Sprint(want, " ")) {
		return "", fmt.Errorf("answer %q, not %d", strings.TrimSpace(line), want)
	}
	return strings.TrimSpace(line), nil
}

func (c *Client) here() netip.Addr {
	return c.conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
}

func (c *Client) there() netip.Addr {
	return c.conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
}

// Transfer is a file transfer that has been agreed on but not begun: the gateway expects its data connection.
type Transfer struct {
	client   *Client
	to       netip.AddrPort // of a passive one
	listener net.Listener   // of an active one
}

// Prepare agrees on the next data connection: active ones are opened by the server. IPv6 uses the extended commands.
func (c *Client) Prepare(active bool) (*Transfer, error) {
	t := &Transfer{client: c}
	if active {
		return t, t.prepareActive()
	}
	if c.here().Is6() {
		text, err := c.Do(229, "EPSV")
		if err == nil {
			t.to, err = parseExtended(between(text, "(", ")"))
		}
		t.to = netip.AddrPortFrom(c.there(), t.to.Port())
		return t, err
	}
	text, err := c.Do(227, "PASV")
	if err == nil {
		t.to, err = parseHostPort(between(text, "(", ")"))
	}
	return t, err
}

func (t *Transfer) prepareActive() error {
	c := t.client
	err := c.in.Do(func() (err error) {
		t.listener, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.here(), 0)))
		return err
	})
	if err != nil {
		return err
	}
	at := netip.AddrPortFrom(c.here(), t.listener.Addr().(*net.TCPAddr).AddrPort().Port())
	command := "EPRT " + extended(at)
	if at.Addr().Is4() {
		command = "PORT " + hostPort(at)
	}
	if _, err = c.Do(200, command); err != nil {
		t.Cancel()
	}
	return err
}

// Cancel gives up a transfer that was not fetched.
func (t *Transfer) Cancel() {
	if t.listener != nil {
		_ = t.listener.Close() // nobody waits on it
		t.listener = nil
	}
}

// Fetch fetches size bytes, which the server sends in about the time over, unless ctx ends. arrived is called with the length of each piece of
// them, once it has been checked. Content that differs is an error, as is a stop of data for patience.
func (t *Transfer) Fetch(ctx context.Context, size int64, over, patience time.Duration, arrived func(int)) error {
	defer t.Cancel()
	c := t.client
	if _, err := fmt.Fprintf(c.conn, "RETR %d/%s\r\n", size, over); err != nil {
		return fmt.Errorf("ftp: RETR: %w", err)
	}
	conn, err := t.open(ctx, patience)
	if err != nil {
		return fmt.Errorf("ftp: data connection: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // ends the reading
	if _, err := c.answer(150); err != nil {
		return fmt.Errorf("ftp: RETR: %w", err)
	}
	if err := check(conn, size, patience, arrived); err != nil {
		return fmt.Errorf("ftp: data connection: %w", err)
	}
	if _, err := c.answer(226); err != nil {
		return fmt.Errorf("ftp: after the transfer: %w", err)
	}
	return nil
}

func (t *Transfer) open(ctx context.Context, patience time.Duration) (conn net.Conn, err error) {
	if l := t.listener; l != nil { // Cancel forgets it, and may do so before the end of ctx is noticed
		if err := l.(*net.TCPListener).SetDeadline(time.Now().Add(patience)); err != nil {
			return nil, err
		}
		defer context.AfterFunc(ctx, func() { _ = l.Close() })() // ends the waiting
		return l.Accept()
	}
	c := t.client
	err = c.in.Do(func() error {
		d := net.Dialer{Timeout: patience, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.here(), 0))}
		conn, err = d.DialContext(ctx, "tcp", t.to.String())
		return err
	})
	return conn, err
}

// check reads size bytes and the end.
func check(conn net.Conn, size int64, patience time.Duration, arrived func(int)) error {
	buf := make([]byte, patternLen)
	for at := int64(0); ; {
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		n, err := conn.Read(buf)
		if n > 0 && !bytes.Equal(buf[:n], content(at, n)) {
			return fmt.Errorf("wrong content between bytes %d and %d", at, at+int64(n))
		}
		at += int64(n)
		if n > 0 {
			arrived(n)
		}
		switch {
		case errors.Is(err, io.EOF) && at == size:
			return nil
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%d bytes of %d", at, size)
		case err != nil:
			return err
		}
	}
}
