// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"slices"
	"strings"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/install"
)

// simTrial is management's own load of a policy, for members that load the same.
type simTrial struct {
	members []string
	begun   int64
	hangs   bool
	over    bool // and the server that runs the attempt knows
	why     string
}

const simTrialTakes = 400 * ms // at most

// groups are the trials of a new attempt: some members load the same, or nothing is left to try.
func (w *world) groups(number uint64) (groups [][]string) {
	if w.r.IntN(4) == 0 {
		return nil
	}
	for _, x := range w.members {
		if len(groups) > 0 && w.r.IntN(2) == 0 {
			groups[len(groups)-1] = append(groups[len(groups)-1], x.name)
		} else {
			groups = append(groups, []string{x.name})
		}
	}
	for _, of := range groups {
		w.trials[number] = append(w.trials[number], simTrial{members: of})
	}
	return groups
}

// try makes a trial; it ends in its time, or never.
func (g *simServer) try(i int) {
	w, run, life, number := g.w, g.runs, g.life, g.runs.Attempt().Number
	w.trials[number][i].begun = w.now
	if w.r.IntN(8) == 0 {
		w.trials[number][i].hangs = true
		return
	}
	why := ""
	if w.r.IntN(4) == 0 {
		why = "no"
	}
	w.after(w.r.Int64N(simTrialTakes), func() {
		if g.runs == run && g.life == life && !g.dead {
			w.trials[number][i].over, w.trials[number][i].why = true, why
			g.perform(run.Step(w.now, Tried{i, why}))
		}
	})
}

// tried fails if a commit is decided that a trial refuses, or for members of whom none has loaded the policy, nor management.
func (w *world) tried(e Persist, trials []simTrial) {
	for _, t := range trials {
		if t.over && t.why != "" || !t.over && !t.loaded(e) {
			w.fail("a commit is decided: trial %+v, replies %+v", t, e.Replies)
		}
	}
}

// loaded reports whether a member has what the trial is of.
func (t simTrial) loaded(e Persist) bool {
	return slices.ContainsFunc(e.Replies, func(r management.Reply) bool {
		return slices.Contains(t.members, r.Member) && r.State != management.Waiting && !left(r.State) && r.State != management.MemberRolledBack
	})
}

// untried fails if an attempt is aborted for want of a trial, and each was begun in vain or would have ended.
func (w *world) untried(e Persist, trials []simTrial) {
	slow := false
	for _, t := range trials {
		if t.over || t.loaded(e) {
			continue
		}
		if t.begun == 0 {
			w.fail("%s, and was not begun: trial %+v, replies %+v", e.Why, t, e.Replies)
		}
		slow = slow || t.hangs || w.now < t.begun+simTrialTakes
	}
	if !slow {
		w.fail("%s, and had the time: trials %+v, replies %+v", e.Why, trials, e.Replies)
	}
	w.late++
}

// simServer is one of two servers.
type simServer struct {
	w     *world
	dead  bool
	life  int
	runs  *Machine // nil: it runs no attempt
	began bool     // it began that attempt, and did not take it over
	held  map[string]*simMember
}

// heard takes a report: for the attempt that it runs, or to pass it on, and answers with orders.
func (g *simServer) heard(x *simMember, r Reported, number uint64) {
	w := g.w
	for _, other := range w.servers {
		if run := other.runs; run != nil && !other.dead {
			e := r
			if number != run.Attempt().Number {
				e.State = Idle
			}
			switch {
			case other == g:
				g.perform(g.runs.Step(w.now, e))
			case !w.down:
				life := other.life
				w.after(50*ms+w.r.Int64N(100*ms), func() {
					if other.life == life && !other.dead && other.runs == run {
						other.perform(run.Step(w.now, e))
					}
				})
			}
		}
	}
	g.held[x.name] = x
	g.order(x, number)
}

func (g *simServer) order(x *simMember, asked uint64) {
	if g.w.down {
		return
	}
	a := g.w.store[g.w.newest]
	if old, ok := g.w.store[asked]; ok && asked < g.w.newest {
		if s, _ := x.m2(); s != install.Idle {
			a = old
		}
	}
	if o := OrderOf(a, x.name, simTimes.Grace); o.Number != 0 {
		g.w.send("management", x.name, func() { x.ordered(o) })
	}
}

// orderAll answers whom the server holds, in the order of the members: that of a map would decide who draws first.
func (g *simServer) orderAll() {
	for _, x := range g.w.members {
		if g.held[x.name] != nil {
			g.order(x, 0)
		}
	}
}

func (g *simServer) perform(effects []Effect) {
	w := g.w
	for _, e := range effects {
		if g.runs == nil {
			return
		}
		if w.faults && w.r.IntN(150) == 0 {
			g.die()
			return
		}
		run, life := g.runs, g.life
		answer := func(d int64, e func() Event) {
			w.after(d, func() {
				if event := e(); g.runs == run && g.life == life && !g.dead {
					g.perform(run.Step(w.now, event))
				}
			})
		}
		switch e := e.(type) {
		case Persist:
			if e.To == management.Committed && g.began {
				w.tried(e, w.trials[run.Attempt().Number])
			}
			switch {
			case strings.HasPrefix(e.Why, "refused by management's check"):
				w.refused++
			case strings.HasPrefix(e.Why, "management's check did not end") && run.asked == w.now: // else the store did not answer before
				w.untried(e, w.trials[run.Attempt().Number])
			}
			answer(ms+w.r.Int64N(20*ms), func() Event {
				lost := w.down && w.r.IntN(2) == 0 // it is written or it is not
				if w.down && !lost {
					return NotStored{}
				}
				w.decide(run.Attempt().Number, e)
				if lost {
					return NotStored{}
				}
				return Stored{w.store[run.Attempt().Number]}
			})
		case Try:
			g.try(e.Trial)
		case End:
			answer(ms, func() Event {
				if w.down {
					return NotStored{}
				}
				a := w.store[run.Attempt().Number]
				a.Ended, a.Replies = w.now, e.Replies
				w.store[a.Number] = a
				return Stored{a}
			})
		case Done:
			g.runs = nil
		case WakeAt:
			answer(e.Time-w.now, func() Event { return Tick{} })
		}
	}
}

func (w *world) decide(number uint64, e Persist) {
	a, changed, err := w.store[number].Move(e.To, e.Why, e.Replies, w.now)
	if err != nil || !changed {
		return
	}
	w.store[number] = a
	for _, g := range w.servers {
		if !g.dead {
			g.orderAll()
		}
	}
}

func (g *simServer) die() {
	if g.dead {
		return
	}
	g.dead, g.runs, g.held = true, nil, map[string]*simMember{}
	g.life++
	g.w.broken()
	g.w.after(100*ms+g.w.r.Int64N(3*second), func() {
		g.dead = false
		g.w.broken()
	})
}

// sweep lets a server that lives take over what none runs, and begins another install now and then.
func (w *world) sweep() {
	w.after(second, w.sweep)
	if w.down {
		return
	}
	for _, g := range w.servers {
		if g.runs != nil {
			return
		}
	}
	g := w.servers[w.r.IntN(2)]
	if g.dead {
		return
	}
	a, takeOver := w.store[w.newest], true
	var trials [][]string
	if w.newest == 0 || a.Ended != 0 {
		if w.now > 45*second || w.r.IntN(3) == 0 {
			return
		}
		w.newest++
		takeOver = false
		a = management.Attempt{
			Cluster: "edge", Number: w.newest, Policy: management.Ref{Generation: w.newest, Digest: policy.Digest{byte(w.newest), 1}}, Phase: management.Preparing,
			BestEffort: w.r.IntN(3) == 0, PrepareWithin: 3 * second, ConfirmWithin: 4 * second, Begun: w.now, Before: w.current(), Manual: w.r.IntN(5) == 0,
		}
		for _, x := range w.members {
			a.Replies = append(a.Replies, management.Reply{Member: x.name})
		}
		w.store[a.Number] = a
		trials = w.groups(a.Number)
		if a.Manual {
			w.after(w.r.Int64N(7*second), func() { g.say(Confirm{}) })
		}
		if w.r.IntN(10) == 0 {
			w.after(w.r.Int64N(3*second), func() { g.say(Cancel{"cancelled"}) })
		}
	}
	g.life++
	g.began = !takeOver
	var effects []Effect
	g.runs, effects = New(simTimes, a, trials, takeOver, w.now, w.now)
	g.perform(effects)
	for _, other := range w.servers {
		other.orderAll()
	}
}

func (g *simServer) say(e Event) {
	if g.runs != nil && !g.dead {
		g.perform(g.runs.Step(g.w.now, e))
	}
}
