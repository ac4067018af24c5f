// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Limits of a stream.
const (
	// stallNoted is the least time without data that is remembered for Window.
	stallNoted = 5 * time.Millisecond
	// redialEvery is the time between two attempts to connect.
	redialEvery = 100 * time.Millisecond
	// lingerStop is how long Stop waits for the data under way.
	lingerStop = 5 * time.Second
	// maxReasons bounds StreamReport.Reasons.
	maxReasons = 16
)

// StreamConfig says what TCP stream to run, from A (client) to B (server).
type StreamConfig struct {
	A, B Endpoint
	// Family is 4 or 6; 0 means 4.
	Family int
	// Port is the server's port; 0 means DefaultPort.
	Port uint16
	// Every is the time between two blocks of 1 KiB; 0 sends as fast as TCP lets it.
	Every time.Duration
}

// StreamReport is what became of a TCP stream.
type StreamReport struct {
	// Blocks of 1 KiB were sent and received; Corrupt of them had wrong content or a wrong place in the stream.
	Sent     int `json:"sent"`
	Received int `json:"received"`
	Corrupt  int `json:"corrupt"`
	// Connections were opened; Resets of them ended before they should. Reasons has the first errors, of dialling too.
	Connections int      `json:"connections"`
	Resets      int      `json:"resets"`
	Reasons     []string `json:"reasons,omitempty"`
	// LongestStall is the longest time between two reads that brought data, from StallFrom on. It is measured by a program, not
	// by the kernel: on a busy machine it includes the waiting for a CPU.
	LongestStall time.Duration `json:"longest_stall_ns"`
	StallFrom    time.Time     `json:"stall_from"`
}

// stall is a time without data.
type stall struct{ from, to time.Time }

// Stream is a running TCP stream. Its methods are safe for concurrent use.
type Stream struct {
	cfg      StreamConfig
	from, to netip.Addr
	listener net.Listener
	stop     context.CancelFunc
	tasks    errgroup.Group

	mu     sync.Mutex
	rep    StreamReport
	stalls []stall
	last   time.Time
	next   uint64 // of the sender
	conns  map[net.Conn]struct{}
	over   bool
}

// StartStream listens at B, connects from A and begins to send. It runs until Stop or until ctx ends; Stop must be called.
func StartStream(ctx context.Context, cfg StreamConfig) (*Stream, error) {
	if cfg.Family == 0 {
		cfg.Family = 4
	}
	if cfg.Port == 0 {
		cfg.Port = DefaultPort
	}
	s := &Stream{cfg: cfg, from: cfg.A.addr(cfg.Family), to: cfg.B.addr(cfg.Family), conns: map[net.Conn]struct{}{}}
	if !s.from.IsValid() || !s.to.IsValid() {
		return nil, fmt.Errorf("traffic: stream over IPv%d: both ends need an address of that family", cfg.Family)
	}
	err := cfg.B.In.Do(func() (err error) {
		s.listener, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(s.to, cfg.Port)))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("traffic: stream's server at %s: %w", cfg.B.Name, err)
	}
	ctx, s.stop = context.WithCancel(ctx)
	s.last = time.Now()
	s.tasks.Go(func() error { return s.serve() })
	s.tasks.Go(func() error { return s.client(ctx) })
	return s, nil
}

// Window tells the longest stall that overlaps the time from from until to; counts are of the whole run so far.
func (s *Stream) Window(from, to time.Time) StreamReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	rep := s.rep
	rep.Reasons = slices.Clone(rep.Reasons)
	rep.LongestStall, rep.StallFrom = 0, time.Time{}
	all := s.stalls
	if !s.over {
		all = append(slices.Clip(all), stall{s.last, time.Now()})
	}
	for _, st := range all {
		if d := st.to.Sub(st.from); st.to.After(from) && st.from.Before(to) && d > rep.LongestStall {
			rep.LongestStall, rep.StallFrom = d, st.from
		}
	}
	return rep
}

// Stop ends the stream in order and returns the report of the whole run. Data that does not arrive within 5 s is left behind;
// Sent exceeds Received then.
func (s *Stream) Stop() (StreamReport, error) {
	s.stop()
	timer := time.AfterFunc(lingerStop, s.abort)
	defer timer.Stop()
	err := s.tasks.Wait()
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	return s.Window(time.Time{}, time.Now()), err
}

// abort closes everything.
func (s *Stream) abort() {
	_ = s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}

// client dials and sends until ctx ends, over a new connection after each failure. Ending, it closes the listener, so that the
// server ends once the last connection has been read to its end.
func (s *Stream) client(ctx context.Context) error {
	defer func() { _ = s.listener.Close() }() // may be closed already, by abort
	for ctx.Err() == nil {
		conn, err := s.dial(ctx)
		if err != nil {
			s.reason(err)
			wait(ctx, redialEvery)
			continue
		}
		if err := s.feed(ctx, conn); err != nil {
			s.mu.Lock()
			s.rep.Resets++
			s.mu.Unlock()
			s.reason(err)
		}
		_ = conn.Close() // sends what is buffered, then FIN
	}
	return nil
}

func (s *Stream) dial(ctx context.Context) (conn net.Conn, err error) {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(s.from, 0)), Timeout: 3 * time.Second}
	err = s.cfg.A.In.Do(func() error {
		conn, err = d.DialContext(ctx, "tcp", netip.AddrPortFrom(s.to, s.cfg.Port).String())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	s.mu.Lock()
	s.rep.Connections++
	s.mu.Unlock()
	return conn, nil
}

// feed sends blocks until ctx ends or the connection fails.
func (s *Stream) feed(ctx context.Context, conn net.Conn) error {
	end := context.AfterFunc(ctx, func() { _ = conn.SetWriteDeadline(time.Now()) }) // unblocks a write into a dead path
	defer end()
	block := make([]byte, blockLen)
	for ctx.Err() == nil {
		putBlock(block, s.next)
		if _, err := conn.Write(block); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("send block %d: %w", s.next, err)
		}
		s.next++
		s.mu.Lock()
		s.rep.Sent++
		s.mu.Unlock()
		if s.cfg.Every > 0 {
			wait(ctx, s.cfg.Every)
		}
	}
	return nil
}

// serve accepts connections until the listener is closed and reads each to its end.
func (s *Stream) serve() error {
	var readers errgroup.Group
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			readers.Wait() //nolint:errcheck // readers return nil
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("traffic: stream's server: %w", err)
		}
		s.mu.Lock()
		s.conns[conn] = struct{}{}
		s.mu.Unlock()
		readers.Go(func() error {
			s.read(conn)
			return nil
		})
	}
}

// read reads and checks one connection. A broken connection shows at the client too, which counts it.
func (s *Stream) read(conn net.Conn) {
	defer func() {
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
		_ = conn.Close()
	}()
	block := make([]byte, blockLen)
	var want uint64
	for first := true; ; first = false {
		if _, err := io.ReadFull(conn, block); err != nil {
			return
		}
		now := time.Now()
		got, intact := checkBlock(block)
		s.mu.Lock()
		s.rep.Received++
		if !intact || (!first && got != want) {
			s.rep.Corrupt++
		}
		if now.Sub(s.last) > stallNoted {
			s.stalls = append(s.stalls, stall{s.last, now})
		}
		s.last = now
		s.mu.Unlock()
		want = got + 1
	}
}

func (s *Stream) reason(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.rep.Reasons) < maxReasons {
		s.rep.Reasons = append(s.rep.Reasons, err.Error())
	}
}

// wait waits for d or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
