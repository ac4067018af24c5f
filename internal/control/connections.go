// SPDX-License-Identifier: Apache-2.0

package control

import (
	"net"
	"net/http"
	"sync"
)

// connections closes the connection that has been idle for longest whenever no other one could come in: a program that keeps its
// connection open for its next report must not lock out the operator. It serves as an http.Server's ConnState.
type connections struct {
	limit int

	mu     sync.Mutex
	open   int // without those that are closing
	turn   uint64
	idle   map[net.Conn]uint64 // when it became idle, as a turn
	closed map[net.Conn]bool   // by us, and the server has not noticed yet
}

func newConnections(limit int) *connections {
	return &connections{limit: limit, idle: map[net.Conn]uint64{}, closed: map[net.Conn]bool{}}
}

func (c *connections) follow(conn net.Conn, state http.ConnState) {
	if old := c.count(conn, state); old != nil {
		_ = old.Close()
	}
}

// count takes a change of a connection's state and returns the connection that is to be closed, or nil.
func (c *connections) count(conn net.Conn, state http.ConnState) net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.idle, conn)
	switch state {
	case http.StateNew:
		c.open++
	case http.StateIdle:
		if !c.closed[conn] {
			c.turn++
			c.idle[conn] = c.turn
		}
	case http.StateClosed, http.StateHijacked:
		if !c.closed[conn] {
			c.open--
		}
		delete(c.closed, conn)
	}
	if c.open < c.limit {
		return nil
	}
	var oldest net.Conn
	for other, turn := range c.idle {
		if oldest == nil || turn < c.idle[oldest] {
			oldest = other
		}
	}
	if oldest != nil {
		delete(c.idle, oldest)
		c.closed[oldest] = true
		c.open--
	}
	return oldest
}
