// SPDX-License-Identifier: Apache-2.0

package policyplane

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/install"
	"github.com/holdfast-project/holdfast/policy/nft"
	"github.com/holdfast-project/holdfast/policy/recovery"
	"github.com/holdfast-project/holdfast/policy/ruleset"
	"github.com/holdfast-project/holdfast/policy/store"
)

func isFull(err error) bool {
	return errors.Is(err, store.ErrFull) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

// hold makes a policy that the kernel has the one in force, as far as it is on the disk; t is what was read of it, nil: nothing yet.
func (l *loop) hold(o policy.Offer, fresh bool, t *text) {
	h := &held{offer: o, fresh: fresh}
	if t == nil {
		t = &text{}
		var err error
		if t.sealed, err = l.disk.get(o); err == nil {
			t.policy, err = nft.Of(t.sealed, l.cfg.Definitions)
		}
		if err != nil {
			l.log.Warn("the policy in force is not on the disk as it should be: it is fetched again", "generation", o.Generation, "error", err)
			t.policy = nil
		}
	}
	h.sealed, h.policy = t.sealed, t.policy
	l.held = h
}

// nowInForce follows a change of the kernel. None: there is nothing in force any more. defs are what it was loaded with, if it was just now.
func (l *loop) nowInForce(o policy.Offer, defs []ruleset.Definition, w woken) {
	l.drift, l.changes, l.broken, l.restore, l.restoreFailed, l.ready = "", nil, "", pace{}, false, nil
	if o.None() {
		l.held, l.filter = nil, l.cfg.BootFilter != nil
		return
	}
	l.filter = false
	l.hold(o, true, w.text)
	l.held.sure, l.held.known = w.sure, w.known
	l.held.since = time.Now().UnixNano()
	if w.loaded {
		l.loadedWith(o.Generation, defs)
	} else if l.loadedOtherwise() {
		l.reload()
	}
	if l.held.sealed == nil {
		l.mend()
	}
}

// followRecovery tells recovery what an install brought.
func (l *loop) followRecovery(o policy.Offer) {
	if o.None() {
		l.recover(recovery.InForce{})
		return
	}
	l.recover(recovery.InForce{What: o})
	if l.unloaded { // an install puts a policy into force, whatever an operator did before
		l.unloaded, l.state.Unloaded = false, ""
		l.save()
		l.recover(recovery.Resume{})
	}
}

// loadedOtherwise reports whether the policy in force was loaded with other definitions than those of now.
func (l *loop) loadedOtherwise() bool {
	was, known := l.state.Definitions[l.inForce().Generation]
	return known && was != sum([]byte(ruleset.DefinitionsFile(l.cfg.Definitions)))
}

// loadedWith keeps what definitions a generation was loaded with, for the next time that they change.
func (l *loop) loadedWith(generation uint64, defs []ruleset.Definition) {
	text := sum([]byte(ruleset.DefinitionsFile(defs)))
	if l.state.Definitions[generation] == text {
		return
	}
	next := map[uint64]string{generation: text}
	for _, g := range []uint64{l.inForce().Generation, l.state.Install.InForce.Generation, l.state.Install.Previous.Generation} {
		if d, known := l.state.Definitions[g]; known && g != generation {
			next[g] = d
		}
	}
	l.state.Definitions = next
	l.save() // if it is lost, what the kernel has is compared with what it must have, and found to differ
}

// use puts a policy of the disk into force, as recovery wants it.
func (l *loop) use(o policy.Offer) {
	defs, declined := l.cfg.Definitions, l.state.Install.Declined
	source := l.fetches.from[o.Digest]
	if source == "" {
		source = recovery.Local
	}
	var w woken
	l.hand(&task{
		name: "use", stills: true,
		unless: func() bool {
			// An install went back from it meanwhile, or is about to.
			d := l.state.Install
			gone := l.declined(o.Digest) || d.Reverting && d.Unconfirmed.Policy.Digest == o.Digest
			if gone {
				l.p.tell(recovery.Event(recovery.NotInForce{What: o, Why: errReverted.Error()}))
			}
			return gone
		},
		run: func(ctx context.Context, k *nft.Kernel) error {
			cur, ok, err := k.Current()
			if err != nil {
				return err
			}
			if ok && cur.Mark.Generation > o.Generation && !slices.Contains(declined, policy.Digest(cur.Mark.Digest)) {
				return errNewer
			}
			w, err = l.wakeUp(ctx, k, o, defs, nil)
			return err
		},
		done: func(err error, _ time.Duration) {
			if err != nil {
				if !errors.Is(err, errNewer) {
					l.event(Event{Kind: Failed, Policy: o, Source: source, Text: err.Error()})
				}
				l.damaged(o, err)
				l.recover(recovery.NotInForce{What: o, Why: err.Error()})
				return
			}
			if !l.p.at("used") {
				return
			}
			was := l.inForce()
			l.nowInForce(o, defs, w)
			l.recover(recovery.InForce{What: o})
			l.install(install.Replaced{InForce: o})
			l.offered()
			if was.Digest != o.Digest {
				l.count.Installed++
				l.event(Event{Kind: Installed, Policy: o, Source: source})
			}
		},
	})
}

var errReverted = errors.New("an install went back from it meanwhile")

var errNewer = errors.New("an install put a newer one into force meanwhile")

// guardNothing loads the boot filter while no policy is in force, and takes it away while one is.
func (l *loop) guardNothing() {
	filter, none := l.cfg.BootFilter, false
	l.hand(&task{
		name: "boot filter",
		unless: func() bool {
			none = l.held == nil || l.gone()
			return none && filter == nil
		},
		run: func(ctx context.Context, k *nft.Kernel) error {
			if none {
				return k.LoadBootFilter(ctx, filter)
			}
			return k.RemoveBootFilter(ctx)
		},
		done: func(err error, _ time.Duration) {
			if err != nil {
				l.event(Event{Kind: Failed, Text: err.Error()})
				l.in("boot filter", l.o.Times.Retry, l.guardNothing)
				return
			}
			l.filter = none
		},
	})
}

// guardEach is how often it is looked whether the boot filter is as it was loaded: somebody may have flushed everything, or a chain.
const guardEach = time.Second

// guard loads the boot filter again if somebody took it away, or changed it, while it must hold. No watch does: there is no policy in force to watch.
func (l *loop) guard() {
	l.in("guard", guardEach, l.guard)
	filter := l.cfg.BootFilter
	if filter == nil || l.busy || len(l.tasks) > 0 || l.held != nil && !l.gone() {
		return
	}
	again := false
	l.hand(&task{
		name: "boot filter again",
		run: func(ctx context.Context, k *nft.Kernel) error {
			there, err := k.HoldsBootFilter()
			if err != nil || there {
				return err
			}
			again = true
			return k.LoadBootFilter(ctx, filter)
		},
		done: func(err error, _ time.Duration) {
			if err != nil {
				l.event(Event{Kind: Failed, Text: "hold the boot filter: " + err.Error()})
				return
			}
			if again && l.filter {
				l.event(Event{Kind: Drifted, Policy: l.inForce(), Text: "the boot filter was taken away or changed; it was loaded again"})
			}
			l.filter = true
		},
	})
}

// pace is how often something is tried that somebody else undoes.
type pace struct {
	at    int64
	wait  time.Duration
	waits bool // until at, to try again
}

const (
	firstPace = 500 * time.Millisecond
	lastPace  = 30 * time.Second
)

// drifted follows what somebody else did to the policy in force.
func (l *loop) drifted(e drifted) {
	if e.serial != l.look.serial || l.held == nil {
		return
	}
	if len(e.drift.Changes) == 0 {
		if l.drift != "" {
			l.count.Restored++
			l.event(Event{Kind: Restored, Policy: l.held.offer, Text: e.drift.String()})
		}
		was := l.broken
		l.drift, l.changes, l.broken, l.restore.waits, l.restoreFailed = "", nil, "", false, false
		if was != "" || l.filter {
			l.guardNothing()
		}
		return
	}
	was, broke := l.gone(), l.broken == "" && len(e.drift.Broken) > 0
	// A watch tells at its beginning of what was told before, too.
	fresh := broke || !equal(e.drift.Changes, l.changes)
	l.broken = strings.Join(e.drift.Broken, ", ")
	if fresh {
		l.drift, l.changes = e.drift.String(), e.drift.Changes
		l.count.Drifts++
		l.event(Event{Kind: Drifted, Policy: l.held.offer, Source: e.drift.By, Text: l.drift})
	}
	if was || l.filter || l.gone() {
		l.guardNothing() // first: putting back may have to wait
	}
	// What putting back did not end is not tried again and again, unless the policy does not do its work.
	if l.cfg.Enforce && (fresh || l.broken != "") {
		l.putBack()
	}
}

// gone reports whether the policy in force does not filter as it must: a table with chains that filter is broken, or, of a policy without any,
// all tables are.
func (l *loop) gone() bool {
	if l.broken == "" || l.held == nil || l.held.policy == nil {
		return false
	}
	away := strings.Split(l.broken, ", ")
	for _, t := range filters(l.held.policy) {
		if slices.Contains(away, t) {
			return true
		}
	}
	return len(away) >= len(tableNames(l.held.policy))
}

// filters are the tables with a base chain of type filter, "FAMILY NAME".
func filters(p *nft.Policy) (all []string) {
	for _, t := range p.Ruleset.Tables {
		for _, o := range t.Objects {
			if o.Kind == "chain" && slices.ContainsFunc(o.Statements, func(s ruleset.Statement) bool {
				return len(s.Words) > 1 && s.Words[0].Text == "type" && s.Words[1].Text == "filter"
			}) {
				all = append(all, t.Family+" "+t.Name)
				break
			}
		}
	}
	return all
}

// putBack restores the policy in force, less and less often if somebody changes it again and again.
func (l *loop) putBack() {
	if wait := l.restore.at - l.now(); wait > 0 {
		l.restore.waits = true
		l.at("restore", l.restore.at, l.putBack)
		return
	}
	l.restore.waits = false
	if l.drift == "" || l.held == nil || l.held.policy == nil {
		return
	}
	l.restore.wait = min(max(2*l.restore.wait, firstPace), lastPace)
	l.restore.at = l.now() + int64(l.restore.wait)
	pol := l.held.policy
	l.hand(&task{
		name: "restore", stills: true,
		unless: func() bool { return l.held == nil || l.held.policy != pol || l.drift == "" },
		run: func(ctx context.Context, k *nft.Kernel) error {
			if _, err := k.Restore(ctx, pol); err != nil {
				return err
			}
			return k.RemoveBootFilter(ctx) // what follows in the row may take long
		},
		done: func(err error, _ time.Duration) {
			l.restoreFailed = err != nil
			if err != nil {
				l.event(Event{Kind: Failed, Policy: l.inForce(), Text: "put the policy back: " + err.Error()})
				if l.gone() {
					l.guardNothing()
				}
				l.at("restore", l.restore.at, l.putBack)
				return
			}
			l.broken, l.filter = "", false
			// What the watch says next is whether it is as it must be. Somebody who leaves it alone for a while is not fought with.
			l.in("calm", calmAfter, func() { l.restore = pace{} })
		},
	})
}

const calmAfter = time.Minute

// reload loads the policy in force with other definitions.
func (l *loop) reload() {
	if l.held == nil || l.held.sealed == nil {
		return
	}
	defs, o := l.cfg.Definitions, l.held.offer
	var t *text
	l.hand(&task{
		name: "reload", stills: true,
		unless: func() bool { return l.inForce().Digest != o.Digest },
		run: func(ctx context.Context, k *nft.Kernel) (err error) {
			if t, err = l.read(o, defs); err == nil {
				_, err = k.Restore(ctx, t.policy)
			}
			return err
		},
		done: func(err error, _ time.Duration) {
			if err != nil {
				// What it was loaded with before is not there any more, to compare the kernel with.
				l.held.rematched, l.held.fresh, l.held.sure, l.held.known = l.held.rematched || !l.held.fresh, true, true, nft.Known{}
				l.event(Event{Kind: Failed, Policy: o, Text: "load it with what the configuration has now: " + err.Error() + "; it stays as it was"})
				return
			}
			since, rematched := l.held.since, l.held.rematched || !l.held.fresh
			l.hold(o, true, t)
			l.held.sure, l.held.since, l.held.rematched = true, since, rematched
			l.loadedWith(o.Generation, defs)
			if l.broken != "" || l.filter {
				l.broken = ""
				l.guardNothing()
			}
			l.event(Event{Kind: Reloaded, Policy: o})
		},
	})
}
