// SPDX-License-Identifier: Apache-2.0

package server

import (
	"net"
	"testing"
)

// from is a connection that comes from an address.
type from struct {
	net.Conn
	address net.Addr
	closed  bool
}

func (f *from) RemoteAddr() net.Addr { return f.address }
func (f *from) Close() error         { f.closed = true; return nil }

func TestConnections(t *testing.T) {
	l := limitConnections(nil, 3*maxStrangers)
	var taken []*connection
	come := func(ip string) (*from, *connection) {
		f := &from{address: &net.TCPAddr{IP: net.ParseIP(ip), Port: 1}}
		c := l.take(f)
		if c != nil {
			taken = append(taken, c)
		}
		return f, c
	}
	_, member := come("192.0.2.1")
	member.known()
	for range maxStrangers {
		if _, c := come("192.0.2.1"); c == nil {
			t.Fatal("a place less than there are")
		}
	}
	if _, c := come("192.0.2.1"); c != nil {
		t.Error("strangers of one address have more places than they may")
	}
	first, _ := come("2001:db8::1")
	for i := range maxStrangers - 1 {
		come("2001:db8::" + string("123456789"[i%9]))
	}
	if _, c := come("2001:db8::ffff"); c != nil {
		t.Error("a /64 has more places than one address")
	}
	for range maxStrangers {
		come("127.0.0.1")
	}
	if oldest := taken[1]; !oldest.Conn.(*from).closed || !oldest.left || taken[0].left {
		t.Error("when all places are taken the oldest stranger does not go, or a member goes")
	}
	if first.closed {
		t.Error("more go than have to")
	}
	if _, c := come("127.0.0.1"); c == nil {
		t.Error("this host's own are bounded as strangers of one address")
	}
	for _, c := range taken {
		_ = c.Close()
		_ = c.Close()
	}
	if l.total != 0 || len(l.of) != 0 || l.strangers.Len() != 0 {
		t.Errorf("%d connections, %d addresses, %d strangers are left", l.total, len(l.of), l.strangers.Len())
	}
}
