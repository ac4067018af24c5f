// SPDX-License-Identifier: Apache-2.0

package policyplane

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/install"
	"github.com/holdfast-project/holdfast/policy/nft"
	"github.com/holdfast-project/holdfast/policy/recovery"
	"github.com/holdfast-project/holdfast/policy/ruleset"
	"github.com/holdfast-project/holdfast/policy/transfer"
)

// loop is all that decides. It belongs to one goroutine: New's caller's first, then Run's.
type loop struct {
	p   *Plane
	o   *Options
	cfg Config
	log *slog.Logger

	ctx    context.Context //nolint:containedctx // the group's own, for tasks that begin later
	group  *errgroup.Group
	kernel *nft.Kernel
	disk   *disk
	state  durable
	boot   string

	names map[uint8]string // of the other members
	ids   map[string]uint8
	peers map[uint8]PeerState // that are heard

	rec *recovery.Machine
	ins *install.Machine

	held     *held
	unloaded bool
	filter   bool // the boot filter is loaded

	tasks   []*task
	busy    bool
	running *task // while busy
	ready   *text // what the latest prepare read
	watched bool  // the policy in force is, or there is nothing to watch
	look    look
	judge   judge

	alarms map[string]alarm

	// unsaved: the state of installs could not be written; blocked are effects that must not happen before it is.
	unsaved bool
	blocked []install.Effect

	orders    Orders
	ordered   bool // there are any
	asked     bool // recovery waits for management
	fetches   fetches
	answers   *transfer.Answerer
	given     [2]*policy.Sealed // to peers, the latest first
	described Description
	reported  Report

	attempt       Attempt
	frozen        int64
	problem       string
	pending       bool   // something goes on that may end the problem
	doubted       uint64 // the newest attempt that was told of as being in doubt
	verdict       bool   // nobody has one, as far as can be known: until then it is not known whether there is a policy
	drift         string
	changes       []ruleset.Change // what drift says
	broken        string           // some of the policy in force filters no more, and what it is
	harmed        int64            // since when it is, or the boot filter holds beside a policy; 0: neither
	restore       pace
	told          map[policy.Digest]bool // conflicts that were told
	last          Durations
	count         Counters
	settling      []settling
	restoreFailed bool
}

// alarm is something that is to be done at a time.
type alarm struct {
	at int64
	do func()
}

// held is the policy in force.
type held struct {
	offer  policy.Offer
	sealed *policy.Sealed // nil: it is not on the disk
	policy *nft.Policy    // nil likewise, or it cannot be read
	base   *nft.Baseline  // nil: not known yet
	fresh  bool           // it was put into force by this process
	sure   bool           // and loaded by it, untouched since: what the kernel has right after that is what it must have
	known  nft.Known      // until when it is known to be untouched; zero: what the kernel has is taken for it anyway
	since  int64
	// rematched says that the connections were looked at, or need not be.
	rematched bool
}

// boottime is the clock of everything here.
func boottime() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) // cannot fail for a clock that every kernel has
	return ts.Nano()
}

func (l *loop) now() int64 { return l.o.Clock() }

// at does something at a time, in place of what was to be done under that name before; 0 is never.
func (l *loop) at(name string, when int64, do func()) {
	if when == 0 {
		delete(l.alarms, name)
		return
	}
	l.alarms[name] = alarm{when, do}
}

func (l *loop) in(name string, wait time.Duration, do func()) { l.at(name, l.now()+int64(wait), do) }

// due does what is due, and returns how long nothing will be.
func (l *loop) due() time.Duration {
	next := time.Hour
	for name, a := range l.alarms {
		if wait := time.Duration(a.at - l.now()); wait > 0 {
			next = min(next, wait)
			continue
		}
		delete(l.alarms, name)
		a.do()
		next = 0 // it may have set another
	}
	return next
}

// run is the loop until ctx ends.
func (l *loop) run() error {
	l.begin()
	var orders <-chan Orders
	if l.o.Management != nil {
		orders = l.o.Management.Orders()
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for !l.p.crashed.Load() {
		for wait := l.due(); ; wait = l.due() {
			if wait > 0 {
				timer.Reset(wait)
				break
			}
		}
		l.publish()
		select {
		case <-l.ctx.Done():
			<-l.look.stop()
			return nil
		case <-timer.C:
		case o := <-orders:
			l.order(o)
		case <-l.p.wake:
			l.p.mu.Lock()
			queue := l.p.queue
			l.p.queue, l.p.frames = nil, 0
			l.p.mu.Unlock()
			for _, e := range queue {
				l.take(e)
			}
		}
	}
	return nil
}

// take takes in what others said.
func (l *loop) take(e any) {
	switch e := e.(type) {
	case peerHeard:
		l.peerHeard(e.id, e.state)
	case peerGone:
		l.peerGone(e.id)
	case frameIn:
		l.frame(e.from, e.parts)
	case Description:
		l.described = e
	case Config:
		l.reconfigure(e)
	case order:
		l.obey(e)
	case loadOrder:
		l.loadFile(e)
	case taskDone:
		l.finished(e)
	case got:
		l.got(e)
	case recovery.Event:
		l.recover(e)
	case install.Event:
		l.install(e)
	case diskBad:
		l.reopen()
	case baseline:
		if e.serial == l.look.serial && l.held != nil {
			l.held.base = e.base
		}
	case rematched:
		l.judged(e)
	case drifted:
		l.drifted(e)
	case watchEnded:
		if e.serial == l.look.serial {
			l.unread()
			l.log.Warn("the policy in force is not watched for a moment", "error", e.err)
			l.in("watch", l.o.Times.Retry, l.watch)
		}
	}
}

// event tells operators.
func (l *loop) event(e Event) {
	e.Time = time.Now().UnixNano()
	l.log.Info("policy", "event", e.Kind.String(), "generation", e.Policy.Generation, "attempt", e.Attempt, "source", e.Source, "text", e.Text)
	select {
	case l.p.events <- e:
	default:
		l.log.Warn("nobody reads the policy plane's events: one is lost", "event", e.Kind.String())
	}
}

// begin starts the machines with what New found.
func (l *loop) begin() {
	l.startRecovery()
	m, effects := install.New(install.Config{Doubt: l.o.Times.Doubt, Ask: l.o.Times.Ask}, l.state.Install, l.inForce(), l.now())
	l.ins = m
	l.perform(effects)
	// What the kernel has and the disk does not know, because the state was lost: an install must be able to go back to it.
	if s, _ := m.State(); s == install.Idle && l.held != nil && l.inForce().Digest != l.state.Install.InForce.Digest {
		l.install(install.Replaced{InForce: l.inForce()})
	}
	if l.unloaded {
		l.recover(recovery.Unloaded{})
	}
	if l.held == nil || l.held.policy == nil || !l.filter {
		l.guardNothing()
	} // else the boot filter may hold for a policy that somebody took out of force: the watch tells
	if l.held != nil && l.loadedOtherwise() {
		l.reload() // the configuration was changed while nobody looked
	} else if !l.busy {
		l.watch()
	}
	if l.held != nil && l.held.sealed == nil {
		l.mend()
	}
	l.in("verify", verifyEach, l.verify)
	l.in("guard", guardEach, l.guard)
}

// startRecovery begins recovery anew, with the peers that are heard.
func (l *loop) startRecovery() {
	cfg := recovery.Config{PeerWait: l.o.Times.PeerWait, ManagementWait: l.o.Times.ManagementWait, Retry: l.o.Times.Retry,
		Declined: l.state.Install.Declined}
	for _, m := range l.cfg.Members {
		if m.ID != l.o.Self {
			cfg.Peers = append(cfg.Peers, m.Name)
		}
	}
	m, effects := recovery.New(cfg, l.local(), l.inForce(), l.now())
	l.rec, l.asked = m, false
	l.followed(effects)
	for id, s := range l.peers {
		l.recover(recovery.Peer{Name: l.names[id], Active: s.Active, Has: s.InForce(l.names[id])})
	}
}

// inForce is what the kernel has.
func (l *loop) inForce() policy.Offer {
	if l.held == nil {
		return policy.Offer{}
	}
	return l.held.offer
}

// local is the newest policy of the disk that was in force somewhere.
func (l *loop) local() (best policy.Offer) {
	good, staged := l.disk.entries()
	for _, e := range good {
		if e.Generation > best.Generation && !l.declined(e.Digest) {
			best = e.Offer()
		}
	}
	for _, e := range staged {
		if l.state.Install.Reverting && e.Digest == l.state.Install.Unconfirmed.Policy.Digest {
			continue
		}
		if e.Digest == l.state.Install.InForce.Digest && !l.declined(e.Digest) && e.Generation > best.Generation {
			best = e.Offer()
		}
	}
	return best
}

func (l *loop) declined(d policy.Digest) bool {
	for _, o := range l.state.Install.Declined {
		if o == d {
			return true
		}
	}
	return false
}

// save writes the state, and reports whether it is on the disk.
func (l *loop) save() bool {
	err := writeDurable(l.o.Dir, l.state)
	if err == nil {
		return true
	}
	l.log.Error("the state of installs cannot be written: it is tried again", "error", err)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		l.event(Event{Kind: DiskFull, Text: err.Error()})
	}
	return false
}

// saw raises what this member has seen, on the disk too: management numbers above it, even one that was restored from an old backup.
func (l *loop) saw(generation, attempt uint64) {
	if generation > l.state.Highest || attempt > l.state.HighestAttempt {
		l.state.Highest, l.state.HighestAttempt = max(l.state.Highest, generation), max(l.state.HighestAttempt, attempt)
		if !l.save() {
			l.in("save", l.o.Times.Retry, func() { l.saw(0, 0) })
		}
	}
}

// equal compares what is published.
func equal(a, b any) bool { return reflect.DeepEqual(a, b) }
