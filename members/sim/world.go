// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"time"

	"github.com/holdfast-project/holdfast/members"
)

// Limits of a World.
const (
	MaxMembers    = 5
	MaxInterfaces = 3
)

// Options say what a World is made of.
type Options struct {
	// Members is 1 to MaxMembers, Interfaces 1 to MaxInterfaces. The last interface of several is `sync`
	// if Sync is set, all others carry VIPs. Zero lets the seed choose.
	Members, Interfaces int
	Sync                bool
	Recovery            members.Recovery
	Timers              members.Timers
	// Delay is the shortest and longest time that a frame takes. Zero takes 20 and 150 µs.
	DelayMin, DelayMax time.Duration
	// MainDelay is the longest time that a main loop lets an event wait.
	MainDelay time.Duration
	// OneByOne gives each event to the machine in a Step of its own, instead of all that have arrived.
	OneByOne bool
	// Neighbours puts a third station on each segment that answers.
	Neighbours bool
	// Echo lets it answer echo requests, not ARP only.
	Echo bool

	// BreakFence, BreakLease and BreakGrants remove a part of the protocol, for the tests of the tests: the
	// gate's compare with its fence, the expiry of its lease, and the wait for other gates' grants.
	BreakFence, BreakLease, BreakGrants bool
	// BreakAttention lets a serving member with a problem go down although nobody can relieve it.
	BreakAttention bool
	// BreakProof makes a member that does not serve believe in its interfaces: its questions to neighbours are all answered, and losses of
	// carrier are hidden from it.
	BreakProof bool
	// BreakTakeover keeps members from claiming while voluntary moves are frozen.
	BreakTakeover bool
	// BreakRace lets whoever has a new policy first take over.
	BreakRace bool

	coda int // the coda to play, 0 for a drawn one; numbers begin at 1

	// Configure may change what one member is told before its daemon starts.
	Configure func(member uint8, cfg *members.Config)

	// OnRecord is called for every Record effect, Log for every other thing worth a line of a trace.
	OnRecord func(at int64, member uint8, r members.Record)
	Log      func(at int64, text string)
}

// World is a cluster, its network and its time. It is not safe for concurrent use.
type World struct {
	opt   Options
	cfg   members.Config // without Self
	now   int64
	seq   uint32
	rng   rng
	queue queue

	nodes    []node
	frames   []frame
	free     []int32
	net      network
	setup    setup
	policies policies
	plan     []fault
	inv      invariants
	soft, hard, watch,
	linger time.Duration
	probe, dead int64
	broken      bool // some part of the protocol is removed
}

// names of members and interfaces, as scenarios use them.
var (
	memberNames    = [...]string{"fw1", "fw2", "fw3", "fw4", "fw5"}
	interfaceNames = [...]string{"outside", "inside", "sync"}
)

// start is the global time at which every World begins.
const start int64 = 1e9

// NewWorld returns a World in which every machine is off.
func NewWorld(seed uint64, opt Options) *World {
	w := &World{opt: opt, now: start, rng: rng{s: seed}}
	if w.opt.DelayMax == 0 {
		w.opt.DelayMin, w.opt.DelayMax = 20*time.Microsecond, 150*time.Microsecond
	}
	t := w.opt.Timers
	if t.Probe == 0 {
		t = members.DefaultTimers()
		w.opt.Timers = t
	}
	w.broken = opt.BreakFence || opt.BreakLease
	w.probe, w.dead = int64(t.Probe), int64(t.Dead)
	w.soft, w.hard, w.watch = t.Dead-t.Probe, time.Second, t.Dead-t.Probe/2
	w.linger = 200 * time.Millisecond
	w.cfg = members.Config{Recovery: opt.Recovery, Timers: t, Mode: "ha", Version: 1, MinVersion: 1,
		Names: memberNames[:opt.Members]}
	for i := range opt.Interfaces {
		cluster := !(opt.Sync && opt.Interfaces > 1 && i == opt.Interfaces-1)
		name := interfaceNames[i]
		if !cluster {
			name = "sync"
		}
		w.cfg.Interfaces = append(w.cfg.Interfaces, members.Interface{Slot: uint8(i), Name: name, Cluster: cluster})
	}
	w.nodes = make([]node, opt.Members)
	for i := range w.nodes {
		w.nodes[i].init(w, uint8(i))
	}
	w.net.init(w)
	w.net.echo = opt.Echo
	w.frames = make([]frame, 0, 256)
	w.queue.init()
	w.policies.newest = 1
	w.inv.init(w)
	return w
}

// Now returns the time since the World began.
func (w *World) Now() time.Duration { return time.Duration(w.now - start) }

// Run lets time pass. It stops early, and returns the violation, when an invariant breaks.
func (w *World) Run(d time.Duration) error {
	until := w.now + int64(d)
	var e event
	for w.queue.take(until, &e) {
		w.now = max(w.now, e.at)
		w.handle(&e)
		if w.inv.check(w); w.inv.broken != nil {
			return w.inv.broken
		}
	}
	w.now = until
	w.inv.check(w)
	return w.inv.errOrNil()
}

// handle applies one event.
func (w *World) handle(e *event) {
	switch e.kind {
	case evFrame:
		w.arrive(e.frame)
	case evFault:
		w.applyFault(&w.plan[e.frame])
	default:
		w.nodes[e.node].handle(w, e)
	}
}

// logf writes a line of the trace.
func (w *World) logf(format string, args ...any) {
	if w.opt.Log != nil {
		w.opt.Log(w.now-start, fmt.Sprintf(format, args...))
	}
}

// text formats a part of the trace, if anybody reads it.
func (w *World) text(format string, args ...any) string {
	if w.opt.Log == nil {
		return ""
	}
	return fmt.Sprintf(format, args...)
}
