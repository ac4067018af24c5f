// SPDX-License-Identifier: Apache-2.0

package install

import (
	"fmt"
	"math/rand/v2"
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
