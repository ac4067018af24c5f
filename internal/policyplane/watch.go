// SPDX-License-Identifier: Apache-2.0

package policyplane

import (
	"context"
	"errors"

	"github.com/holdfast-project/holdfast/policy/nft"
)

// look is the watch over the policy in force.
type look struct {
	serial uint64 // of the watch that runs; what earlier ones say does not count
	cancel context.CancelFunc
	ended  chan struct{}
	// known is until when the policy in force is known to be as its baseline says; the watch that runs sets it before it has ended.
	known *nft.Known
}

// stop ends the watch and returns what is closed when it has ended.
func (w *look) stop() <-chan struct{} {
	w.serial++
	if w.cancel == nil {
		closed := make(chan struct{})
		close(closed)
		return closed
	}
	w.cancel()
	w.cancel = nil
	return w.ended
}

// lookAway ends the watch for a task that stills it. What changes before the kernel was read as it was right after a commit is not the policy's.
func (l *loop) lookAway() <-chan struct{} {
	l.unread()
	return l.look.stop()
}

// unread notes that what the kernel has may not be taken for the policy any more, if it was not read yet.
func (l *loop) unread() {
	if l.held != nil && l.held.base == nil {
		l.held.sure = false
	}
}

// loadedBeside takes in that another policy was loaded while the watch looked away.
func (w *look) loadedBeside(r nft.Report) {
	if w.known != nil && w.cancel == nil {
		*w.known = w.known.After(r)
	}
}

type (
	drifted struct {
		serial uint64
		drift  nft.Drift
	}
	watchEnded struct {
		serial uint64
		err    error
	}
)

// watch begins to watch the policy in force, if there is one and its text is known.
func (l *loop) watch() {
	if l.busy && l.running.stills {
		l.watched = false // when that is done
		return
	}
	<-l.look.stop()
	l.watched = true
	h := l.held
	if h == nil || h.policy == nil {
		return
	}
	ctx, cancel := context.WithCancel(l.ctx)
	since := nft.Known{}
	// What earlier watches found, or what the boot filter was loaded for, ends with what this one finds at its beginning.
	anew := l.drift != "" || l.filter
	if l.look.known != nil && h.base != nil && !anew {
		since = *l.look.known
	}
	known := new(nft.Known)
	l.look.cancel, l.look.ended, l.look.known = cancel, make(chan struct{}), known
	serial, ended, p := l.look.serial, l.look.ended, l.p
	options, links, sure, woke := nft.Options{Cluster: l.o.Cluster, Namespace: l.o.Namespace, Command: l.o.Command}, l.cfg.Links, h.sure, h.known
	base := h.base
	l.group.Go(func() error {
		defer close(ended)
		defer cancel()
		k := nft.New(options)
		err := func() (err error) {
			certain, unread := sure, base == nil
			if unread && certain {
				if since, err = k.Now(); err != nil {
					return err
				}
				certain = woke == (nft.Known{}) || since == woke // else somebody wrote meanwhile
			}
			if unread && certain {
				if base, err = k.Baseline(ctx, h.policy); errors.Is(err, nft.ErrGone) {
					certain = false // somebody was quick
				} else if err != nil {
					return err
				}
				if now, err := k.Now(); err != nil {
					return err
				} else if now != since {
					base, certain = nil, false
				}
			}
			if unread && (!certain || anew) {
				since = nft.Known{}
			}
			if base == nil && !certain {
				// Somebody may have changed it while nobody looked: what it must be is found out elsewhere.
				if base, err = nft.Check(ctx, options.Command, h.policy, links, false); err != nil && ctx.Err() == nil {
					l.log.Warn("cannot find out in a scratch namespace what the policy in force must be: what the kernel has now is taken for right", "error", err)
				}
			}
			if base == nil {
				if base, err = k.Baseline(ctx, h.policy); err != nil {
					return err
				}
			}
			p.tell(baseline{serial, base})
			*known, err = k.Watch(ctx, base, since, func(d nft.Drift) { p.tell(drifted{serial, d}) })
			return err
		}()
		if ctx.Err() == nil {
			p.tell(watchEnded{serial, errors.Join(err, errWatch)})
		}
		return nil
	})
}

// baseline is what the kernel must have of the policy in force.
type baseline struct {
	serial uint64
	base   *nft.Baseline
}

var errWatch = errors.New("the watch over the policy in force has ended")
