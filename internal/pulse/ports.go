// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/ccp/segment"
)

const (
	redialFirst = int64(1e9)  // after an interface's socket has died
	redialMost  = int64(16e9) // doubled up to this while the interface is there but cannot be opened
)

// port is the socket of one interface.
type port struct {
	iface  Interface
	conn   *segment.Conn // nil: none; tried again at retryAt
	down   bool          // main was told that it is unusable
	retry  int64         // wait before the next try
	again  int64         // boot time of the next try
	reason syscall.Errno
	ready  bool // there may be something to read
	quick  bool // answers are there as soon as the probes have left: the next are read without waiting for them
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
	if errno := l.watch(l.set, int32(c.FD())); errno != 0 {
		return errors.Join(fmt.Errorf("wait for what comes in: %w", errno), c.Close())
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
