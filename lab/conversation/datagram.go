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

// A datagram: conversation, number, how often the client wants datagrams (of kind stream), and the source that the server saw.
const (
	offID     = 0
	offNumber = 4
	offEvery  = 12
	offSource = 20 // 16 bytes of address, 2 of port
	dataLen   = 38
)

func putSource(b []byte, from netip.AddrPort) {
	a := from.Addr().As16()
	copy(b[offSource:], a[:])
	binary.BigEndian.PutUint16(b[offSource+16:], from.Port())
}

func source(b []byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[offSource:])).Unmap(), binary.BigEndian.Uint16(b[offSource+16:]))
}

// udpServer is the other end of datagrams.
type udpServer struct {
	conn  *net.UDPConn
	stop  context.CancelFunc
	tasks sync.WaitGroup
	kind  Kind
	sinks []*talk

	mu        sync.Mutex
	streaming map[uint32]bool
}

func (g *Group) serveUDP(c Config) (io.Closer, error) {
	s := &udpServer{kind: c.Kind, sinks: g.sinks, streaming: map[uint32]bool{}}
	err := c.Server.NS.Do(func() (err error) {
		s.conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(c.at()))
		return err
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	s.tasks.Go(func() { s.read(ctx) })
	return s, nil
}

func (s *udpServer) read(ctx context.Context) {
	b := make([]byte, largeLen+1)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n != s.length() || s.kind == Large && !whole(b[:n]) {
			continue // an ICMP error of a fault, or a stranger
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		id := binary.BigEndian.Uint32(b[offID:])
		putSource(b, from)
		switch {
		case int(id) >= len(s.sinks):
		case s.kind == OneWay:
			s.sinks[id].took(b[:n])
		case s.kind == Stream:
			s.stream(ctx, id, time.Duration(binary.BigEndian.Uint64(b[offEvery:])), from)
		default:
			_, _ = s.conn.WriteToUDPAddrPort(b[:n], from) // the client counts what does not come
		}
	}
}

// length is how long the datagrams of its kind are.
func (s *udpServer) length() int {
	if s.kind == Large {
		return largeLen
	}
	return dataLen
}

// stream sends datagrams to where the client's first one came from.
func (s *udpServer) stream(ctx context.Context, id uint32, every time.Duration, to netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streaming[id] {
		return // the client asked again before the first datagram came
	}
	s.streaming[id] = true
	s.tasks.Go(func() {
		b := make([]byte, dataLen)
		binary.BigEndian.PutUint32(b[offID:], id)
		putSource(b, to)
		for n := uint64(0); ctx.Err() == nil; n++ {
			binary.BigEndian.PutUint64(b[offNumber:], n)
			s.sinks[id].asked(time.Now())
			_, _ = s.conn.WriteToUDPAddrPort(b, to) // the client counts what does not come
			pause(ctx, every)
		}
	})
}

// Close implements io.Closer.
func (s *udpServer) Close() error {
	s.stop()
	err := s.conn.Close()
	s.tasks.Wait()
	return err
}

// took notes a datagram that came through, at the end where that counts, and checks its translation.
func (t *talk) took(b []byte) {
	t.guard.Lock()
	seen := source(b)
	if !t.seen.IsValid() {
		t.seen = seen
	}
	first := t.seen
	t.guard.Unlock()
	if seen != first {
		t.die(fmt.Sprintf("its source was %s for the server and is now %s", first, seen))
		return
	}
	t.came(time.Now(), binary.BigEndian.Uint64(b[offNumber:]))
}

// datagrams runs the client of udp, one-way and stream.
func (t *talk) datagrams(ctx context.Context) error {
	var conn *net.UDPConn
	err := t.Client.NS.Do(func() (err error) {
		from := net.UDPAddrFromAddrPort(netip.AddrPortFrom(t.from(), 0))
		conn, err = net.DialUDP("udp", from, net.UDPAddrFromAddrPort(t.To))
		return err
	})
	if err == nil {
		t.ends(conn.LocalAddr())
		err = t.keep(conn)
	}
	if err != nil {
		return err
	}
	var reading sync.WaitGroup
	defer reading.Wait()
	reading.Go(func() { t.listen(conn) })
	b := make([]byte, dataLen)
	binary.BigEndian.PutUint32(b[offID:], t.id)
	binary.BigEndian.PutUint64(b[offEvery:], uint64(t.Every))
	for n := uint64(0); ctx.Err() == nil; n++ {
		if t.Kind == Stream && t.report(time.Now(), time.Now()).Begun {
			<-ctx.Done()
			break
		}
		binary.BigEndian.PutUint64(b[offNumber:], n)
		if t.Kind != Stream {
			t.asked(time.Now())
		}
		_, _ = conn.Write(b) // an ICMP error of a fault may be told here; what does not come is counted
		pause(ctx, t.Every)
	}
	return nil
}

// listen reads what comes back until the socket is closed.
func (t *talk) listen(conn net.Conn) {
	b := make([]byte, largeLen+1)
	for {
		n, err := conn.Read(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil && (n == dataLen || n == largeLen && whole(b[:n])) && binary.BigEndian.Uint32(b[offID:]) == t.id {
			t.took(b[:n])
		}
	}
}
