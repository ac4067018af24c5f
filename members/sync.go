// SPDX-License-Identifier: Apache-2.0

package members

import (
	"time"

	"github.com/holdfast-project/holdfast/members/device"
)

// waitsForSync is why a member without the connections is held back when nothing more is known.
const waitsForSync = "waits for the connection table"

// syncSettle is how long a member that was there when another began to serve may take to receive its first connections: the members of
// a cluster that starts are equals, and shall not be READY for a moment each.
const syncSettle = int64(time.Second)

// syncing is what is known of this member's copy of the connection table.
type syncing struct {
	ready  bool   // it has the connections of the member that serves, as its daemon says
	reason string // why not
	owed   bool   // a member serves, or served last, whose connections this one lacks
	equals uint8  // bits of the peers that were there, as this member was, while nobody served
	until  int64  // end of syncSettle, 0 if it does not run
}

// judgeSync keeps the device full-sync. A member lacks connections from the moment another serves of which it has not received them
// until it has, or serves itself: that the other one falls silent in between makes it no better. While nobody serves, nor has as far
// as this member knows, there is nothing to lack.
func (m *Machine) judgeSync() {
	s := &m.sync
	switch {
	case !m.cfg.WaitSync:
		return
	case m.term != 0, s.ready:
		s.owed, s.equals, s.until = false, 0, 0
	case s.owed:
	case m.server == Nobody:
		s.equals, s.until = m.alivePeers(), 0
	case s.until == 0 && s.equals&(1<<m.server) != 0:
		s.until = m.now + syncSettle
		m.wakeAt(s.until)
	case m.now < s.until:
		m.wakeAt(s.until)
	default:
		s.owed = true
	}
	switch {
	case !s.owed:
		m.report(device.FullSync, device.OK, "")
	case s.reason != "":
		m.report(device.FullSync, device.Init, s.reason)
	default:
		m.report(device.FullSync, device.Init, waitsForSync)
	}
}

// alivePeers returns the peers that are there while this member is past INIT, as bits.
func (m *Machine) alivePeers() (bits uint8) {
	for i := range m.peers {
		if m.initDone && m.peers[i].alive {
			bits |= 1 << m.peers[i].id
		}
	}
	return bits
}

// withoutConnections reports whether this member lacks the connections of the one that serves, or served last.
func (m *Machine) withoutConnections() bool {
	d, _ := m.devices.Get(device.FullSync)
	return d.Status == device.Init
}
