// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/ccp/segment"
)

// port is an interface that carries sync frames.
type port struct {
	Interface
	conn  *segment.Conn
	batch []segment.Frame
	err   string
	retry int64                 // when to try again to open the socket, 0 with one
	since int64                 // when it came up, or was configured
	heard [ccp.MaxMembers]int64 // by member: when an authentic frame came in

	sentBytes, sentFrames, receivedBytes, receivedFrames uint64
	failed                                               uint64
}

func (t *port) close() {
	if t.conn != nil {
		t.conn.Close()
		t.conn = nil
	}
}

// openPorts makes the open sockets those of the configuration.
func (p *Plane) openPorts() {
	before := p.ports
	p.ports = nil
	for _, i := range p.cfg.Interfaces {
		var t *port
		for k, old := range before {
			if old != nil && old.Name == i.Name && old.Index == i.Index {
				t, before[k] = old, nil
			}
		}
		if t == nil {
			t = &port{}
		}
		if !t.Up {
			t.since = boottime()
		}
		if t.conn != nil && !t.conn.Bound() {
			t.close()
		}
		if t.conn != nil && t.MAC != i.MAC {
			t.conn.SetSource(i.MAC)
		}
		t.Interface = i
		if t.conn == nil && i.Index != 0 {
			p.open(t)
		}
		p.ports = append(p.ports, t)
	}
	for _, old := range before {
		if old != nil {
			old.close()
		}
	}
}

// reopenPorts tries again what could not be opened.
func (p *Plane) reopenPorts(now int64) {
	for _, t := range p.ports {
		if t.conn == nil && t.retry != 0 && t.retry <= now && p.ctx.Err() == nil {
			p.open(t)
		}
	}
}

// reopenWake is when reopenPorts has something to do.
func (p *Plane) reopenWake() int64 {
	at := int64(never)
	for _, t := range p.ports {
		if t.conn == nil && t.retry != 0 {
			at = min(at, t.retry)
		}
	}
	return at
}

func (p *Plane) open(t *port) {
	err := p.within(func() (err error) {
		t.conn, err = segment.Dial(t.Index, p.cfg.EtherType, segment.Filter{Class: segment.Sync, Cluster: p.cfg.Cluster})
		if err != nil {
			return err
		}
		// The first call that may wait opens a second socket, which must be in this namespace too.
		return t.conn.SetReadDeadline(time.Time{})
	})
	if err != nil {
		if t.err != err.Error() {
			p.log.Warn("sync interface without a socket", "interface", t.Name, "error", err)
		}
		t.conn, t.err, t.retry = nil, err.Error(), boottime()+int64(retryAfter)
		return
	}
	t.err, t.retry = "", 0
	conn, ctx := t.conn, p.ctx
	p.group.Go(func() error { return p.readFrames(ctx, t, conn) })
}

// lostPort has another socket opened in the place of one whose device has gone.
func (p *Plane) lostPort(t *port, conn *segment.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.conn != conn {
		return
	}
	t.close()
	now := boottime()
	t.retry = now + int64(retryAfter)
	p.rearm(now)
}

// readFrames takes in what arrives on one interface.
func (p *Plane) readFrames(ctx context.Context, t *port, conn *segment.Conn) error {
	in := make([]segment.Frame, segment.BatchLen)
	for i := range in {
		in[i].Bytes = make([]byte, 0, frameRoom)
	}
	var fast rates // of frames
	for {
		n, err := conn.RecvBatch(in)
		switch {
		case errors.Is(err, os.ErrClosed):
			return nil
		case err != nil:
			// The interface is down or gone; the node tells when there is another, unless it came back as it was before anybody knew.
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(100 * time.Millisecond):
			}
			if !conn.Bound() {
				p.lostPort(t, conn)
				return nil
			}
			continue
		}
		now := boottime()
		p.received(t, in[:n])
		// Frames come in bursts of what the other side gathered. Nothing is lost by reading a burst at once: it is on this member already.
		if wait := fast.frames(now, n); wait > 0 {
			nap(wait)
		}
	}
}
