// SPDX-License-Identifier: Apache-2.0

package policyplane

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/install"
	"github.com/holdfast-project/holdfast/policy/nft"
	"github.com/holdfast-project/holdfast/policy/recovery"
	"github.com/holdfast-project/holdfast/policy/ruleset"
)

// load gets the policy and loads it asleep.
func (l *loop) load(a install.Attempt) {
	l.freeze()
	if a.Number != l.attempt.Number || l.attempt.State != install.Loading {
		l.attempt = Attempt{Number: a.Number, Policy: a.Policy, State: install.Loading}
		l.event(Event{Kind: Preparing, Policy: a.Policy, Attempt: a.Number})
	}
	l.saw(a.Policy.Generation, a.Number)
	began := l.now()
	l.acquire(a.Policy, true, func(err error) {
		l.last = Durations{Fetch: l.now() - began}
		if err != nil {
			l.install(install.NotLoaded{Attempt: a, Why: err.Error()})
			return
		}
		defs := l.cfg.Definitions
		var t *text
		var report nft.Report
		l.hand(&task{
			name: "prepare", stills: true,
			run: func(ctx context.Context, k *nft.Kernel) (err error) {
				if t, err = l.read(a.Policy, defs); err != nil {
					return err
				}
				if report, err = k.Prepare(ctx, t.policy); err != nil && !errors.Is(err, nft.ErrInForce) {
					return err
				}
				return nil
			},
			done: func(err error, took time.Duration) {
				l.last.Prepare = int64(took)
				l.look.loadedBeside(report)
				if err != nil {
					l.install(install.NotLoaded{Attempt: a, Why: err.Error()})
					return
				}
				l.loadedWith(a.Policy.Generation, defs)
				l.ready = t
				l.install(install.Loaded{Attempt: a})
			},
		})
	})
}

// text is a policy as the disk and as the kernel has it. A large one takes some tenths of a second to read.
type text struct {
	sealed *policy.Sealed
	policy *nft.Policy
}

// read reads a policy from the disk for the kernel. It may be called from any goroutine.
func (l *loop) read(o policy.Offer, defs []ruleset.Definition) (*text, error) {
	s, err := l.disk.get(o)
	if err != nil {
		return nil, err
	}
	p, err := nft.Of(s, defs)
	if err != nil {
		return nil, err
	}
	for _, k := range p.Keep {
		if !p.Ruleset.Has(k.Family, k.Table, k.Name) {
			return nil, fmt.Errorf("%s: set %v, which is to be kept, is not there", p.Ruleset.File, k)
		}
	}
	return &text{s, p}, nil
}

// prepared is what the latest prepare read, if it is that policy: its commit has no time to read it again.
func (l *loop) prepared(o policy.Offer) *text {
	if l.ready == nil || l.ready.sealed.Head().Digest() != o.Digest || !equal(l.ready.policy.Definitions, l.cfg.Definitions) {
		return nil
	}
	return l.ready
}

// woken is what a change of generations did.
type woken struct {
	text   *text
	loaded bool // it had to be loaded: nothing of it was asleep
	sure   bool // what woke is what this process had loaded
	known  nft.Known
}

// errUnread: the disk does not have a policy as it should be.
var errUnread = errors.New("it cannot be read from the disk")

// wakeUp puts a policy of the disk into force, whatever the kernel has of it, and takes the boot filter away.
func (l *loop) wakeUp(ctx context.Context, k *nft.Kernel, o policy.Offer, defs []ruleset.Definition, t *text) (w woken, err error) {
	if w.text = t; t == nil {
		if w.text, err = l.read(o, defs); err != nil {
			return w, fmt.Errorf("%w: %w", errUnread, err)
		}
	}
	r, err := k.Commit(ctx, w.text.policy)
	if errors.Is(err, nft.ErrNotPrepared) {
		w.loaded = true
		if _, err = k.Prepare(ctx, w.text.policy); err == nil {
			r, err = k.Commit(ctx, w.text.policy)
		}
	}
	if err != nil {
		return w, err
	}
	w.known, err = k.RemoveBootFilterAfter(ctx, r.Until())
	w.sure = r.Sure && w.known != (nft.Known{})
	return w, err
}

func (l *loop) switchTo(a install.Attempt) {
	defs, ready := l.cfg.Definitions, l.prepared(a.Policy)
	var w woken
	l.hand(&task{
		name: "commit", stills: true, key: taskKey{"commit", a.Number, a.Policy.Digest},
		run: func(ctx context.Context, k *nft.Kernel) (err error) {
			w, err = l.wakeUp(ctx, k, a.Policy, defs, ready)
			return err
		},
		done: func(err error, took time.Duration) {
			l.last.Commit = int64(took)
			if err != nil {
				l.event(Event{Kind: Failed, Policy: a.Policy, Attempt: a.Number, Text: err.Error()})
				l.install(install.NotSwitched{Attempt: a, Why: err.Error()})
				return
			}
			if !l.p.at("switched") {
				return
			}
			l.nowInForce(a.Policy, defs, w)
			l.install(install.Switched{Attempt: a})
			l.followRecovery(a.Policy)
			l.count.Installed++
			l.event(Event{Kind: Installed, Policy: a.Policy, Attempt: a.Number, Source: "management"})
		},
	})
}

// revert goes back to the policy before the attempt's, if that is in force.
func (l *loop) revert(a install.Attempt, to policy.Offer) {
	defs, filter := l.cfg.Definitions, l.cfg.BootFilter
	var now policy.Offer
	var w woken
	l.hand(&task{
		name: "rollback", stills: true, key: taskKey{"rollback", a.Number, a.Policy.Digest},
		run: func(ctx context.Context, k *nft.Kernel) error {
			cur, ok, err := k.Current()
			if err != nil {
				return err
			}
			if !ok || cur.Mark.Digest != a.Policy.Digest {
				now = offerOf(cur, ok)
				return nil
			}
			if to.None() {
				if filter != nil {
					if err := k.LoadBootFilter(ctx, filter); err != nil {
						return err
					}
				}
				return k.Unload(ctx)
			}
			now = to
			if w, err = l.wakeUp(ctx, k, to, defs, nil); errors.Is(err, errUnread) {
				err = l.wakeAsleep(ctx, k, to, err)
			}
			return err
		},
		done: func(err error, _ time.Duration) {
			if err != nil {
				if errors.Is(err, errUnread) {
					l.damaged(to, err)
					if there, _ := l.disk.has(to); !there && l.fetches.jobs[to.Digest] == nil {
						l.acquire(to, false, func(error) {}) // for the next try
					}
				}
				l.event(Event{Kind: Failed, Policy: a.Policy, Attempt: a.Number, Text: "rollback: " + err.Error()})
				l.guardNothing() // the boot filter may be loaded already
				l.install(install.NotReverted{Attempt: a, Why: err.Error()})
				return
			}
			if !l.p.at("reverted") {
				return
			}
			if now.Digest != l.inForce().Digest || now.None() {
				l.nowInForce(now, defs, w)
			}
			if w.text == nil {
				l.guardNothing() // somebody else had changed what is in force, or flushed it: the boot filter is as it was for that
			}
			l.install(install.Reverted{Attempt: a, InForce: now})
			l.followRecovery(now)
		},
	})
}

// wakeAsleep goes back to a policy that the kernel still has and the disk has not; if the kernel has not either, the error is unread.
func (l *loop) wakeAsleep(ctx context.Context, k *nft.Kernel, to policy.Offer, unread error) error {
	all, err := k.State()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(g nft.Loaded) bool { return g.Awake }) + 1 // the newest that is older: that is what Rollback takes
	if i == 0 || i >= len(all) || all[i].Mark.Generation != to.Generation || all[i].Mark.Digest != to.Digest {
		return unread
	}
	if _, _, err := k.Rollback(ctx, nil); err != nil {
		return err
	}
	return k.RemoveBootFilter(ctx)
}

func offerOf(c nft.Loaded, ok bool) policy.Offer {
	if !ok {
		return policy.Offer{}
	}
	return policy.Offer{Source: recovery.Local, Generation: c.Mark.Generation, Digest: c.Mark.Digest}
}

// unloadAttempt removes what was loaded asleep.
func (l *loop) unloadAttempt(a install.Attempt) {
	mark := ruleset.Mark{Cluster: l.o.Cluster, Generation: a.Policy.Generation, Digest: a.Policy.Digest}
	l.hand(&task{
		name: "abort",
		run: func(ctx context.Context, k *nft.Kernel) error {
			if err := k.Abort(ctx, mark); err != nil && !errors.Is(err, nft.ErrInForce) {
				return err
			}
			return nil
		},
		done: func(err error, _ time.Duration) {
			if err != nil { // it is removed at the next prepare
				l.log.Warn("what an install had loaded stays in the kernel, asleep", "generation", a.Policy.Generation, "error", err)
			}
		},
	})
}
