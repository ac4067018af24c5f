// SPDX-License-Identifier: Apache-2.0

package install

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/policy"
)

const (
	ms     = int64(time.Millisecond)
	second = int64(time.Second)
)

// timed is something that happens at a time of the simulation.
type timed struct {
	at, order int64
	do        func()
}

type queue []timed

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].order < q[j].order
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(timed)) }
func (q *queue) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

// world is a management server, some members, and what is between them.
type world struct {
	t       *testing.T
	seed    uint64
	r       *rand.Rand
	now     int64
	n       int64
	q       queue
	members []*member
	mgmt    *management
	loss    float64
	faults  bool // members and management die, links are cut
	cut     map[[2]string]bool
	calm    int64 // since when nothing is broken
	differ  int64 // since when two members differ; 0: they do not
	worst   int64
}

func (w *world) after(d int64, do func()) {
	w.n++
	heap.Push(&w.q, timed{w.now + d, w.n, do})
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d at %v: %s", w.seed, time.Duration(w.now), fmt.Sprintf(format, args...))
}

// send carries something over the network, or does not, or twice.
func (w *world) send(from, to string, deliver func()) {
	if w.cut[[2]string{from, to}] || w.r.Float64() < w.loss {
		return
	}
	w.after(ms+w.r.Int64N(20*ms), deliver)
	if w.r.Float64() < w.loss/2 {
		w.after(ms+w.r.Int64N(500*ms), deliver)
	}
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
}

func (x *member) start() {
	x.life++
	var effects []Effect
	x.m, effects = New(Config{Doubt: 300 * time.Millisecond, Ask: 200 * time.Millisecond}, x.disk, x.kernel, x.w.now)
	x.perform(effects)
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
			if d := w.mgmt.decided[e.Attempt.Number]; d != Commit {
				w.fail("%s switches to attempt %d, which is decided %v", x.name, e.Attempt.Number, d)
			}
			x.later(ms+w.r.Int64N(3*ms), func() Event {
				if x.asleep.Number != e.Attempt.Number && x.kernel.Digest != e.Attempt.Policy.Digest {
					x.asleep = e.Attempt // the node loads it again
				}
				if w.faults && w.r.IntN(10) == 0 {
					return NotSwitched{e.Attempt, "busy"}
				}
				if x.m != nil {
					if e.Attempt.Policy.Generation < x.kernel.Generation {
						w.fail("%s goes back from %d to %d", x.name, x.kernel.Generation, e.Attempt.Policy.Generation)
					}
					x.kernel = e.Attempt.Policy
				}
				return Switched(e)
			})
		case Unload:
			if w.mgmt.decided[e.Attempt.Number] == Commit {
				w.fail("%s gives up attempt %d, which is decided commit", x.name, e.Attempt.Number)
			}
			x.asleep = Attempt{}
		case Reply:
			w.send(x.name, "management", func() { w.mgmt.reply(x.name, e) })
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
	decided map[uint64]Decision // durable
	began   int64
	said    map[string]State // of this attempt
	running bool
}

func (g *management) begin() {
	g.number++
	g.policy = policy.Offer{Generation: g.number, Digest: policy.Digest{byte(g.number), byte(g.number >> 8), 1}}
	g.began, g.said, g.running = g.w.now, map[string]State{}, true
	g.push()
}

// push sends what members have not confirmed, again and again.
func (g *management) push() {
	if g.dead || !g.running {
		return
	}
	a := Attempt{Number: g.number, Policy: g.policy}
	d := g.decided[g.number]
	if d == Unknown && g.w.now-g.began > second {
		d = Abort
		g.decided[g.number] = d
	}
	for _, x := range g.w.members {
		s := g.said[x.name]
		switch {
		case d == Unknown && s != Prepared:
			g.w.send("management", x.name, func() { x.step(Prepare{a}) })
		case d != Unknown && s != Committed && s != Aborted:
			g.w.send("management", x.name, func() { x.step(Decided{a, d}) })
		}
	}
	g.w.after(50*ms, g.push)
}

func (g *management) reply(from string, r Reply) {
	if g.dead || r.Attempt.Number != g.number {
		return
	}
	d := g.decided[g.number]
	switch {
	case r.State == Refused && d == Unknown:
		g.decided[g.number] = Abort
	case d == Abort && r.State == Committed:
		g.w.fail("%s committed attempt %d, which is aborted", from, g.number)
	case d == Commit && (r.State == Aborted || r.State == Refused):
		g.w.fail("%s says %v of attempt %d, which is committed", from, r.State, g.number)
	}
	g.said[from] = r.State
	done := 0
	for _, s := range g.said {
		if s == Prepared {
			done++
		}
	}
	if g.decided[g.number] == Unknown && done == len(g.w.members) {
		g.decided[g.number] = Commit
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
	n := 0
	for _, s := range g.said {
		if s == Committed || s == Aborted || s == Refused {
			n++
		}
	}
	return g.decided[g.number] != Unknown && n == len(g.w.members)
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
		g.said = map[string]State{}
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
		if w.now < 25*second && !w.mgmt.dead && (w.mgmt.settled() || w.now-w.mgmt.began > 4*second) {
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
	for len(w.q) > 0 && w.now < 40*second {
		e := heap.Pop(&w.q).(timed)
		w.now = e.at
		e.do()
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

// TestSimulation: nobody commits what management has not decided to commit, nor gives up what it has; two generations are side by side for no
// longer than an install takes to be told while all is well, and not longer than doubt takes to be resolved once all is well again; in the
// end all have the last one that was committed. HOLDFAST_SIM_RUNS is how many seeds.
func TestSimulation(t *testing.T) {
	runs, err := strconv.Atoi(os.Getenv("HOLDFAST_SIM_RUNS"))
	if err != nil {
		runs = 300
	}
	commits, aborts := 0, 0
	for seed := range uint64(runs) {
		w := &world{t: t, seed: seed, r: rand.New(rand.NewPCG(seed, 7)), faults: seed%4 != 0, cut: map[[2]string]bool{}}
		w.run()
		var last uint64
		for n, d := range w.mgmt.decided {
			if d == Commit {
				commits++
				last = max(last, n)
			} else {
				aborts++
			}
		}
		for _, x := range w.members {
			if x.kernel.Generation != last || x.disk.InForce != x.kernel || x.m.state != Idle {
				w.fail("%s has %d (on disk %d), %v; management committed %d", x.name, x.kernel.Generation, x.disk.InForce.Generation, x.m.state, last)
			}
		}
		limit := 100 * ms
		if seed%4 != 0 {
			limit = 2 * second
		}
		if w.worst > limit {
			w.fail("two generations side by side for %v", time.Duration(w.worst))
		}
	}
	if commits < runs || aborts < runs/4 {
		t.Errorf("%d commits and %d aborts in %d runs: the simulation does not do what it should", commits, aborts, runs)
	}
	t.Logf("%d commits, %d aborts", commits, aborts)
}
