// SPDX-License-Identifier: Apache-2.0

package ftp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-project/holdfast/lab/tap"
)

// dataPatience bounds the wait for a data connection.
const dataPatience = 20 * time.Second

// Server is a running server. Its "files" are named by their length in bytes and how long sending them takes: "100000/500ms".
type Server struct {
	in       tap.Namespace
	listener net.Listener
	ctx      context.Context // ends with the server
	stop     context.CancelFunc
	tasks    sync.WaitGroup

	mu   sync.Mutex
	open map[io.Closer]struct{}
	over bool
}

// Serve starts a server at an address in a namespace; Close must be called.
func Serve(in tap.Namespace, at netip.AddrPort) (*Server, error) {
	s := &Server{in: in, open: map[io.Closer]struct{}{}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	err := in.Do(func() (err error) {
		s.listener, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ftp: serve at %s: %w", at, err)
	}
	s.tasks.Go(s.accept)
	return s, nil
}

func (s *Server) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return // closed
		}
		if s.keep(c) {
			s.tasks.Go(func() {
				defer s.drop(c)
				newSession(s, c).run()
			})
		}
	}
}

// keep notes something to be closed with the server; false if that is so already.
func (s *Server) keep(c io.Closer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		_ = c.Close()
		return false
	}
	s.open[c] = struct{}{}
	return true
}

func (s *Server) drop(c io.Closer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
	_ = c.Close() // whoever reads finds out
}

// Close ends the server and all its connections.
func (s *Server) Close() error {
	s.mu.Lock()
	s.over = true
	s.stop()
	err := s.listener.Close()
	for c := range s.open {
		_ = c.Close() // whoever reads finds out
	}
	s.mu.Unlock()
	s.tasks.Wait()
	return err
}

// session is one control connection.
type session struct {
	server  *Server
	conn    net.Conn
	passive net.Listener   // after PASV or EPSV
	active  netip.AddrPort // after PORT or EPRT
}

func newSession(s *Server, c net.Conn) *session { return &session{server: s, conn: c} }

func (s *session) run() {
	defer s.closePassive()
	s.say(220, "ready")
	lines := bufio.NewScanner(s.conn)
	for lines.Scan() {
		verb, arg, _ := strings.Cut(strings.TrimSpace(lines.Text()), " ")
		if !s.command(strings.ToUpper(verb), arg) {
			return
		}
	}
}

func (s *session) say(code int, text string) { _, _ = fmt.Fprintf(s.conn, "%d %s\r\n", code, text) } // reading finds a broken one

func (s *session) command(verb, arg string) (goOn bool) {
	var err error
	switch verb {
	case "USER":
		s.say(331, "password, please")
	case "PASS":
		s.say(230, "welcome")
	case "TYPE", "NOOP":
		s.say(200, "fine")
	case "PASV", "EPSV":
		err = s.listen(verb == "EPSV")
	case "PORT":
		s.active, err = parseHostPort(arg)
		s.accepted(err)
	case "EPRT":
		s.active, err = parseExtended(arg)
		s.accepted(err)
	case "RETR":
		err = s.send(arg)
	case "QUIT":
		s.say(221, "bye")
		return false
	default:
		s.say(502, "no such command")
	}
	if err != nil {
		s.say(425, err.Error())
	}
	return true
}

func (s *session) accepted(err error) {
	s.closePassive()
	if err == nil {
		s.say(200, "fine")
	}
}

func (s *session) closePassive() {
	if s.passive != nil {
		s.server.drop(s.passive)
		s.passive = nil
	}
}

func (s *session) here() netip.Addr {
	return s.conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
}

// listen opens the port of the next data connection.
func (s *session) listen(extendedForm bool) error {
	s.closePassive()
	err := s.server.in.Do(func() (err error) {
		s.passive, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(s.here(), 0)))
		return err
	})
	if err != nil {
		return err
	}
	if !s.server.keep(s.passive) {
		return net.ErrClosed
	}
	at := netip.AddrPortFrom(s.here(), s.passive.Addr().(*net.TCPAddr).AddrPort().Port())
	if extendedForm {
		s.say(229, fmt.Sprintf("Entering Extended Passive Mode (|||%d|)", at.Port()))
	} else {
		s.say(227, fmt.Sprintf("Entering Passive Mode (%s)", hostPort(at)))
	}
	return nil
}

// data opens the data connection, or waits for it.
func (s *session) data() (conn net.Conn, err error) {
	if s.passive != nil {
		if err := s.passive.(*net.TCPListener).SetDeadline(time.Now().Add(dataPatience)); err != nil {
			return nil, err
		}
		defer s.closePassive()
		return s.passive.Accept()
	}
	if !s.active.IsValid() {
		return nil, errors.New("say PASV or PORT first")
	}
	err = s.server.in.Do(func() error {
		d := net.Dialer{Timeout: dataPatience, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(s.here(), 0))}
		conn, err = d.DialContext(s.server.ctx, "tcp", s.active.String())
		return err
	})
	return conn, err
}

// send sends a file.
func (s *session) send(name string) error {
	length, duration, ok := strings.Cut(name, "/")
	size, err := strconv.ParseInt(length, 10, 64)
	over, err2 := time.ParseDuration(duration)
	if !ok || err != nil || err2 != nil || size < 0 {
		return fmt.Errorf("no file %q: LENGTH/DURATION is one", name)
	}
	s.say(150, "opening the data connection")
	conn, err := s.data()
	if err != nil {
		return err
	}
	if !s.server.keep(conn) {
		return net.ErrClosed
	}
	defer s.server.drop(conn)
	if err := feed(conn, size, over); err != nil {
		s.say(426, err.Error())
		return nil
	}
	if err := conn.Close(); err != nil {
		return err
	}
	s.say(226, "transfer complete")
	return nil
}

// pieces is into how many parts a transfer is cut that takes its time.
const pieces = 20

// feed sends size bytes of content in about the time over.
func feed(conn net.Conn, size int64, over time.Duration) error {
	piece := min(int64(patternLen), max(1, size/pieces))
	ticker := time.NewTicker(max(time.Microsecond, over/pieces))
	defer ticker.Stop()
	for at := int64(0); at < size; {
		n := min(piece, size-at)
		if _, err := conn.Write(content(at, int(n))); err != nil {
			return err
		}
		at += n
		if over > 0 {
			<-ticker.C
		}
	}
	return nil
}
