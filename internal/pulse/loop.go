// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Descriptors that the child finds open.
const (
	controlFD = 3 // socket to main
	parentFD  = 4 // pidfd of main
	wordFD    = 5 // memory that main keeps its word in
)

const (
	drainMost  = 4096 // frames taken from one socket in a row; no receive buffer holds as many
	quickAgain = 128  // every so many ticks all ports are looked at right behind their probes
)

// loop runs the engine: it waits, reads and writes. Its methods between two deadlines allocate nothing.
type loop struct {
	kernelBuffers
	engine  *engine
	control int   // the socket to main
	set     int32 // of the descriptors to wait for
	ports   [MaxInterfaces]port
	used    int           // ports in use
	behind  bool          // probes have just left: what is there is read before anything is waited for
	spoken  *atomic.Int64 // main's word
	softirq softirq
	command command
	pinned  bool
	in      [maxMessage]byte
	outbox  outbox
	ended   bool // main is gone
	first   uint64
}

var _ kernel = (*loop)(nil)

// newLoop returns a loop that waits for nothing yet.
func newLoop() (*loop, error) {
	set, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a set of descriptors to wait for: %w", err)
	}
	return &loop{control: controlFD, set: int32(set), softirq: softirq{fd: -1}}, nil
}

// run goes round until main is gone.
func (l *loop) run() {
	l.pin()
	defer l.unpin()
	l.first = l.faults()
	for !l.ended {
		l.round()
	}
}

// round waits for the next deadline or the next input and deals with it. Right behind probes it does not wait, once: where there is no cable
// on the way, as between machines of one host, the answers are there already.
func (l *loop) round() {
	behind := l.behind
	if l.behind = false; !behind {
		l.await()
	}
	if l.ended {
		return
	}
	// What arrived before now is read before anything is concluded from its absence.
	now := l.now()
	if l.spoken != nil {
		l.engine.word(now, l.spoken.Load())
	}
	judging := l.engine.judging(now)
	for i := range l.used {
		p := &l.ports[i]
		if p.conn != nil && (judging || p.ready) {
			answered := l.readFrames(i, now, judging)
			p.quick = p.quick && (answered || !behind)
		}
		p.ready = false
	}
	if l.engine.statsDue(now) {
		l.engine.stats.Faults = l.faults() - l.first
	}
	ticks := l.engine.stats.Ticks
	l.engine.advance(now)
	if l.engine.stats.Ticks != ticks {
		l.followProbes()
		if now >= l.softirq.next {
			l.softirq.next = now + softirqEvery
			l.measureSoftirq(now)
		}
	}
	for i := range l.used {
		if p := &l.ports[i]; p.conn == nil && now >= p.again {
			l.redial(p, now)
		}
	}
	l.flush()
}

// await waits, reads what main has said, and marks the ports where there is something to read.
func (l *loop) await() {
	commands, itself := false, false
	for _, e := range l.events[:l.wait(l.set, l.engine.wake()-l.now())] {
		switch e.Fd {
		case parentFD:
			l.ended = true
			return
		case controlFD:
			commands = true
		case l.softirq.fd:
			itself = true
		default:
			for i := range l.used {
				if p := &l.ports[i]; p.conn != nil && int32(p.conn.FD()) == e.Fd {
					p.ready = true
				}
			}
		}
	}
	if itself {
		l.readSoftirq() // first, for its delay is measured
	}
	if commands {
		l.readCommands()
	}
}

// followProbes has the next round read at once where answers are as quick as that. Where they are not, it finds out now and then.
func (l *loop) followProbes() {
	again := l.engine.stats.Ticks%quickAgain == 1
	for i := range l.used {
		p := &l.ports[i]
		p.quick = p.quick || again
		p.ready = p.quick
		l.behind = l.behind || p.quick
	}
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

// readFrames takes in what has arrived on a port by now: all of it, or as many answers as there are peers. What is left then the next wait
// finds, and asking whether there is more costs as much as a frame. It reports whether there was an answer.
func (l *loop) readFrames(i int, now int64, all bool) bool {
	fd := l.ports[i].conn.FD()
	answers := 0
	for read := range drainMost {
		if !all && answers >= len(l.engine.cfg.Peers) {
			break
		}
		n, errno := l.recvPacket(fd)
		if errno == unix.EAGAIN {
			break
		}
		if read >= MaxMembers {
			now = l.now() // reading so many has taken its time
		}
		// Any error is the socket's pending one (the interface went down), and reading it has cleared it.
		if errno == 0 && l.engine.receive(now, i, l.frame[:n]) {
			answers++
		}
	}
	return answers > 0
}

// now implements kernel.
func (l *loop) now() int64 { return l.boottime() }

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
