// SPDX-License-Identifier: Apache-2.0

package conversation

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// server accepts connections and gives each to a function, until it is closed.
type server struct {
	listener net.Listener
	tasks    sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// serveTCP makes what starts a server whose connections handle gets.
func serveTCP(handle func(net.Conn)) func(Config) (io.Closer, error) {
	return func(c Config) (io.Closer, error) {
		s := &server{conns: map[net.Conn]struct{}{}}
		err := c.Server.NS.Do(func() (err error) {
			s.listener, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(c.at()))
			return err
		})
		if err != nil {
			return nil, err
		}
		s.tasks.Go(func() { s.accept(handle) })
		return s, nil
	}
}

func (s *server) accept(handle func(net.Conn)) {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return // closed
		}
		s.mu.Lock()
		s.conns[conn] = struct{}{}
		s.mu.Unlock()
		s.tasks.Go(func() {
			handle(conn)
			s.mu.Lock()
			delete(s.conns, conn)
			s.mu.Unlock()
			_ = conn.Close() // the client tells what it is worth
		})
	}
}

// Close implements io.Closer.
func (s *server) Close() error {
	err := s.listener.Close()
	s.mu.Lock()
	for conn := range s.conns {
		_ = conn.Close() // its handler ends
	}
	s.mu.Unlock()
	s.tasks.Wait()
	return err
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// messageLen is the length of an interactive message: what a few keys, encrypted, have. sumLen is that of the sum after its echo, and lostLen that of
// what the server knows of lost segments.
const (
	messageLen = 52
	sumLen     = 4
	lostLen    = 4
)

// echo sends each message back, with the checksum of all so far, and how many of its own segments were lost.
func echo(conn net.Conn) {
	buf := make([]byte, messageLen+sumLen+lostLen)
	sum := uint32(0)
	for {
		if _, err := io.ReadFull(conn, buf[:messageLen]); err != nil {
			return
		}
		sum = crc32.Update(sum, castagnoli, buf[:messageLen])
		binary.BigEndian.PutUint32(buf[messageLen:], sum)
		binary.BigEndian.PutUint32(buf[messageLen+sumLen:], uint32(lostOn(conn)))
		if _, err := conn.Write(buf); err != nil {
			return
		}
	}
}

// chat sends a message, waits for its echo, and so on.
func (t *talk) chat(ctx context.Context) error {
	conn, err := t.dial(ctx)
	if err != nil {
		return err
	}
	message, back := make([]byte, messageLen), make([]byte, messageLen+sumLen+lostLen)
	sum, known := uint32(0), 0
	for n := uint64(0); ctx.Err() == nil; n++ {
		fill(message, n)
		sum = crc32.Update(sum, castagnoli, message)
		t.due(time.Now())
		if _, err := conn.Write(message); err != nil {
			return fmt.Errorf("message %d: %w", n, err)
		}
		if _, err := io.ReadFull(conn, back); err != nil {
			return fmt.Errorf("echo %d: %w", n, err)
		}
		if !bytes.Equal(back[:messageLen], message) || binary.BigEndian.Uint32(back[messageLen:]) != sum {
			return fmt.Errorf("echo %d differs from what was sent", n)
		}
		t.arrived(time.Now(), 1, 0)
		t.rest(time.Now(), false)
		lost := lostOn(conn)
		if lost != known { // perhaps one was late: its copy is told of in a moment
			pause(ctx, dsackWithin)
			lost = lostOn(conn)
		}
		known = lost
		t.sentAgain(time.Now(), lost+int(binary.BigEndian.Uint32(back[messageLen+sumLen:])))
		t.beat(ctx)
	}
	return nil
}

// dsackWithin is how long the other end may take to say that a segment came twice.
const dsackWithin = 20 * time.Millisecond

// lostOn is how many of the segments that a TCP connection has sent were lost, as far as its kernel tells: those that it sent again, less those that
// the other end had (RFC 2883). A segment that is late since the host stood still is sent again as well, and not lost.
func lostOn(conn net.Conn) (count int) {
	c, ok := conn.(*net.TCPConn)
	if !ok {
		return 0
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return 0 // closed
	}
	_ = raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			count = max(0, int(info.Total_retrans)-int(info.Dsack_dups))
		}
	}) // a closed one tells nothing
	return count
}

// fill makes b of n.
func fill(b []byte, n uint64) {
	x := n + 0x9e3779b97f4a7c15
	for i := range b {
		x = x*6364136223846793005 + 1442695040888963407
		b[i] = byte(x >> 56)
	}
}

// chunkLen is the length of a piece of a download: its number, and what is the same in all.
const chunkLen = 64 << 10

var chunk = func() []byte {
	b := make([]byte, chunkLen)
	fill(b, 0)
	return b
}()

// upload reads how many bytes are wanted in what time and sends them.
func upload(conn net.Conn) {
	var want [16]byte
	if _, err := io.ReadFull(conn, want[:]); err != nil {
		return
	}
	size, over := int64(binary.BigEndian.Uint64(want[:])), time.Duration(binary.BigEndian.Uint64(want[8:]))
	buf := bytes.Clone(chunk)
	start := time.Now()
	for at := int64(0); at < size; at += chunkLen {
		// Never faster than the pace, also after a stop: what was not sent comes later.
		if due := time.Duration(float64(over) * float64(at) / float64(size)); due > time.Since(start)+time.Millisecond {
			pause(context.Background(), due-time.Since(start))
		}
		binary.BigEndian.PutUint64(buf, uint64(at/chunkLen))
		if _, err := conn.Write(buf[:min(chunkLen, size-at)]); err != nil {
			return
		}
	}
}

// download fetches and compares.
func (t *talk) download(ctx context.Context) error {
	conn, err := t.dial(ctx)
	if err != nil {
		return err
	}
	var want [16]byte
	binary.BigEndian.PutUint64(want[:], uint64(t.Size))
	binary.BigEndian.PutUint64(want[8:], uint64(t.Over))
	if _, err := conn.Write(want[:]); err != nil {
		return err
	}
	should, is := bytes.Clone(chunk), make([]byte, chunkLen)
	for at := int64(0); at < t.Size; at += chunkLen {
		n := min(chunkLen, t.Size-at)
		binary.BigEndian.PutUint64(should, uint64(at/chunkLen))
		for have := int64(0); have < n; {
			k, err := conn.Read(is[have:n])
			if err != nil {
				return fmt.Errorf("after %d of %d bytes: %w", at+have, t.Size, err)
			}
			have += int64(k)
			t.arrived(time.Now(), 0, int64(k))
		}
		if !bytes.Equal(is[:n], should[:n]) {
			return fmt.Errorf("wrong content between bytes %d and %d", at, at+n)
		}
	}
	if _, err := conn.Read(is[:1]); !errors.Is(err, io.EOF) {
		return fmt.Errorf("after all %d bytes: %w", t.Size, err)
	}
	t.arrived(time.Now(), 1, 0)
	t.finish()
	return nil
}
