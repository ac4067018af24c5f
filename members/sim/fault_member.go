// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"time"

	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/members/device"
)

// This file holds what can be done to a member and to what it watches; fault.go holds machines and wires.

// memberFault begins or ends a planned fault of a member.
func (w *World) memberFault(f *fault) {
	on := !f.end
	n := &w.nodes[f.node]
	switch f.kind {
	case faultReporter, faultReporterSilent, faultUnregister:
		if len(n.reporters) > 0 {
			w.reporterFault(n, &n.reporters[int(f.value)%len(n.reporters)], f.kind, on)
		}
	case faultDeaf, faultMute:
		w.oneWay(f.iface, f.node, f.kind == faultDeaf, on)
	case faultBond:
		w.Bond(f.iface, f.node, !on)
	case faultNoEcho:
		w.NoEcho(f.iface, on)
	case faultPolicy:
		if w.setup.policy {
			w.SetPolicy(f.node, !on)
		}
	case faultInstall:
		if on {
			w.install(f.mask & uint8(f.value))
		}
	case faultSync:
		if w.setup.sync {
			w.SetSync(f.node, !on)
		}
	case faultUpgrade:
		if on && n.version < 4 {
			w.Upgrade(f.node, n.version+1, time.Duration(min(f.dur, 600e6)))
		}
	case faultDigest:
		w.Digest(f.node, byte(boolean(on)))
	case faultJump:
		if on {
			w.JumpClock(f.node, time.Duration(f.dur))
		}
	}
}

func (w *World) reporterFault(n *node, p *reporter, kind faultKind, on bool) {
	switch kind {
	case faultReporter:
		p.well = !on
	case faultReporterSilent:
		p.silent = on
	case faultUnregister:
		if p.absent == on {
			return
		}
		p.absent = on
		if on {
			n.post(w, members.Device{Op: members.DeviceUnregister, Name: p.device, Reporter: p.name})
		} else if n.daemon {
			p.register(w, n)
		}
	}
	w.disturb(w.text("%s: %s %s is well: %v, silent: %v, unregistered: %v", n.name, p.device, p.name, p.well, p.silent, p.absent), false)
}

// oneWay cuts or heals one direction of a member's interface, in or out; the neighbours' answers do not get through either way.
func (w *World) oneWay(iface, id uint8, in, cut bool) {
	for o := range w.nodes {
		switch {
		case uint8(o) == id:
		case in:
			w.Cut(iface, uint8(o), id, cut)
		default:
			w.Cut(iface, id, uint8(o), cut)
		}
	}
	w.Strand(iface, id, cut)
}

// Bond takes links out of a bond, so that too few are left though it has carrier, or puts them back.
func (w *World) Bond(iface, id uint8, well bool) {
	if w.net.shortBond[iface][id] == !well {
		return
	}
	w.net.shortBond[iface][id] = !well
	n := &w.nodes[id]
	w.disturb(w.text("%s: the bond %s has enough links: %v", n.name, w.cfg.Interfaces[iface].Name, well), false)
	if n.power {
		n.post(w, w.link(n, iface, false))
	}
}

// link is what the host says of an interface.
func (w *World) link(n *node, iface uint8, received bool) members.Link {
	l := members.Link{Iface: iface, Up: !w.net.noCable[iface][n.id], Received: received}
	if l.Up && w.net.shortBond[iface][n.id] {
		l.Fault = "1 of 2 links up, needs 2"
	}
	return l
}

// NoEcho lets something answer ARP in the place of an interface's third stations, which answer nothing, or ends that.
func (w *World) NoEcho(iface uint8, on bool) {
	w.net.noEcho[iface] = on
	w.disturb(w.text("%s: ARP is answered, echo requests are not: %v", w.cfg.Interfaces[iface].Name, on), false)
}

// SetPolicy gives a member its policy or takes it away, SetSync the connection table.
func (w *World) SetPolicy(id uint8, there bool) {
	n := &w.nodes[id]
	n.noPolicy, n.policyAt = !there, w.now
	w.disturb(w.text("%s has its policy: %v", n.name, there), false)
	n.ready(w, 0)
}

// SetSync is described at SetPolicy.
func (w *World) SetSync(id uint8, there bool) {
	n := &w.nodes[id]
	n.noSync = !there
	w.disturb(w.text("%s has the connection table: %v", n.name, there), false)
	n.ready(w, 1)
}

// Upgrade restarts a member's daemon as another version.
func (w *World) Upgrade(id uint8, version uint32, after time.Duration) {
	n := &w.nodes[id]
	if !n.power || n.paused || !n.daemon || n.stopped {
		return
	}
	n.version = version
	w.logf("%s is to run version %d", n.name, version)
	w.Restart(id, after)
}

// Digest gives a member another cluster-wide configuration.
func (w *World) Digest(id uint8, digest byte) {
	n := &w.nodes[id]
	if n.digest == digest {
		return
	}
	n.digest = digest
	w.disturb(w.text("%s has configuration %d", n.name, digest), false)
	if n.daemon {
		n.machine.Reconfigure(w.config(n))
		n.runMain(w)
	}
}

// JumpClock lets a machine's clock run ahead at once, as after a suspend of the host.
func (w *World) JumpClock(id uint8, d time.Duration) {
	n := &w.nodes[id]
	if !n.power || n.paused {
		return
	}
	w.disturb(w.text("%s's clock jumps by %v", n.name, d), false)
	n.offset -= int64(d)
	n.unfrozen, n.resumed = 0, w.now
	w.touched(n)
	if n.daemon {
		n.runMain(w)
	}
}

// calmMember ends what memberFault began; the version stays.
func (w *World) calmMember(id uint8) {
	n := &w.nodes[id]
	for i := range n.reporters {
		p := &n.reporters[i]
		p.well, p.silent = true, false
		w.reporterFault(n, p, faultUnregister, false)
	}
	for i := range w.cfg.Interfaces {
		w.Bond(uint8(i), id, true)
	}
	w.Digest(id, 0)
	if n.noPolicy {
		w.SetPolicy(id, true)
	}
	if n.noSync {
		w.SetSync(id, true)
	}
}

// problem sets a device of a member that no reporter feeds.
func (w *World) problem(id uint8, name string, on bool) {
	s := device.OK
	if on {
		s = device.Problem
	}
	w.Device(id, name, s, "")
}
