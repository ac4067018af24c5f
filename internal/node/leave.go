// SPDX-License-Identifier: Apache-2.0

package node

import (
	"time"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/members"
)

// stopWithin bounds a stop: the member leaves even when nobody could take over.
const stopWithin = 3 * time.Second

// endAsked begins a restart, unless a stop is under way: that goes on, for whoever sends signals wants the same.
func (n *node) endAsked() {
	if n.due.stop == 0 {
		n.beginRestart()
	}
}

// taskFailed ends the member for the supervisor, whose error it is.
func (n *node) taskFailed() {
	if n.due.stop != 0 {
		n.leave = stopping
		return
	}
	n.beginRestart()
}

// beginRestart leaves the gate serving for the daemon that follows.
func (n *node) beginRestart() {
	_ = n.systemd.Stopping()
	n.words.SetRestarting(bpf.Boottime() + int64(n.cfg.Timers.Restarting))
	n.leave = restarting
	n.step(members.Restart{})
}

// setBackBy is by how much a peer must have heard this daemon later than its own clock says it is. What takes turns within a burst of frames is ns.
const setBackBy = time.Second

// setBack ends a daemon that a peer has heard say what it has not said yet: its machine was set back to an earlier state, as to the snapshot of a
// virtual machine. Until its clock is where it was, others would take all of it for replays, its gate's answers too, and it would seal anew
// under numbers that were used. Another daemon, with a new gate, knows nothing of that life.
func (n *node) setBack(from uint8, by time.Duration) {
	if n.leave != staying {
		return
	}
	n.log.Error("this machine was set back to an earlier state, as to a snapshot: gate and daemon begin anew", "heard by", n.name(from), "ahead", by)
	_ = n.systemd.Stopping()
	n.leave, n.again = stopping, true
}

// beginStop hands over and then ends the daemon for good.
func (n *node) beginStop() {
	if n.due.stop != 0 {
		return
	}
	_ = n.systemd.Stopping()
	now := bpf.Boottime()
	n.due.stop = now + int64(stopWithin)
	n.leaveOrderly(now, func() { n.step(members.Stop{}) })
}

// leaveWhenRelieved ends a stop once another member serves and what was on its way has been forwarded, or when patience ends.
func (n *node) leaveWhenRelieved(now int64) {
	if n.due.lingered == 0 && n.machine.View(now).Stopped {
		n.due.lingered = now + int64(n.cfg.Timers.Linger)
	}
	if n.due.lingered != 0 && now >= n.due.lingered || now >= n.due.stop {
		n.leave = stopping
	}
}
