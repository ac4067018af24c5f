// SPDX-License-Identifier: Apache-2.0

package install

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/internal/simtest"
	"github.com/holdfast-project/holdfast/policy"
)

const (
	ms     = int64(time.Millisecond)
	second = int64(time.Second)
)

// world is a management server, some members, and what is between them.
type world struct {
	t       *testing.T
	seed    uint64
	r       *rand.Rand
	now     int64
	agenda  simtest.Agenda[func()]
	members []*member
	mgmt    *management
	loss    float64
	faults  bool // members and management die, links are cut
	cut     map[[2]string]bool
	bad     map[policy.Digest]string // policies that cut somebody off where they are in force: whom
	sticks  bool                     // there may be some of those:
	stuck   map[policy.Digest]string // policies that somebody's kernel never puts into force: whose
	held    int                      // how often it did not
	calm    int64                    // since when nothing is broken
	rolls   int                      // members that went back
	lone    int                      // that came back to what they had gone back from
	differ  int64                    // since when two members differ; 0: they do not
	worst   int64
}

func (w *world) after(d int64, do func()) {
	w.agenda.Add(w.now+d, do)
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d at %v: %s", w.seed, time.Duration(w.now), fmt.Sprintf(format, args...))
}

// send carries something over the network, or does not, or twice.
func (w *world) send(from, to string, deliver func()) {
	if w.cut[[2]string{from, to}] || w.r.Float64() < w.loss || w.mute(from) || w.mute(to) {
		return
	}
	w.after(ms+w.r.Int64N(20*ms), deliver)
	if w.r.Float64() < w.loss/2 {
		w.after(ms+w.r.Int64N(500*ms), deliver)
	}
}

// mute reports whether the policy in force at this member lets nothing through.
func (w *world) mute(name string) bool {
	for _, x := range w.members {
		if x.name == name {
			return w.bad[x.kernel.Digest] == name
		}
	}
	return false
}

func (w *world) broken() {
	w.calm = w.now
}

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

// management is a coordinator that remembers its decisions, and nothing else, over a crash.
type management struct {
	w       *world
	dead    bool
	number  uint64
	policy  policy.Offer
	confirm time.Duration
	decided map[uint64]Decision // durable: Commit becomes Confirm or RollBack
	began   int64
	check   int64            // when its own check refuses the policy; 0: it does not
	refused int              // how often that ended an attempt while members prepared it
	said    map[string]State // of this attempt
	good    map[string]bool  // who hears all peers since its commit
	running bool
}

func (g *management) begin() {
	if d := g.decided[g.number]; g.number > 0 && d == Unknown {
		g.decided[g.number] = Abort
	} else if d == Commit && g.confirm == 0 {
		g.decided[g.number] = Confirm // who has committed it will not go back
	} else if d == Commit {
		g.decided[g.number] = RollBack
	}
	g.number++
	g.policy = policy.Offer{Generation: g.number, Digest: policy.Digest{byte(g.number), byte(g.number >> 8), 1}}
	g.confirm = []time.Duration{0, 2 * time.Second, 2 * time.Second}[g.w.r.IntN(3)]
	if g.confirm > 0 && g.w.r.IntN(4) == 0 {
		g.w.bad[g.policy.Digest] = g.w.members[g.w.r.IntN(len(g.w.members))].name
	}
	if g.w.sticks && g.confirm > 0 && g.w.r.IntN(4) == 0 {
		g.w.stuck[g.policy.Digest] = g.w.members[g.w.r.IntN(len(g.w.members))].name
	}
	if g.check = 0; g.w.r.IntN(8) == 0 {
		g.check = g.w.now + g.w.r.Int64N(300*ms)
	}
	g.began, g.said, g.good, g.running = g.w.now, map[string]State{}, map[string]bool{}, true
	g.push()
}

// push sends what members have not confirmed, again and again.
func (g *management) push() {
	if g.dead || !g.running {
		return
	}
	a := Attempt{Number: g.number, Policy: g.policy, Confirm: g.confirm}
	d := g.decided[g.number]
	if d == Unknown && g.w.now-g.began > second {
		d = Abort
		g.decided[g.number] = d
	}
	if d == Unknown && g.check != 0 && g.w.now >= g.check {
		d = Abort
		g.decided[g.number] = d
		g.refused++
	}
	for _, x := range g.w.members {
		s := g.said[x.name]
		switch {
		case d == Unknown && s != Prepared:
			g.w.send("management", x.name, func() { x.step(Prepare{a}) })
		case d == Commit && s != Committed, d == Abort && s != Aborted, d == Confirm && s != Confirmed, d == RollBack && s != RolledBack:
			g.w.send("management", x.name, func() { x.step(Decided{a, d}) })
		}
	}
	g.w.after(50*ms, g.push)
}

func (g *management) reply(from string, r Reply, hears int) {
	if g.dead || r.Attempt.Number != g.number {
		return
	}
	n := g.number
	d := g.decided[n]
	switch {
	case r.State == Refused && d == Unknown:
		g.decided[n] = Abort
	case d == Abort && (r.State == Committed || r.State == Confirmed || r.State == RolledBack):
		g.w.fail("%s says %v of attempt %d, which is aborted", from, r.State, n)
	case (d == Commit || d == Confirm) && (r.State == Aborted || r.State == Refused):
		g.w.fail("%s says %v of attempt %d, which is %v", from, r.State, n, d)
	case r.State == RolledBack && d == Commit:
		g.decided[n] = RollBack
	case r.State == Confirmed && g.confirm > 0 && d != Confirm:
		g.w.fail("%s says %v of attempt %d, which is %v", from, r.State, n, d)
	}
	g.said[from] = r.State
	g.good[from] = r.State == Committed && hears == len(g.w.members)-1
	prepared, good := 0, 0
	for name, s := range g.said {
		if s == Prepared {
			prepared++
		}
		if g.good[name] || s == Confirmed {
			good++
		}
	}
	if g.decided[n] == Unknown && prepared == len(g.w.members) {
		g.decided[n] = Commit
	}
	if g.decided[n] == Commit && good == len(g.w.members) {
		g.decided[n] = Confirm
	}
}

func (g *management) asked(x *member, a Attempt) {
	if g.dead {
		return
	}
	d := g.decided[a.Number]
	g.w.send("management", x.name, func() { x.step(Decided{a, d}) })
}

// settled: everybody has confirmed.
func (g *management) settled() bool {
	if g.number == 0 {
		return true
	}
	n, d := 0, g.decided[g.number]
	for _, s := range g.said {
		if s == Confirmed || s == Aborted || s == Refused || s == RolledBack && d == RollBack {
			n++
		}
	}
	return d != Unknown && d != Commit && n == len(g.w.members)
}

func (g *management) die() {
	if g.dead {
		return
	}
	g.dead = true
	g.w.broken()
	g.w.after(100*ms+g.w.r.Int64N(2*second), func() {
		g.dead = false
		g.w.broken()
		if g.number > 0 && g.decided[g.number] == Unknown {
			g.decided[g.number] = Abort // presumed
		}
		g.said, g.good = map[string]State{}, map[string]bool{}
		g.push()
	})
}

func (w *world) check() {
	same := true
	for _, x := range w.members[1:] {
		same = same && x.kernel == w.members[0].kernel
	}
	switch {
	case same:
		w.differ = 0
	case w.differ == 0:
		w.differ = w.now
	}
	if w.differ != 0 {
		w.worst = max(w.worst, w.now-max(w.differ, w.calm))
	}
}

// run lives through 20 seconds with faults, if wanted, and 10 without.
func (w *world) run() {
	w.mgmt = &management{w: w, decided: map[uint64]Decision{}, said: map[string]State{}}
	for i := range 2 + w.r.IntN(4) {
		w.members = append(w.members, &member{w: w, name: "m" + strconv.Itoa(i)})
	}
	for _, x := range w.members {
		x.start()
	}
	var plan func()
	plan = func() {
		if w.now < 25*second && !w.mgmt.dead && (w.mgmt.settled() || w.now-w.mgmt.began > 8*second) {
			w.mgmt.running = false
			w.after(60*ms, func() {
				if !w.mgmt.dead && w.now < 25*second {
					w.mgmt.begin()
				}
			})
		}
		w.after(200*ms+w.r.Int64N(second), plan)
	}
	plan()
	if w.faults {
		w.chaos()
	}
	for w.now < 40*second {
		at, do := w.agenda.Take()
		w.now = at
		do()
		w.check()
	}
}

func (w *world) chaos() {
	if w.now > 20*second {
		w.faults, w.loss, w.cut = false, 0, map[[2]string]bool{}
		for _, x := range w.members {
			x.refuses = false
		}
		w.broken()
		return
	}
	w.broken()
	names := []string{"management"}
	for _, x := range w.members {
		names = append(names, x.name)
	}
	switch w.r.IntN(6) {
	case 0:
		w.members[w.r.IntN(len(w.members))].die(w.r.IntN(2) == 0)
	case 1:
		w.mgmt.die()
	case 2:
		w.cut[[2]string{names[w.r.IntN(len(names))], names[w.r.IntN(len(names))]}] = true
	case 3: // management is alone
		for _, n := range names {
			w.cut[[2]string{n, "management"}], w.cut[[2]string{"management", n}] = true, true
		}
	case 4:
		w.cut = map[[2]string]bool{}
	case 5:
		x := w.members[w.r.IntN(len(w.members))]
		x.refuses = !x.refuses
	}
	w.loss = w.r.Float64() * 0.4
	w.after(w.r.Int64N(500*ms), w.chaos)
}

// TestSimulation: nobody commits what management has not decided to commit, nor gives up what it has, but for what is not confirmed; while
// all is well two generations are side by side for no longer than it takes to tell an install or its end, and else not longer than
// doubt takes to be resolved once all is well again, or a confirmation may take; in the end all have the last one that was confirmed.
// HOLDFAST_SIM_RUNS is how many seeds.
func TestSimulation(t *testing.T) {
	runs := simtest.Runs(t, 200)
	count := map[Decision]int{}
	rolls, lone, held, refused := 0, 0, 0, 0
	for seed := range uint64(runs + runs/2) {
		w := &world{t: t, seed: seed, r: rand.New(rand.NewPCG(seed, 7)), faults: seed%4 != 0, sticks: seed%4 != 0 && seed >= uint64(runs), cut: map[[2]string]bool{}, bad: map[policy.Digest]string{}, stuck: map[policy.Digest]string{}}
		w.run()
		var last uint64
		for n, d := range w.mgmt.decided {
			count[d]++
			if d == Confirm {
				last = max(last, n)
			}
		}
		for _, x := range w.members {
			if x.kernel.Generation != last || x.disk.InForce != x.kernel || x.m.state != Idle {
				w.fail("%s has %d (on disk %d), %v; management confirmed %d", x.name, x.kernel.Generation, x.disk.InForce.Generation, x.m.state, last)
			}
		}
		limit := 250 * ms
		if seed%4 != 0 {
			limit = 4 * second
		}
		if w.worst > limit {
			w.fail("two generations side by side for %v", time.Duration(w.worst))
		}
		rolls, lone, held = rolls+w.rolls, lone+w.lone, held+w.held
		refused += w.mgmt.refused
	}
	if refused < runs/4 {
		t.Errorf("management's check refused %d policies in %d runs", refused, runs)
	}
	if count[Confirm] < runs || count[Abort] < runs/4 || count[RollBack] < runs/4 || rolls < runs/4 || lone == 0 || held < runs {
		t.Errorf("%v in %d runs, %d members went back, %d returned: the simulation does not do what it should", count, runs, rolls, lone)
	}
	t.Logf("%v; %d members went back, %d returned", count, rolls, lone)
}
