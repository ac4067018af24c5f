// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"time"

	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/members/device"
)

// faultKind is a kind of fault in a random plan.
type faultKind uint8

const (
	faultPower faultKind = iota
	faultKill
	faultRestart
	faultStop
	faultMain
	faultPulse
	faultPause
	faultPartition
	faultOneWay
	faultCutPair
	faultLoss
	faultCable
	faultSwitch
	faultDevice
	faultAdmin
	faultForce
	faultKey
	faultSilent
	faultStranger
	faultFreeze
	faultReporter
	faultReporterSilent
	faultUnregister
	faultDeaf
	faultMute
	faultBond
	faultNoEcho
	faultPolicy
	faultSync
	faultUpgrade
	faultDigest
	faultJump
	faultCalm    // all faults end here
	faultInstall // drawn apart
	faultKinds
)

// fault is one thing of a plan, done to a node or an interface, or undone.
type fault struct {
	kind  faultKind
	node  uint8
	other uint8
	iface uint8
	mask  uint8 // of members on one side
	end   bool
	dur   int64
	value uint32
}

// plan draws count faults, within the time span, and ends all of them before calm.
func (w *World) draw(count int, span time.Duration) {
	n, k := int64(len(w.nodes)), int64(len(w.cfg.Interfaces))
	for range count {
		f := fault{kind: faultKind(w.rng.n(int64(faultCalm))), node: uint8(w.rng.n(n)), other: uint8(w.rng.n(n)),
			iface: uint8(w.rng.n(k)), mask: uint8(w.rng.next()), value: uint32(w.rng.n(20000))}
		if w.rng.chance(32768) {
			f.node = w.likelyServer()
		}
		at := w.now + w.rng.n(int64(span))
		f.dur = w.duration()
		w.planFault(at, f)
		f.end = true
		w.planFault(at+f.dur, f)
	}
	if w.setup.policy {
		for range w.rng.n(4) {
			w.planFault(w.now+w.rng.n(int64(span)), fault{kind: faultInstall, mask: uint8(w.rng.next()), value: uint32(w.rng.n(256))})
		}
	}
	w.planFault(w.now+int64(span), fault{kind: faultCalm})
}

// likelyServer is the first member more often than not; faults of others matter less.
func (w *World) likelyServer() uint8 { return uint8(w.rng.n(int64(min(2, len(w.nodes))))) }

// duration is short, middling or long with the same chance.
func (w *World) duration() int64 {
	switch w.rng.n(3) {
	case 0:
		return w.rng.between(1e6, 60e6)
	case 1:
		return w.rng.between(60e6, 600e6)
	}
	return w.rng.between(600e6, 4e9)
}

func (w *World) planFault(at int64, f fault) {
	w.plan = append(w.plan, f)
	w.push(event{at: at, kind: evFault, frame: int32(len(w.plan) - 1)})
}

// applyFault begins or ends a planned fault.
func (w *World) applyFault(f *fault) {
	on := !f.end
	switch f.kind {
	case faultPower:
		w.power(f)
	case faultKill:
		if on {
			w.Kill(f.node, time.Duration(f.dur))
		}
	case faultRestart:
		if on {
			w.Restart(f.node, time.Duration(min(f.dur, 900e6)))
		}
	case faultStop:
		if on {
			w.StopDaemon(f.node)
		} else {
			w.finishStop(f.node)
		}
	case faultMain:
		w.SetMain(f.node, on)
	case faultPulse:
		w.SetPulse(f.node, on)
	case faultPause:
		w.SetPaused(f.node, on)
	case faultPartition, faultOneWay, faultCutPair:
		w.cutFault(f)
	case faultLoss:
		w.Loss(f.value*boolean(on), f.value/4*boolean(on))
	case faultCable:
		w.Cable(f.iface, f.node, f.end)
	case faultSwitch:
		for id := range w.nodes {
			w.Cable(f.iface, uint8(id), f.end)
		}
	case faultCalm:
		w.calm()
	default:
		w.orderFault(f)
	}
}

func boolean(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

func (w *World) power(f *fault) {
	if f.end {
		w.PowerOn(f.node)
		return
	}
	w.PowerOff(f.node)
}

// finishStop ends a daemon that was told to stop, and starts it again.
func (w *World) finishStop(id uint8) {
	n := &w.nodes[id]
	if !n.power || n.paused || !n.stopping {
		return
	}
	if n.daemon {
		n.endDaemon(w)
		n.words.Revoke(0)
		w.touched(n)
	}
	w.Start(id)
}

// cutFault applies the faults that cut members from each other.
func (w *World) cutFault(f *fault) {
	on := !f.end
	for i := range w.cfg.Interfaces {
		if f.value&1 != 0 && uint8(i) != f.iface {
			continue // half of them concern one interface only
		}
		switch f.kind {
		case faultPartition:
			w.partition(uint8(i), f.mask, on)
			continue
		case faultCutPair:
			if f.node != f.other {
				w.Cut(uint8(i), f.other, f.node, on)
			}
		}
		if f.node != f.other {
			w.Cut(uint8(i), f.node, f.other, on)
		}
	}
}

// partition cuts the members in the mask from the others, and one side from the neighbours.
func (w *World) partition(i, mask uint8, on bool) {
	for a := range w.nodes {
		if mask>>7 == mask>>a&1 {
			w.Strand(i, uint8(a), on)
		}
		for b := range w.nodes {
			if mask>>a&1 != mask>>b&1 {
				w.Cut(i, uint8(a), uint8(b), on)
			}
		}
	}
}

// orderFault applies what operators, devices and foreign machines do.
func (w *World) orderFault(f *fault) {
	on := !f.end
	switch f.kind {
	case faultDevice:
		s := device.OK
		if on {
			s = device.Problem
		}
		w.Device(f.node, "disk", s, "planned")
	case faultAdmin:
		kind := members.AdminUp
		if on {
			kind = members.AdminDown
		}
		w.Admin(f.node, members.Admin{Kind: kind})
	case faultForce:
		if on {
			w.Admin(f.other, members.Admin{Kind: members.AdminForceTo, Target: f.node, For: time.Duration(f.dur)})
		}
	case faultKey:
		w.WrongKey(f.node, on)
	case faultSilent:
		w.SetSilent(f.iface, on)
	case faultStranger:
		w.Stranger(on)
	case faultFreeze:
		if on {
			w.Admin(f.node, members.Admin{Kind: members.AdminFreeze, For: time.Duration(f.dur) * time.Duration(f.value&1)})
		}
	default:
		w.memberFault(f)
	}
}

// calm ends every fault.
func (w *World) calm() {
	w.Loss(0, 0)
	w.Stranger(false)
	for i := range w.cfg.Interfaces {
		w.SetSilent(uint8(i), false)
		w.NoEcho(uint8(i), false)
		for a := range w.nodes {
			w.Cable(uint8(i), uint8(a), true)
			w.Strand(uint8(i), uint8(a), false)
			for b := range w.nodes {
				w.Cut(uint8(i), uint8(a), uint8(b), false)
			}
		}
	}
	for a := range w.nodes {
		w.calmNode(uint8(a))
	}
	w.plan = w.plan[:0]
	w.queue.remove(evFault)
	if w.setup.policy {
		w.everywhere()
	}
	w.net.changed = w.now
	w.inv.woke = w.now
}

func (w *World) calmNode(id uint8) {
	n := &w.nodes[id]
	w.WrongKey(id, false)
	w.SetPaused(id, false)
	w.SetPulse(id, false)
	w.SetMain(id, false)
	w.PowerOn(id)
	w.finishStop(id)
	w.Start(id)
	w.calmMember(id)
	w.Device(id, "disk", device.OK, "")
	w.Admin(id, members.Admin{Kind: members.AdminUp})
	w.Admin(id, members.Admin{Kind: members.AdminUnfreeze})
	n.resumed = w.now
}
