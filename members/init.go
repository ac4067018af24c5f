// SPDX-License-Identifier: Apache-2.0

package members

import (
	"strings"

	"github.com/holdfast-project/holdfast/members/device"
)

// judgeInit ends INIT when the member knows enough: whether each peer is there, and that the segments
// carry frames.
func (m *Machine) judgeInit() {
	if m.initDone {
		return
	}
	heard, pending := false, false
	for i := range m.peers {
		p := &m.peers[i]
		heard = heard || p.alive
		pending = pending || !p.alive && !p.dead || p.alive && p.helloAt == 0 && m.now < m.boot.Now+3*m.t.hello
	}
	if hello := m.boot.Now + 3*m.t.hello; m.now < hello {
		m.wakeAt(hello)
	}
	wait, longest := m.boot.Now+m.t.bootWait, m.boot.Now+m.t.receiveWait
	switch {
	case heard && !pending, m.now >= wait && (heard || m.segmentsCarry()), m.now >= longest:
		m.finishInit()
	case m.now < wait:
		m.wakeAt(wait)
	default:
		m.wakeAt(longest)
	}
}

// segmentsCarry reports whether each cluster interface with carrier has received some frame.
func (m *Machine) segmentsCarry() bool {
	for i := range m.ifaces {
		if f := &m.ifaces[i]; f.Cluster && f.carrier && !f.received {
			return false
		}
	}
	return true
}

// finishInit ends INIT.
func (m *Machine) finishInit() {
	m.initDone = true
	m.report(device.InitDevice, device.OK, "")
	m.vacantAt = m.now
}

// initReason says what INIT waits for.
func (m *Machine) initReason() string {
	if m.now-m.boot.Now < m.t.bootWait {
		return "the daemon has started and listens for the other members"
	}
	var silent []string
	for i := range m.ifaces {
		if f := &m.ifaces[i]; f.Cluster && f.carrier && !f.received {
			silent = append(silent, f.Name)
		}
	}
	if len(silent) == 0 {
		return "waits for the other members to say how they are"
	}
	return "waits for a first frame on " + strings.Join(silent, ", ")
}
