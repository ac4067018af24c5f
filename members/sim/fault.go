// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"time"

	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/members/device"
	"github.com/holdfast-project/holdfast/members/gate"
)

// This file holds what can be done to a World. Scenarios call it by name, the random plan as well.

// disturb notes that something was done; joins that machines may see each other anew.
func (w *World) disturb(text string, joins bool) {
	w.inv.disturbed = w.now
	if joins {
		w.inv.woke = w.now
	}
	w.logf("-- %s", text)
}

// PowerOn boots a machine: an empty gate, a new clock, and the daemon.
func (w *World) PowerOn(id uint8) {
	n := &w.nodes[id]
	if n.power {
		return
	}
	w.disturb(n.name+" boots", false)
	n.power, n.paused, n.stopping = true, false, false
	n.offset = w.now - 1e6 - w.rng.n(1e9)
	n.words = gate.Words{Incarnation: w.rng.next() | 1, Self: id, Members: uint8(len(w.nodes)), GroupsInUse: 1,
		Soft: w.soft, Hard: w.hard, Watch: w.watch, Linger: w.linger}
	n.startDaemon(w)
}

// PowerOff stops a machine dead.
func (w *World) PowerOff(id uint8) {
	n := &w.nodes[id]
	if !n.power {
		return
	}
	w.disturb(n.name+" loses power", false)
	n.power, n.paused = false, false
	n.endDaemon(w)
	w.drop(n)
}

// drop forgets the frames that a paused machine would have found.
func (w *World) drop(n *node) {
	w.free = append(w.free, n.buffered...)
	n.buffered = n.buffered[:0]
	w.touched(n)
}

// endDaemon ends the daemon's processes; the gate stays.
func (n *node) endDaemon(w *World) {
	n.daemon, n.epoch, n.asleep = false, n.epoch+1, w.now
	n.unfrozen, n.failbacks = 0, nil
	w.free = append(w.free, n.pulse.queue...)
	n.pulse.queue, n.pulse.orders = n.pulse.queue[:0], n.pulse.orders[:0]
	n.pulse.leasing, n.pulse.ticking = false, false
}

// Kill ends the daemon as SIGKILL does; with restart > 0 it is started again after that time.
func (w *World) Kill(id uint8, restart time.Duration) {
	n := &w.nodes[id]
	if !n.power || n.paused || !n.daemon {
		return
	}
	w.disturb(w.text("%s's daemon is killed, restart after %v", n.name, restart), false)
	n.endDaemon(w)
	if restart > 0 {
		w.push(event{at: w.now + int64(restart), kind: evStart, node: id, epoch: n.epoch})
	}
}

// Start starts a daemon that is not running.
func (w *World) Start(id uint8) {
	n := &w.nodes[id]
	if n.power && !n.paused && !n.daemon {
		w.disturb(n.name+"'s daemon is started", false)
		n.stopping = false
		n.startDaemon(w)
	}
}

// Restart replaces the daemon in an orderly way: it announces the restart first.
func (w *World) Restart(id uint8, after time.Duration) {
	n := &w.nodes[id]
	if !n.power || n.paused || !n.daemon || n.stopped {
		return
	}
	n.words.Restarting = n.local(w.now) + 3e9
	n.step(w, members.Restart{})
	w.Kill(id, max(after, 1))
}

// StopDaemon ends a daemon for good, as `holdfast stop` does.
func (w *World) StopDaemon(id uint8) {
	n := &w.nodes[id]
	if n.power && n.daemon {
		w.disturb(n.name+"'s daemon is told to stop", false)
		n.stopping = true
		n.post(w, members.Stop{})
	}
}

// SetMain stops (SIGSTOP) or continues the main process; the pulse runs on.
func (w *World) SetMain(id uint8, stopped bool) {
	n := &w.nodes[id]
	if !n.power || n.stopped == stopped || !n.daemon {
		return
	}
	w.disturb(w.text("%s's main process stopped: %v", n.name, stopped), false)
	n.stopped = stopped
	if stopped {
		n.asleep = w.now
	}
	if !stopped {
		n.resumed = w.now
		n.runMain(w)
	}
}

// SetPulse stalls or continues the pulse.
func (w *World) SetPulse(id uint8, stalled bool) {
	n := &w.nodes[id]
	if !n.power || n.pulse.stalled == stalled || !n.daemon {
		return
	}
	w.disturb(w.text("%s's pulse stalled: %v", n.name, stalled), false)
	n.pulse.stalled = stalled
	if stalled {
		n.stalled, n.asleep = w.now, w.now
	}
	if !stalled && !n.paused {
		n.resumed = w.now
		n.pulse.resume(w, n)
	}
}

// SetPaused stops a whole machine, its clock as well, or lets it go on.
func (w *World) SetPaused(id uint8, paused bool) {
	n := &w.nodes[id]
	if !n.power || n.paused == paused {
		return
	}
	w.disturb(w.text("%s paused: %v", n.name, paused), !paused)
	n.paused = paused
	if paused {
		n.pausedAt = w.now
		w.touched(n)
		return
	}
	n.offset += w.now - n.pausedAt
	n.renewed += w.now - n.pausedAt
	n.resumed = w.now
	w.touched(n)
	for _, i := range n.buffered {
		n.receive(w, i)
	}
	n.buffered = n.buffered[:0]
	if n.startLater {
		n.startDaemon(w)
		return
	}
	if !n.daemon {
		return
	}
	if !n.pulse.stalled {
		n.pulse.resume(w, n)
	}
	n.runMain(w)
	n.wakeSet = 0
	n.setWake(w, w.now+1)
}

// Cut cuts or heals one direction between two members on an interface.
func (w *World) Cut(iface, from, to uint8, cut bool) {
	if w.net.cut[iface][from][to] != cut {
		w.net.cut[iface][from][to], w.net.changed = cut, w.now
		w.disturb(w.text("%s: %s to %s cut: %v", w.cfg.Interfaces[iface].Name, memberNames[from], memberNames[to], cut), !cut)
	}
}

// Strand cuts or heals a member from the third stations of an interface.
func (w *World) Strand(iface, id uint8, cut bool) {
	if w.net.stranded[iface][id] != cut {
		w.net.stranded[iface][id] = cut
		w.disturb(w.text("%s: %s to its neighbours cut: %v", w.cfg.Interfaces[iface].Name, memberNames[id], cut), false)
	}
}

// SetSilent makes the third stations of an interface silent, or not.
func (w *World) SetSilent(iface uint8, silent bool) {
	w.net.silent[iface] = silent
	w.disturb(w.text("%s: the neighbours are silent: %v", w.cfg.Interfaces[iface].Name, silent), false)
}

// Cable pulls a member's cable or puts it back in.
func (w *World) Cable(iface, id uint8, in bool) {
	if w.net.noCable[iface][id] == !in {
		return
	}
	w.net.noCable[iface][id], w.net.changed = !in, w.now
	n := &w.nodes[id]
	w.disturb(w.text("%s: carrier of %s: %v", w.cfg.Interfaces[iface].Name, n.name, in), in)
	if n.power {
		if w.opt.BreakProof && !in && !n.serving {
			return
		}
		n.post(w, w.link(n, iface, in))
	}
}

// Loss loses and duplicates frames, out of 65536.
func (w *World) Loss(loss, dup uint32) {
	w.net.loss, w.net.dup, w.net.changed = loss, dup, w.now
	w.disturb(w.text("loss %d %%, duplication %d %%", loss*100>>16, dup*100>>16), true)
}

// WrongKey gives a member another cluster key than the others, or the right one.
func (w *World) WrongKey(id uint8, wrong bool) {
	w.net.wrongKey[id], w.net.changed = wrong, w.now
	w.disturb(w.text("%s has a wrong key: %v", memberNames[id], wrong), !wrong)
}

// Stranger lets a machine that is no member answer for the VIPs.
func (w *World) Stranger(there bool) {
	w.net.stranger = there
	w.disturb(w.text("a stranger answers for the VIPs: %v", there), false)
}

// Device reports a critical device on a member: a user-defined one, or a built-in one that monitors may feed.
func (w *World) Device(id uint8, name string, s device.Status, reason string) {
	w.disturb(w.text("%s: device %s %v", memberNames[id], name, s), false)
	w.nodes[id].post(w, members.Device{Op: members.DeviceRegister, Name: name, Reporter: name, Status: s, Reason: reason})
}

// Admin gives an operator's order to a member.
func (w *World) Admin(id uint8, a members.Admin) {
	w.disturb(w.text("%s: operator's order %d", memberNames[id], a.Kind), false)
	w.nodes[id].froze(w, a)
	w.nodes[id].post(w, a)
}

// Tell gives a member's machine an event that nothing else in this package makes.
func (w *World) Tell(id uint8, ev members.Event) {
	w.disturb(w.text("%s is told %T", memberNames[id], ev), false)
	w.nodes[id].post(w, ev)
}

// View returns a member's view, and false if its daemon does not run.
func (w *World) View(id uint8) (members.View, bool) {
	n := &w.nodes[id]
	if !n.power || !n.daemon {
		return members.View{}, false
	}
	return n.machine.View(n.local(w.now)), true
}

// Machine returns a member's machine, nil if its daemon does not run. It may be looked at, not stepped.
func (w *World) Machine(id uint8) *members.Machine {
	if n := &w.nodes[id]; n.power && n.daemon {
		return n.machine
	}
	return nil
}

// Gap returns the longest time without any serving member since ResetGap. A lease that runs out is noticed
// within a millisecond.
func (w *World) Gap() time.Duration {
	if w.inv.absentAt != 0 {
		w.inv.gap = max(w.inv.gap, w.now-w.inv.absentAt)
	}
	return time.Duration(w.inv.gap)
}

// ResetGap begins to measure the gap anew.
func (w *World) ResetGap() {
	w.inv.gap = 0
	if w.inv.absentAt != 0 {
		w.inv.absentAt = w.now
	}
}

// Serving returns the members whose gates answer.
func (w *World) Serving() []uint8 {
	var ids []uint8
	for i := range w.nodes {
		if w.serves(&w.nodes[i]) {
			ids = append(ids, uint8(i))
		}
	}
	return ids
}
