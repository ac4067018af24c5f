// SPDX-License-Identifier: Apache-2.0

package conversation

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// tunnelHead is a GRE header without options (RFC 2784), of what no host takes for a packet.
const (
	tunnelHead = 0xffff
	tunnelLen  = 4 + dataLen
)

// tunnel opens a socket for GRE at an address of a host.
func (c Config) tunnel(in interface{ Do(fn func() error) error }, at netip.Addr) (conn *net.IPConn, err error) {
	network := "ip4:47"
	if c.Family == 6 {
		network = "ip6:47"
	}
	err = in.Do(func() (err error) {
		conn, err = net.ListenIP(network, &net.IPAddr{IP: at.AsSlice()})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("GRE socket: %w", err)
	}
	return conn, nil
}

// tunnelServer is the other end of tunnels.
type tunnelServer struct {
	conn  *net.IPConn
	tasks sync.WaitGroup
}

func serveTunnel(c Config) (io.Closer, error) {
	conn, err := c.tunnel(c.Server.NS, c.at().Addr())
	if err != nil {
		return nil, err
	}
	s := &tunnelServer{conn: conn}
	s.tasks.Go(s.read)
	return s, nil
}

func (s *tunnelServer) read() {
	b := make([]byte, 2048)
	for {
		n, from, err := s.conn.ReadFromIP(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n != tunnelLen {
			continue
		}
		if a, ok := netip.AddrFromSlice(from.IP); ok {
			putSource(b[4:], netip.AddrPortFrom(a.Unmap(), 0))
			_, _ = s.conn.WriteToIP(b[:n], from) // the client counts what does not come
		}
	}
}

// Close implements io.Closer.
func (s *tunnelServer) Close() error {
	err := s.conn.Close()
	s.tasks.Wait()
	return err
}

// tunnels runs the client of a tunnel.
func (t *talk) tunnels(ctx context.Context) error {
	conn, err := t.tunnel(t.Client.NS, t.from())
	if err == nil {
		t.between(netip.AddrPortFrom(t.from(), 0))
		err = t.keep(conn)
	}
	if err != nil {
		return err
	}
	var reading sync.WaitGroup
	defer reading.Wait()
	reading.Go(func() { t.emerges(conn) })
	b := make([]byte, tunnelLen)
	binary.BigEndian.PutUint16(b[2:], tunnelHead)
	binary.BigEndian.PutUint32(b[4+offID:], t.id)
	to := &net.IPAddr{IP: t.To.Addr().AsSlice()}
	for n := uint64(0); ctx.Err() == nil; n++ {
		binary.BigEndian.PutUint64(b[4+offNumber:], n)
		t.asked(time.Now())
		_, _ = conn.WriteToIP(b, to) // what does not come back is counted
		pause(ctx, t.Every)
	}
	return nil
}

// emerges reads what comes out of a tunnel until its socket is closed.
func (t *talk) emerges(conn *net.IPConn) {
	b := make([]byte, 2048)
	for {
		n, _, err := conn.ReadFromIP(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil && n == tunnelLen && binary.BigEndian.Uint32(b[4+offID:]) == t.id {
			t.took(b[4:n])
		}
	}
}
