// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/ccp/segment"
)

// Descriptors that the child finds open.
const (
	controlFD = 3 // socket to main
	parentFD  = 4 // pidfd of main
)

const (
	redialFirst = int64(1e9)  // after an interface's socket has died
	redialMost  = int64(16e9) // doubled up to this while the interface is there but cannot be opened
	drainMost   = 4096        // frames taken from one socket in a row; no receive buffer holds as many
)

// port is the socket of one interface.
type port struct {
	iface  Interface
	conn   *segment.Conn // nil: none; tried again at retryAt
	down   bool          // main was told that it is unusable
	retry  int64         // wait before the next try
	again  int64         // boot time of the next try
	reason syscall.Errno
}

// loop runs the engine: it waits, reads and writes. Its methods between two deadlines allocate nothing.
type loop struct {
	kernelBuffers
	engine  *engine
	ports   [MaxInterfaces]port
	used    int // ports in use
	softirq softirq
	command command
	pinned  bool
	in      [maxMessage]byte
	ended   bool // main is gone
	first   uint64
}

var _ kernel = (*loop)(nil)

// run goes round until main is gone.
func (l *loop) run() {
	l.pin()
	defer l.unpin()
	l.first = l.faults()
	for !l.ended {
		l.round()
	}
}

// round waits for the next deadline or the next input and deals with it.
func (l *loop) round() {
	l.polls[0] = unix.PollFd{Fd: controlFD, Events: unix.POLLIN}
	l.polls[1] = unix.PollFd{Fd: parentFD, Events: unix.POLLIN}
	for i := range l.used {
		l.polls[2+i] = unix.PollFd{Fd: l.fd(i), Events: unix.POLLIN}
	}
	itself := &l.polls[2+l.used]
	*itself = unix.PollFd{Fd: l.softirq.fd, Events: unix.POLLIN}
	l.poll(3+l.used, l.engine.wake()-l.now())
	if l.polls[1].Revents != 0 {
		l.ended = true
		return
	}
	if itself.Revents != 0 {
		l.readSoftirq() // first, for its delay is measured
	}
	if l.polls[0].Revents != 0 {
		l.readCommands()
	}
	// What arrived before now is read before anything is concluded from its absence.
	now := l.now()
	judging := l.engine.judging(now)
	for i := range l.used {
		if l.ports[i].conn != nil && (judging || l.polls[2+i].Revents != 0) {
			l.readFrames(i, judging)
		}
	}
	if now >= l.engine.nextStats {
		l.engine.stats.Faults = l.faults() - l.first
	}
	ticks := l.engine.stats.Ticks
	l.engine.advance(now)
	if l.engine.stats.Ticks != ticks && now >= l.softirq.next {
		l.softirq.next = now + softirqEvery
		l.measureSoftirq(now)
	}
	for i := range l.used {
		if p := &l.ports[i]; p.conn == nil && now >= p.again {
			l.redial(p, now)
		}
	}
}

func (l *loop) fd(i int) int32 {
	if c := l.ports[i].conn; c != nil {
		return int32(c.FD())
	}
	return -1 // ignored by poll
}

// readCommands carries out what main has sent.
func (l *loop) readCommands() {
	for {
		n, errno := recv(controlFD, l.in[:])
		switch {
		case errno == unix.EAGAIN, errno == unix.EINTR:
			return
		case errno != 0, n == 0:
			l.ended = true
			return
		}
		if decodeCommand(l.in[:n], &l.command) != nil {
			continue // impossible: the same binary wrote it
		}
		if c := &l.command; c.kind == msgConfigure {
			l.reconfigure(c.config)
		} else {
			l.engine.command(l.now(), c)
		}
	}
}

// readFrames takes in what has arrived on a port: all of it, or as many answers as there are peers. What is left then the next poll
// finds, and asking whether there is more costs as much as a frame.
func (l *loop) readFrames(i int, all bool) {
	fd := l.ports[i].conn.FD()
	answers := 0
	for range drainMost {
		if !all && answers >= len(l.engine.cfg.Peers) {
			return
		}
		n, errno := l.recvPacket(fd)
		switch errno {
		case 0:
			if l.engine.receive(l.now(), i, l.frame[:n]) {
				answers++
			}
		case unix.EAGAIN:
			return
		}
		// Any other error is the socket's pending one (the interface went down), and reading it has cleared it.
	}
}

// now implements kernel.
func (l *loop) now() int64 { return l.boottime() }

// tell implements kernel.
func (l *loop) tell(b []byte) bool {
	switch send(controlFD, b) {
	case 0:
		return true
	case unix.EPIPE, unix.ECONNRESET:
		l.ended = true
	}
	return false
}

// transmit implements kernel.
func (l *loop) transmit(i int, frame []byte) fate {
	p := &l.ports[i]
	if p.conn == nil {
		return gone
	}
	switch errno := send(p.conn.FD(), frame); errno {
	case 0:
		l.usable(p)
		return left
	case unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM, unix.EINTR:
		return held
	default:
		l.unusable(p, errno)
		if errno == unix.ENXIO || errno == unix.ENODEV {
			// The interface was deleted and took its socket's binding with it.
			l.hangUp(p)
		}
		return gone
	}
}

// hangUp closes a port's socket, to be opened again.
func (l *loop) hangUp(p *port) {
	l.unpin()
	defer l.pin()
	_ = p.conn.Close() // its interface is gone already
	p.conn, p.again = nil, l.now()+redialFirst
}

func (l *loop) unusable(p *port, errno syscall.Errno) {
	if !p.down || p.reason != errno {
		event := Notice{Code: NoticeInterface, Slot: p.iface.Slot, Text: errno.Error()}
		p.down, p.reason = l.engine.say(appendNotice(l.engine.message[:0], &event)), errno
	}
}

func (l *loop) usable(p *port) {
	if p.down {
		event := Notice{Code: NoticeRestored, Slot: p.iface.Slot, Text: "frames leave again"}
		p.down = !l.engine.say(appendNotice(l.engine.message[:0], &event))
	}
}

// redial opens a port's socket again once its interface is there. Asking for the interface first allocates nothing, so that one
// which is missing for weeks costs no memory in a process without a collector.
func (l *loop) redial(p *port, now int64) {
	p.again = now + max(p.retry, redialFirst)
	if !l.exists(controlFD, p.iface.Index) {
		return
	}
	l.unpin()
	defer l.pin()
	if err := l.dial(p); err != nil {
		p.retry = min(2*max(p.retry, redialFirst), redialMost)
	}
}

// dial opens a port's socket.
func (l *loop) dial(p *port) error {
	c, err := segment.Dial(p.iface.Index, l.engine.cfg.EtherType, segment.Filter{Class: segment.GateReplies, Cluster: l.engine.cfg.Cluster})
	if err != nil {
		return err
	}
	p.conn, p.retry, p.again = c, 0, 0
	return nil
}

// reconfigure takes a new configuration; ports that stay keep their sockets. What main sends was validated by main.
func (l *loop) reconfigure(c *Config) {
	if c == nil || c.Validate() != nil {
		return
	}
	pinned := l.pinned
	l.unpin()
	was := l.engine.cfg
	old, n := l.ports, l.used
	l.engine.configure(c, l.now())
	same := was.EtherType == l.engine.cfg.EtherType && was.Cluster == c.Cluster
	l.ports, l.used = [MaxInterfaces]port{}, len(c.Interfaces)
	for i, f := range c.Interfaces {
		p := &l.ports[i]
		p.iface = f
		for j := range n {
			if o := &old[j]; same && o.conn != nil && o.iface.Index == f.Index && o.iface.Slot == f.Slot {
				p.conn, p.down, p.reason = o.conn, o.down, o.reason
				o.conn = nil
			}
		}
		if p.conn != nil {
			continue
		}
		if err := l.dial(p); err != nil {
			event := Notice{Code: NoticeInterface, Slot: f.Slot, Text: err.Error()}
			p.down = l.engine.say(appendNotice(l.engine.message[:0], &event))
			p.again = l.now() + redialFirst
		}
	}
	for j := range n {
		if old[j].conn != nil {
			_ = old[j].conn.Close() // nothing is lost with what it still held
		}
	}
	if pinned {
		l.pin()
	}
}

func (l *loop) pin() {
	if !l.pinned {
		procPin()
		l.pinned = true
	}
}

func (l *loop) unpin() {
	if l.pinned {
		procUnpin()
		l.pinned = false
	}
}
