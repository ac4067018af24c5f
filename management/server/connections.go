// SPDX-License-Identifier: Apache-2.0

package server

import (
	"container/list"
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-project/holdfast/management/pki"
)

// Bounds of connections. A fleet may come from one address, and then all of it at once, each member with a second connection for news and policies; who
// has shown no good certificate yet is a stranger.
const (
	maxOfAddress   = 14000            // with a good certificate and without, of one address
	maxStrangers   = 2000             // without, of one address that is not this host's own
	strangerWithin = 10 * time.Second // to show one, or to be done
)

// network is what is counted as one client: an IPv6 host has a whole /64 to itself.
func network(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	if a = a.Unmap(); a.Is4() {
		return a.String()
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return address
	}
	return p.String()
}

// connections are a listener that never waits for a place: when all are taken the oldest stranger goes, or who comes. Safe for concurrent use.
type connections struct {
	net.Listener
	most int

	mu        sync.Mutex
	total     int
	of        map[string]*ofAddress
	strangers *list.List // of *connection, the oldest first
}

type ofAddress struct{ all, strangers int }

func limitConnections(l net.Listener, most int) *connections {
	return &connections{Listener: l, most: most, of: map[string]*ofAddress{}, strangers: list.New()}
}

// Accept implements net.Listener.
func (l *connections) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.take(raw); c != nil {
			return c, nil
		}
		_ = raw.Close() // there is no place for it
	}
}

func (l *connections) take(raw net.Conn) *connection {
	host, _, err := net.SplitHostPort(raw.RemoteAddr().String())
	if err != nil {
		host = raw.RemoteAddr().String()
	}
	own := false
	if a, err := netip.ParseAddr(host); err == nil {
		own = a.Unmap().IsLoopback()
	}
	c := &connection{Conn: raw, all: l, from: network(host)}
	l.mu.Lock()
	of := l.of[c.from]
	if of == nil {
		of = &ofAddress{}
	}
	if of.all >= maxOfAddress || of.strangers >= maxStrangers && !own {
		l.mu.Unlock()
		return nil
	}
	var goes *connection
	if l.total >= l.most {
		if l.strangers.Len() == 0 {
			l.mu.Unlock()
			return nil
		}
		goes = l.strangers.Front().Value.(*connection)
		l.leave(goes)
	}
	l.of[c.from] = of
	of.all++
	of.strangers++
	l.total++
	c.stranger = l.strangers.PushBack(c)
	c.timer = time.AfterFunc(strangerWithin, c.late)
	l.mu.Unlock()
	if goes != nil {
		_ = goes.Conn.Close()
	}
	return c
}

// leave counts a connection no more; l.mu is held.
func (l *connections) leave(c *connection) {
	if c.left {
		return
	}
	c.left = true
	l.known(c)
	l.total--
	of := l.of[c.from]
	if of.all--; of.all == 0 {
		delete(l.of, c.from)
	}
}

// known makes a connection none of a stranger's; l.mu is held.
func (l *connections) known(c *connection) {
	if c.stranger == nil {
		return
	}
	l.strangers.Remove(c.stranger)
	l.of[c.from].strangers--
	c.stranger = nil
	c.timer.Stop()
}

// connection is one that is counted.
type connection struct {
	net.Conn
	all  *connections
	from string

	stranger *list.Element // nil: it has shown a good certificate, or is over
	left     bool
	timer    *time.Timer

	whose atomic.Pointer[pki.Shown] // whose certificate the client shows: a connection has one
	said  atomic.Pointer[said]      // the newest report that came over it
	// ordered is the newest answer to one.
	ordered atomic.Pointer[ordered]
}

// late ends the connection of somebody who is still a stranger.
func (c *connection) late() {
	c.all.mu.Lock()
	late := c.stranger != nil
	if late {
		c.all.leave(c)
	}
	c.all.mu.Unlock()
	if late {
		_ = c.Conn.Close()
	}
}

// Close implements net.Conn.
func (c *connection) Close() error {
	c.all.mu.Lock()
	c.all.leave(c)
	c.all.mu.Unlock()
	return c.Conn.Close()
}

// known notes that the connection's certificate is good.
func (c *connection) known() {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	c.all.known(c)
}

type connectionKey struct{}

// withConnection keeps the connection where requests find it.
func withConnection(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	return context.WithValue(ctx, connectionKey{}, c)
}

// connection is that of the request; nil if it has none that is counted, as in tests.
func (c *call) connection() *connection {
	conn, _ := c.context().Value(connectionKey{}).(*connection)
	return conn
}

// met says of the request's connection whether it is a stranger's: such a one ends with the answer.
func (c *call) met() {
	if c.who.Serial == "" {
		c.w.Header().Set("Connection", "close")
	} else if conn := c.connection(); conn != nil {
		conn.known()
	}
}
