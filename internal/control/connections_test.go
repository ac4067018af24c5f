// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// calm answers every question with nothing, and never an order.
type calm struct{ Backend }

func (calm) Counters(context.Context) (Counters, error) { return Counters{Member: "gw-a"}, nil }

func serveCalm(t *testing.T) (string, *Events) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	events := NewEvents(4)
	go func() { ended <- (&Server{Backend: calm{}, Events: events}).ServeListener(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return path, events
}

// ask sends a request over a connection that stays open, and reads the answer's first line.
func ask(t *testing.T, conn net.Conn, path string) string {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("GET /v1/" + path + " HTTP/1.1\r\nHost: holdfast\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// TestReportersDoNotLockOutTheOperator: each device of the largest number has a program with a connection open, and then far more come.
func TestReportersDoNotLockOutTheOperator(t *testing.T) {
	path, _ := serveCalm(t)
	dial := func() net.Conn {
		conn, err := new(net.Dialer).DialContext(t.Context(), "unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	var first net.Conn
	for i := range maxConnections + 100 {
		conn := dial()
		if line := ask(t, conn, "counters"); !strings.Contains(line, "200") {
			t.Fatalf("connection %d: %s", i, line)
		}
		switch i {
		case 0:
			first = conn
		case MaxDevices:
			if line := ask(t, first, "counters"); !strings.Contains(line, "200") {
				t.Fatalf("%d connections are too many for the first: %s", i, line)
			}
		}
	}
	c := NewClient(path)
	defer c.Close()
	if v, err := c.Counters(t.Context()); err != nil || v.Member != "gw-a" {
		t.Errorf("the operator is told %+v, %v", v, err)
	}
}

func TestFollowersAreBounded(t *testing.T) {
	path, _ := serveCalm(t)
	for i := range maxFollowers + 1 {
		conn, err := new(net.Dialer).DialContext(t.Context(), "unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if line, want := ask(t, conn, "events?follow=1"), map[bool]string{false: "200", true: "503"}[i == maxFollowers]; !strings.Contains(line, want) {
			t.Fatalf("follower %d: %s, want %s", i, line, want)
		}
	}
}

// TestConnections: at the limit those that are idle go, the one that has been idle for longest first, and no more than needed.
func TestConnections(t *testing.T) {
	a, b := net.Pipe()
	d, e := net.Pipe()
	c := newConnections(3)
	for _, k := range []struct {
		conn  net.Conn
		state http.ConnState
		want  net.Conn
	}{
		{a, http.StateNew, nil}, {a, http.StateActive, nil}, {b, http.StateNew, nil}, {b, http.StateActive, nil},
		{b, http.StateIdle, nil}, {a, http.StateIdle, nil}, {d, http.StateNew, b}, {d, http.StateActive, nil}, {b, http.StateClosed, nil},
		{e, http.StateNew, a}, {a, http.StateActive, nil}, {a, http.StateIdle, nil}, {a, http.StateClosed, nil}, {e, http.StateClosed, nil},
		{d, http.StateIdle, nil}, {d, http.StateClosed, nil},
	} {
		if got := c.count(k.conn, k.state); got != k.want {
			t.Errorf("%v: the wrong connection is closed", k.state)
		}
	}
	if c.open != 0 || len(c.idle) != 0 || len(c.closed) != 0 {
		t.Errorf("left: %+v", c)
	}
	for _, conn := range []net.Conn{a, b, d, e} {
		_ = conn.Close()
	}
}

// TestDaemonThatHangs: a question is given up soon, an order later.
func TestDaemonThatHangs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(t.Context(), path) // and nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	c := newClient(path, 50*time.Millisecond, time.Hour)
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ordered := make(chan error, 1)
	go func() {
		_, err := c.Stop(ctx)
		ordered <- err
	}()
	if _, err = c.State(t.Context()); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("a question ends with %v", err)
	}
	select {
	case err := <-ordered:
		t.Errorf("an order ends with the question, with %v", err)
	default:
	}
	cancel()
	<-ordered
	c = newClient(path, time.Hour, 50*time.Millisecond)
	defer c.Close()
	if _, err = c.Stop(t.Context()); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("an order ends with %v", err)
	}
}
