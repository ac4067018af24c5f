// SPDX-License-Identifier: Apache-2.0

package conversation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Group is a number of running conversations. Its methods are safe for concurrent use.
type Group struct {
	stop    context.CancelFunc
	talks   []*talk
	servers map[service]io.Closer
	tasks   sync.WaitGroup
	// sinks take what one-way datagrams bring to servers, by conversation.
	sinks []*talk
}

// service is what a server offers; conversations share servers.
type service struct {
	node string
	kind Kind
	at   netip.AddrPort
}

// talk is one conversation's client.
type talk struct {
	Config
	progress
	id    uint32
	first time.Time // its first beat

	guard sync.Mutex
	open  map[io.Closer]struct{} // closed at the end, so that nobody waits for ever
	over  bool
	seen  netip.AddrPort // the source of datagrams as the server first saw it
}

// Start starts the servers and then all conversations, and does not wait until they have begun: see Begun. They go on until Stop
// or until ctx ends; Stop must be called in any case.
func Start(ctx context.Context, configs []Config) (*Group, error) {
	g := &Group{servers: map[service]io.Closer{}}
	ctx, g.stop = context.WithCancel(ctx)
	for i, c := range configs {
		c, err := c.withDefaults()
		if err != nil {
			return nil, errors.Join(err, g.Stop())
		}
		t := &talk{Config: c, id: uint32(i), progress: progress{name: c.Name, kind: c.Kind, to: c.To}, open: map[io.Closer]struct{}{}}
		g.talks, g.sinks = append(g.talks, t), append(g.sinks, t)
	}
	for _, t := range g.talks {
		if err := g.serve(t.Config); err != nil {
			return nil, errors.Join(fmt.Errorf("conversation %s: its server: %w", t.Name, err), g.Stop())
		}
	}
	start := time.Now()
	for i, t := range g.talks {
		context.AfterFunc(ctx, t.end)
		t.first = start.Add(t.Every * time.Duration(i) / time.Duration(len(g.talks)))
		g.tasks.Go(func() {
			pause(ctx, time.Until(t.first))
			if err := t.run(ctx); err != nil && ctx.Err() == nil {
				t.die(err.Error())
			}
		})
	}
	return g, nil
}

// serve starts the server of a conversation unless it runs.
func (g *Group) serve(c Config) (err error) {
	s := service{c.Server.Name, c.Kind, c.at()}
	if _, runs := g.servers[s]; runs || c.Kind == Ping { // a host's kernel answers echo requests
		return nil
	}
	start := map[Kind]func(Config) (io.Closer, error){
		SSH: serveTCP(echo), Download: serveTCP(upload), FTP: serveFTP, Web: serveTCP(page),
		UDP: g.serveUDP, OneWay: g.serveUDP, Stream: g.serveUDP, Large: g.serveUDP, Tunnel: serveTunnel,
	}
	server, err := start[c.Kind](c)
	if err == nil {
		g.servers[s] = server
	}
	return err
}

func (t *talk) run(ctx context.Context) error {
	switch t.Kind {
	case SSH:
		return t.chat(ctx)
	case Download:
		return t.download(ctx)
	case FTP:
		return t.transfer(ctx)
	case Ping:
		return t.ping(ctx)
	case Web:
		return t.browse(ctx)
	case Large:
		return t.fragments(ctx)
	case Tunnel:
		return t.tunnels(ctx)
	default:
		return t.datagrams(ctx)
	}
}

// leave closes something that was kept.
func (t *talk) leave(c io.Closer) {
	t.guard.Lock()
	defer t.guard.Unlock()
	delete(t.open, c)
	_ = c.Close() // the other end tells what it is worth
}

// keep notes something to be closed at the end.
func (t *talk) keep(c io.Closer) error {
	t.guard.Lock()
	defer t.guard.Unlock()
	if t.over {
		_ = c.Close() // nobody uses it
		return net.ErrClosed
	}
	t.open[c] = struct{}{}
	return nil
}

func (t *talk) end() {
	t.guard.Lock()
	defer t.guard.Unlock()
	t.over = true
	for c := range t.open {
		_ = c.Close() // whoever waits finds out
	}
}

// dialPatience bounds the opening of a connection, and of a data connection.
const dialPatience = 15 * time.Second

// dial opens the conversation's only connection.
func (t *talk) dial(ctx context.Context) (conn net.Conn, err error) {
	err = t.Client.NS.Do(func() error {
		d := net.Dialer{Timeout: dialPatience, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(t.from(), 0))}
		conn, err = d.DialContext(ctx, "tcp", t.To.String())
		return err
	})
	if err != nil {
		return nil, err
	}
	t.ends(conn.LocalAddr())
	return conn, t.keep(conn)
}

// ends notes the client's address and port.
func (t *talk) ends(local net.Addr) {
	if from, err := netip.ParseAddrPort(local.String()); err == nil {
		t.between(from)
	}
}

// Begun tells whether every conversation has had an exchange or is dead.
func (g *Group) Begun() bool {
	now := time.Now()
	for _, t := range g.talks {
		if r := t.report(now, now); !r.Begun && r.Why == "it has not begun" {
			return false
		}
	}
	return true
}

// Window tells of every conversation how it is, and its longest gap from from until to.
func (g *Group) Window(from, to time.Time) []Report {
	out := make([]Report, 0, len(g.talks))
	for _, t := range g.talks {
		out = append(out, t.report(from, to))
	}
	return out
}

// Stop ends all conversations and servers. A second Stop does nothing.
func (g *Group) Stop() error {
	g.stop()
	g.tasks.Wait()
	var errs []error
	for s, server := range g.servers {
		if err := server.Close(); err != nil {
			errs = append(errs, fmt.Errorf("conversations' server %s at %s: %w", s.kind, s.at, err))
		}
		delete(g.servers, s)
	}
	return errors.Join(errs...)
}

// beat waits for the conversation's next turn. Turns are counted from the first one: conversations that were all held up at a time do
// not go on as one crowd.
func (t *talk) beat(ctx context.Context) {
	since := time.Since(t.first)
	pause(ctx, t.Every-since%t.Every)
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
