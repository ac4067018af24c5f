// SPDX-License-Identifier: Apache-2.0

package members

import (
	"time"

	"github.com/holdfast-project/holdfast/members/device"
)

// flushWait is how long a member that takes over by order waits at most for the connections that the one that serves has still to tell.
const flushWait = int64(50 * time.Millisecond)

// flushing is a hand-over without hurry: the one that takes over asks the one that serves to let everybody have what it knows of
// connections, and waits for that before it asks any gate to grant.
type flushing struct {
	asked    uint32 // of the claim under way, 0 if it has not asked
	since    int64  // which claim that is
	from     uint8
	until    int64
	taken    uint32 // the last question of another that was taken up
	answered uint32 // and answered
}

// flushHeld says what a claim waits for.
func (m *Machine) flushHeld() string {
	c, f := &m.claim, &m.flush
	p := m.peer(m.server)
	if !m.cfg.WaitSync || p == nil || !p.alive || !m.helloFresh(p) || !p.hello.Flushes || !unhurried(c.cause, p) {
		return ""
	}
	if f.asked == 0 || f.since != c.since || f.from != p.id {
		f.asked, f.since, f.from, f.until = m.flushID(), c.since, p.id, m.now+flushWait
		m.helloSoon = true
	}
	if p.hello.Flushed == f.asked || m.now >= f.until {
		return ""
	}
	m.wakeAt(f.until)
	return waitAnswers
}

// unhurried reports whether traffic flows as it should until the claim opens: nothing is lost by a wait.
func unhurried(c Cause, p *peer) bool {
	switch c {
	case CauseForced, CauseFailback:
		return true
	case CauseDevice:
		return p.hello.Stopping || p.says(device.AdminDown, device.Problem)
	}
	return false
}

// flushID returns a number that this member has not asked with before, and that no other does.
func (m *Machine) flushID() uint32 {
	return uint32(m.now/int64(time.Millisecond)+1)<<3 | uint32(m.self)
}

// flushAsked is the question to tell.
func (m *Machine) flushAsked() uint32 {
	if c := &m.claim; c.cause == 0 || c.asked || c.since != m.flush.since {
		return 0
	}
	return m.flush.asked
}

// learnFlush takes a question up, if this member serves.
func (m *Machine) learnFlush(id uint32) {
	if id == 0 || id == m.flush.taken || m.term == 0 {
		return
	}
	m.flush.taken = id
	m.do(Flush{ID: id})
}
