// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"slices"
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/install"
)

// simMember is a member: a machine, and what outlives it.
type simMember struct {
	w       *world
	name    string
	m       *install.Machine // nil: dead
	life    int
	disk    install.Durable
	kernel  policy.Offer
	said    install.Reply
	refuses bool
	serial  int
	kernels int64 // when the kernel is done with all that it was given
	peers   map[string]heardPeer
}

type heardPeer struct {
	at      int64
	inForce policy.Offer
}

func (x *simMember) start() {
	x.life++
	x.said, x.peers = install.Reply{}, map[string]heardPeer{}
	var effects []install.Effect
	x.m, effects = install.New(install.Config{Doubt: 500 * time.Millisecond, Ask: 300 * time.Millisecond}, x.disk, x.kernel, x.w.now)
	x.perform(effects)
	// It died between the kernel and the disk; the policy plane says so too when it begins.
	if s, _ := x.m2(); x.m != nil && s == install.Idle && x.kernel.Digest != x.disk.InForce.Digest && !x.kernel.None() {
		x.step(install.Replaced{InForce: x.kernel})
	}
	life := x.life
	var beat func()
	beat = func() {
		if x.m != nil && x.life == life {
			x.report()
			x.recover()
			x.w.after(second, beat)
		}
	}
	x.w.after(x.w.r.Int64N(second), beat)
	var hello func()
	hello = func() {
		if x.m != nil && x.life == life {
			x.hello()
			x.w.after(100*ms, hello)
		}
	}
	hello()
}

func (x *simMember) hello() {
	a, _, d := x.m.Said()
	told := install.Told{From: x.name, Attempt: a, InForce: x.kernel, Decision: d}
	for _, p := range x.w.members {
		if p != x {
			x.w.send(x.name, p.name, func() {
				if p.m != nil {
					p.peers[x.name] = heardPeer{x.w.now, told.InForce}
					p.step(told)
				}
			})
		}
	}
}

// recover takes what is newer, from peers or management, as a member does that was left out of an install.
func (x *simMember) recover() {
	if s, _ := x.m.State(); s != install.Idle {
		return
	}
	reached := !x.w.cut[[2]string{"management", x.name}] && !x.w.down
	if now := x.w.current(); reached && x.w.store[x.w.newest].Policy.Generation > now.Generation {
		x.step(install.Kept{Policy: now.Offer("")})
		if x.m == nil {
			return
		}
	}
	best := x.kernel
	consider := func(o policy.Offer) {
		if o.Generation > best.Generation && !slices.Contains(x.disk.Declined, o.Digest) {
			best = o
		}
	}
	for _, p := range x.peers {
		if p.at > x.w.now-300*ms {
			consider(p.inForce)
		}
	}
	if reached {
		consider(x.w.current().Offer(""))
	}
	if best.Digest != x.kernel.Digest {
		x.kernel = best
		x.step(install.Replaced{InForce: best})
	}
}

func (x *simMember) die(reboot bool) {
	if x.m == nil {
		return
	}
	x.m = nil
	x.w.broken()
	if reboot {
		x.kernel = policy.Offer{}
	}
	x.w.after(50*ms+x.w.r.Int64N(2*second), func() {
		x.w.broken()
		if reboot {
			x.kernel = x.disk.InForce
		}
		x.start()
	})
}

func (x *simMember) step(e install.Event) {
	if x.m != nil {
		x.perform(x.m.Step(x.w.now, e))
	}
}

func (x *simMember) later(d int64, do func() install.Event) {
	life := x.life
	x.w.after(d, func() {
		if x.m != nil && x.life == life {
			if e := do(); e != nil {
				x.step(e)
			}
		}
	})
}

// inKernel takes its time after what the kernel was given before: the policy plane has one worker for it. Were a rollback done before the switch that
// it takes back, that switch would stay.
func (x *simMember) inKernel(do func() install.Event) {
	x.kernels = max(x.kernels, x.w.now) + ms + x.w.r.Int64N(3*ms)
	x.later(x.kernels-x.w.now, do)
}

func (x *simMember) perform(effects []install.Effect) {
	w := x.w
	for _, e := range effects {
		if w.faults && w.r.IntN(500) == 0 {
			x.die(w.r.IntN(2) == 0)
			return
		}
		switch e := e.(type) {
		case install.Save:
			x.disk = e.Durable
		case install.Load:
			x.later(5*ms+w.r.Int64N(200*ms), func() install.Event {
				if x.refuses {
					return install.NotLoaded{Attempt: e.Attempt, Why: "no such device"}
				}
				return install.Loaded(e)
			})
		case install.Switch:
			if p := w.store[e.Attempt.Number].Phase; p == management.Preparing || p == management.Aborted {
				w.fail("%s switches to attempt %d, which is %v", x.name, e.Attempt.Number, p)
			}
			x.inKernel(func() install.Event {
				if w.faults && w.r.IntN(10) == 0 {
					return install.NotSwitched{Attempt: e.Attempt, Why: "busy"}
				}
				x.kernel = e.Attempt.Policy
				return install.Switched(e)
			})
		case install.Revert:
			x.inKernel(func() install.Event {
				if x.kernel.Digest == e.Attempt.Policy.Digest {
					x.kernel = e.To
				}
				return install.Reverted{Attempt: e.Attempt, InForce: x.kernel}
			})
		case install.Reply:
			if e.Attempt.Number >= x.said.Attempt.Number {
				news := x.said.Attempt.Number != e.Attempt.Number || x.said.State != e.State
				if x.said = e; news {
					x.report()
				}
			}
		case install.AskPeers:
			for _, p := range w.members {
				if p != x {
					w.send(x.name, p.name, func() { p.step(install.Asked{From: x.name, Attempt: e.Attempt}) })
				}
			}
		case install.AskManagement:
			x.report()
		case install.Tell:
			for _, p := range w.members {
				if p.name == e.To {
					what := e.What
					what.From = x.name
					w.send(x.name, p.name, func() { p.step(what) })
				}
			}
		case install.WakeAt:
			x.later(e.Time-w.now, func() install.Event { return install.Tick{} })
		}
	}
}

var words = map[install.State]State{
	install.Idle: Idle, install.Loading: Loading, install.Prepared: Prepared, install.Committing: Committing, install.Committed: Committed,
	install.Aborted: Aborted, install.Refused: Refused, install.Confirmed: Confirmed, install.RollingBack: RollingBack, install.RolledBack: RolledBack,
}

// report goes to a server that lives, and orders come back: at once, and again whenever a decision is stored.
func (x *simMember) report() {
	s, at := x.m.State()
	why := ""
	if s == install.Idle || s == install.Committed {
		s, at, why = x.said.State, x.said.Attempt, x.said.Why
	}
	var heard []string
	for name, p := range x.peers {
		if p.at > x.w.now-300*ms {
			heard = append(heard, name)
		}
	}
	slices.Sort(heard)
	x.serial++
	serial := x.serial
	to := x.w.servers[x.w.r.IntN(2)]
	x.w.send(x.name, "management", func() {
		if !to.dead && serial == x.serial {
			to.heard(x, Reported{Member: x.name, State: words[s], Why: why, Heard: heard}, at.Number)
		}
	})
}

// ordered does what management wants.
func (x *simMember) ordered(o Order) {
	a := install.Attempt{Number: o.Number, Policy: o.Policy, Confirm: o.Within}
	a.Policy.Source = ""
	switch o.Phase {
	case PhasePrepare:
		x.step(install.Prepare{Attempt: a})
	case PhaseCommit:
		x.step(install.Decided{Attempt: a, Decision: install.Commit})
	case PhaseAbort:
		x.step(install.Decided{Attempt: a, Decision: install.Abort})
	case PhaseConfirmed:
		x.step(install.Decided{Attempt: a, Decision: install.Confirm})
	case PhaseRolledBack:
		x.step(install.Decided{Attempt: a, Decision: install.RollBack})
	}
}

// m2 is the state of the machine, as a report has it.
func (x *simMember) m2() (install.State, install.Attempt) {
	if x.m == nil {
		return install.Idle, install.Attempt{}
	}
	return x.m.State()
}
