// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/members"
)

// Result is what became of a run.
type Result struct {
	Seed  uint64
	Err   error // the invariant that broke, nil if all held
	Trace string
	// Steps counts the events given to any machine (a Step without one, for the time that passed, is one), Events everything
	// that happened, Moves openings; Time is how long the cluster lived.
	Steps  int64
	Events int64
	Moves  int
	Time   time.Duration
}

// Run runs one cluster from a seed: it boots, suffers a random plan of faults, and must be whole again at
// the end. opt may fix what the seed would choose. The same seed and options give the same result; a
// Result with an error carries the trace that led to it.
func Run(seed uint64, opt Options) Result {
	r := run(seed, opt)
	if r.Err == nil || opt.Log != nil {
		return r
	}
	var lines []string
	opt.Log = func(at int64, text string) {
		lines = append(lines, fmt.Sprintf("%12.6f %s", float64(at)/1e9, text))
	}
	again := run(seed, opt)
	if again.Err == nil || again.Err.Error() != r.Err.Error() {
		lines = append(lines, fmt.Sprintf("NOT REPRODUCED: %v", again.Err))
	}
	const keep = 150
	r.Trace = fmt.Sprintf("seed %d: %v\n%s", seed, r.Err, strings.Join(lines[max(0, len(lines)-keep):], "\n"))
	return r
}

func run(seed uint64, opt Options) Result {
	pick := rng{s: seed}
	choose(&pick, &opt)
	w := NewWorld(pick.next(), opt)
	for i := range w.nodes {
		w.planFault(w.now+w.rng.n(700e6), fault{kind: faultPower, node: uint8(i), end: true})
	}
	w.logf("%d members, %d interfaces, %v, delay %v to %v, main %v, neighbours %v", opt.Members, opt.Interfaces,
		opt.Recovery, opt.DelayMin, opt.DelayMax, opt.MainDelay, opt.Neighbours)
	w.drawSetup()
	w.logf("%+v", w.setup)
	span := time.Duration(w.rng.between(1500e6, 6e9))
	w.draw(int(w.rng.between(1, 25)), span)
	err := w.Run(span)
	if err == nil {
		err = w.Run(4500 * time.Millisecond)
	}
	if err == nil {
		err = w.whole()
	}
	if err == nil {
		err = w.coda()
	}
	return Result{Seed: seed, Err: err, Steps: w.inv.steps, Events: int64(w.seq), Moves: w.inv.moves, Time: w.Now()}
}

// choose fills what opt leaves to the seed.
func choose(r *rng, opt *Options) {
	if opt.Members == 0 {
		opt.Members = int(r.between(2, MaxMembers))
		if r.chance(32768) {
			opt.Members = int(r.between(2, 3))
		}
	}
	if opt.Interfaces == 0 {
		opt.Interfaces = int(r.between(1, MaxInterfaces))
	}
	opt.Sync = r.chance(32768)
	opt.Neighbours = r.chance(45000)
	opt.OneByOne = r.chance(32768)
	if opt.Recovery == 0 {
		opt.Recovery = members.Recovery(r.between(int64(members.RecoveryMaintainCurrent), int64(members.RecoveryHighestPriority)))
	}
	if opt.Timers.Probe == 0 {
		opt.Timers = profile(r)
	}
	probe := int64(opt.Timers.Probe)
	if opt.DelayMax == 0 {
		opt.DelayMin = time.Duration(r.between(5e3, probe/50))
		opt.DelayMax = opt.DelayMin + time.Duration(r.n([]int64{10e3, probe / 50, probe / 5}[r.n(3)]))
	}
	if opt.MainDelay == 0 && r.chance(32768) {
		opt.MainDelay = time.Duration(r.n(probe / 3))
	}
}

// profile chooses one of the timer profiles, appliance more often than not; the long waits are shortened, so
// that a run sees them end.
func profile(r *rng) members.Timers {
	t := members.DefaultTimers()
	switch r.n(16) {
	case 0:
		t.Probe, t.Dead = 3*time.Millisecond, 9*time.Millisecond
	case 1, 2:
		t.Probe, t.Dead = 50*time.Millisecond, 150*time.Millisecond
	}
	t.BootWait, t.HoldDown = 600*time.Millisecond, 1500*time.Millisecond
	t.Freeze = 4 * time.Second
	return t
}
