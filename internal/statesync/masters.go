// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
	"github.com/holdfast-project/holdfast/dataplane/flow"
)

const (
	// masterAfter is how long in ns after an expectation began its master is read: the helper tells of the expectation before it translates
	// the packet.
	masterAfter = 2e6
	// mastersMost bounds the masters that wait to be read. What is beyond it is as if this did not exist.
	mastersMost = 1024
)

// masters are connections whose helper expects another: they are read again. A helper that changes the length of what it translates (FTP
// through NAT) makes the kernel adjust sequence numbers from then on, of which no event tells; a copy that does not know of it cannot go on
// with the connection.
type masters struct {
	waiting []master // in the order of their time
	reading bool
	ended   map[uint64]struct{} // keys of connections that ended while one is read
}

type master struct {
	at     int64
	family uint8
	attrs  []byte // by which the kernel finds it
}

// want has the master of an expectation read soon.
func (m *masters) want(now int64, r record.Record) {
	if attrs := r.AppendMaster(nil); len(attrs) > 0 && len(m.waiting) < mastersMost {
		m.waiting = append(m.waiting, master{now + masterAfter, r.Family, attrs})
	}
}

// gone notes that a connection ended.
func (m *masters) gone(key uint64) {
	if m.reading {
		m.ended[key] = struct{}{}
	}
}

func (m *masters) wake() int64 {
	if len(m.waiting) == 0 {
		return never
	}
	return m.waiting[0].at
}

// take returns those whose time has come, and begins to note what ends.
func (m *masters) take(now int64) []master {
	n := 0
	for n < len(m.waiting) && m.waiting[n].at <= now {
		n++
	}
	if n == 0 {
		return nil
	}
	due := m.waiting[:n:n]
	if m.waiting = m.waiting[n:]; len(m.waiting) == 0 {
		m.waiting = nil
	}
	m.reading, m.ended = true, map[uint64]struct{}{}
	return due
}

// readMasters reads those of due again and sends them as updates. It is called without the lock.
func (p *Plane) readMasters(due []master) {
	if len(due) == 0 {
		return
	}
	rs := make([]record.Record, 0, len(due))
	for _, d := range due {
		m, err := p.table.Get(nil, d.family, d.attrs)
		if err != nil {
			if !errors.Is(err, unix.ENOENT) {
				p.log.Debug("a connection whose helper expects another could not be read", "error", err)
			}
			continue
		}
		if r, err := record.FromMessage(nil, m.Type, 0, m.Payload); err == nil {
			rs = append(rs, r)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.masters.reading = false
	if p.role != RoleOwner && !p.share.open() {
		return
	}
	p.now = boottime()
	for _, r := range rs {
		id, err := p.hasher.Identify(r)
		if err != nil {
			continue
		}
		// What ended since it was read must not come back.
		if _, ended := p.masters.ended[id.Key]; ended || p.held.Has(id.Key) || p.judge.Judge(r).Skip != record.SkipNone {
			continue
		}
		p.stats.Updates++
		p.send(flow.Change, id.Key, p.wire(r))
	}
	p.sender.Flush()
	p.transmit(p.now)
}
