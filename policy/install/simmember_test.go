// SPDX-License-Identifier: Apache-2.0

package install

import (
	"slices"
	"time"

	"github.com/holdfast-project/holdfast/policy"
)

// member has a kernel and a disk that outlive its machine.
type member struct {
	w       *world
	name    string
	m       *Machine // nil: dead
	life    int
	disk    Durable
	kernel  policy.Offer
	asleep  Attempt
	refuses bool
	wake    int64
	said    Reply           // the newest
	hears   map[string]bool // peers since its last commit
	went    []policy.Digest // back from
}

func (x *member) start() {
	x.life++
	var effects []Effect
	x.m, effects = New(Config{Doubt: 300 * time.Millisecond, Ask: 200 * time.Millisecond}, x.disk, x.kernel, x.w.now)
	x.hears = map[string]bool{}
	x.perform(effects)
	x.later(w0+x.w.r.Int64N(100*ms), x.hello)
}

const w0 = 50 * ms

// hello tells peers and management what there is, ten times a second.
func (x *member) hello() Event {
	if x.m == nil {
		return nil
	}
	a, _, d := x.m.Said()
	t := Told{From: x.name, Attempt: a, InForce: x.m.Durable().InForce, Decision: d}
	for _, p := range x.w.members {
		if p != x {
			x.w.send(x.name, p.name, func() { p.heard(t) })
		}
	}
	said, hears := x.said, len(x.hears)
	if !said.Attempt.None() {
		x.w.send(x.name, "management", func() { x.w.mgmt.reply(x.name, said, hears) })
	}
	x.later(100*ms, x.hello)
	return nil
}

// heard is a HELLO. A newer policy of a peer is fetched, as recovery does.
func (x *member) heard(t Told) {
	if x.m == nil {
		return
	}
	x.hears[t.From] = true
	x.step(t)
	if x.m != nil {
		x.recover(t.InForce)
	}
}

// recover takes a newer policy, unless this member went back from it.
func (x *member) recover(o policy.Offer) {
	take := func() bool {
		return o.Generation > x.kernel.Generation && x.w.stuck[o.Digest] != x.name && !slices.Contains(x.disk.Declined, o.Digest)
	}
	if !take() {
		return
	}
	x.later(20*ms+x.w.r.Int64N(100*ms), func() Event {
		if x.m == nil || !take() {
			return nil
		}
		if slices.Contains(x.went, o.Digest) {
			x.w.lone++
		}
		x.kernel = o
		x.hears = map[string]bool{}
		return Replaced{o}
	})
}

// die ends the daemon, or the whole machine.
func (x *member) die(reboot bool) {
	if x.m == nil {
		return
	}
	x.m = nil
	x.w.broken()
	if reboot {
		x.kernel, x.asleep = policy.Offer{}, Attempt{}
	}
	x.w.after(50*ms+x.w.r.Int64N(second), func() {
		x.w.broken()
		if reboot {
			x.kernel = x.disk.InForce // what recovery does without peers
			if slices.Contains(x.disk.Declined, x.kernel.Digest) {
				x.w.fail("%s comes up with what it declined", x.name)
			}
		}
		x.start()
	})
}

func (x *member) step(e Event) {
	if x.m != nil {
		x.perform(x.m.Step(x.w.now, e))
	}
}

// later is step in this life only.
func (x *member) later(d int64, do func() Event) {
	life := x.life
	x.w.after(d, func() {
		if e := do(); x.m != nil && x.life == life {
			x.step(e)
		}
	})
}

func (x *member) perform(effects []Effect) {
	w := x.w
	for _, e := range effects {
		if w.faults && w.r.IntN(400) == 0 { // between any two
			x.die(w.r.IntN(2) == 0)
			return
		}
		switch e := e.(type) {
		case Save:
			x.disk = e.Durable
			x.recover(x.disk.Confirmed.Policy) // it is on the disk, or peers have it
		case Load:
			x.later(5*ms+w.r.Int64N(50*ms), func() Event {
				if x.refuses {
					return NotLoaded{e.Attempt, "no such device"}
				}
				if x.m != nil {
					x.asleep = e.Attempt
				}
				return Loaded(e)
			})
		case Switch:
			if d := w.mgmt.decided[e.Attempt.Number]; d == Unknown || d == Abort {
				w.fail("%s switches to attempt %d, which is decided %v", x.name, e.Attempt.Number, d)
			}
			x.later(ms+w.r.Int64N(3*ms), func() Event {
				if x.asleep.Number != e.Attempt.Number && x.kernel.Digest != e.Attempt.Policy.Digest {
					x.asleep = e.Attempt // the node loads it again
				}
				if w.stuck[e.Attempt.Policy.Digest] == x.name {
					w.held++
					return NotSwitched{e.Attempt, "no memory"}
				}
				if w.faults && w.r.IntN(10) == 0 {
					return NotSwitched{e.Attempt, "busy"}
				}
				if x.m != nil {
					if e.Attempt.Policy.Generation < x.kernel.Generation {
						w.fail("%s goes back from %d to %d", x.name, x.kernel.Generation, e.Attempt.Policy.Generation)
					}
					x.kernel = e.Attempt.Policy
					x.hears = map[string]bool{}
				}
				return Switched(e)
			})
		case Revert:
			if d := w.mgmt.decided[e.Attempt.Number]; d == Unknown || d == Abort || e.Attempt.Confirm == 0 {
				w.fail("%s goes back from attempt %d, which is %v", x.name, e.Attempt.Number, d)
			}
			if !w.faults && w.calm == 0 && w.bad[e.Attempt.Policy.Digest] == "" {
				w.fail("%s goes back from attempt %d though all is well", x.name, e.Attempt.Number)
			}
			x.later(ms+w.r.Int64N(3*ms), func() Event {
				if w.faults && w.r.IntN(10) == 0 {
					return NotReverted{e.Attempt, "busy"}
				}
				if x.m == nil {
					return nil
				}
				if x.kernel.Digest == e.Attempt.Policy.Digest {
					x.kernel = e.To
					w.rolls++
					x.went = append(x.went, e.Attempt.Policy.Digest)
				}
				return Reverted{e.Attempt, x.kernel}
			})
		case Unload:
			if d := w.mgmt.decided[e.Attempt.Number]; d == Confirm || d == Commit && w.rolls == 0 {
				w.fail("%s gives up attempt %d, which is decided commit", x.name, e.Attempt.Number)
			}
			x.asleep = Attempt{}
		case Reply:
			if e.Attempt.Number >= x.said.Attempt.Number {
				x.said = e
			}
			hears := len(x.hears)
			w.send(x.name, "management", func() { w.mgmt.reply(x.name, e, hears) })
		case AskPeers:
			for _, p := range w.members {
				if p != x {
					w.send(x.name, p.name, func() { p.step(Asked{x.name, e.Attempt}) })
				}
			}
		case AskManagement:
			w.send(x.name, "management", func() { w.mgmt.asked(x, e.Attempt) })
		case Tell:
			for _, p := range w.members {
				if p.name == e.To {
					what := e.What
					what.From = x.name
					w.send(x.name, p.name, func() { p.step(what) })
				}
			}
		case WakeAt:
			if e.Time <= w.now {
				w.fail("%s wants to be woken at %v", x.name, time.Duration(e.Time))
			}
			x.wake = e.Time
			x.later(e.Time-w.now, func() Event { return Tick{} })
		}
	}
}
