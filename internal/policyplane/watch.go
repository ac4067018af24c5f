// SPDX-License-Identifier: Apache-2.0

package policyplane

import (
	"context"
	"errors"
	"log/slog"

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
	options := nft.Options{Cluster: l.o.Cluster, Namespace: l.o.Namespace, Command: l.o.Command}
	r := &reference{
		kernel: nft.New(options), command: l.o.Command, links: l.cfg.Links, policy: h.policy, base: h.base, sure: h.sure, woke: h.known,
		// What earlier watches found, or what the boot filter was loaded for, ends with what this one finds at its beginning.
		anew: l.drift != "" || l.filter,
	}
	if l.look.known != nil && h.base != nil && !r.anew {
		r.since = *l.look.known
	}
	known := new(nft.Known)
	l.look.cancel, l.look.ended, l.look.known = cancel, make(chan struct{}), known
	serial, ended, p := l.look.serial, l.look.ended, l.p
	l.group.Go(func() error {
		defer close(ended)
		defer cancel()
		err := r.establish(ctx, l.log)
		if err == nil {
			p.tell(baseline{serial, r.base})
			*known, err = r.kernel.Watch(ctx, r.base, r.since, func(d nft.Drift) { p.tell(drifted{serial, d}) })
		}
		if ctx.Err() == nil {
			p.tell(watchEnded{serial, errors.Join(err, errWatch)})
		}
		return nil
	})
}

// reference is what the kernel must have of a policy, and how to find it out.
type reference struct {
	kernel  *nft.Kernel
	command string
	links   []nft.Link
	policy  *nft.Policy

	base  *nft.Baseline // nil: not read yet
	since nft.Known     // until when the kernel is known to have it
	sure  bool          // nobody is known to have changed it since it woke,
	woke  nft.Known     // which was then, if that is known
	anew  bool          // compare with it once, whatever is known
}

// establish finds out what the kernel must have, unless that has been read.
func (r *reference) establish(ctx context.Context, log *slog.Logger) (err error) {
	if r.base != nil {
		return nil
	}
	if r.sure {
		if err := r.readAsItWoke(ctx); err != nil {
			return err
		}
	}
	if r.base == nil || r.anew {
		r.since = nft.Known{}
	}
	if r.base == nil {
		// Somebody may have changed it while nobody looked: what it must be is found out elsewhere.
		if r.base, err = nft.Check(ctx, r.command, r.policy, r.links, false); err != nil && ctx.Err() == nil {
			log.Warn("cannot find out in a scratch namespace what the policy in force must be: what the kernel has now is taken for right", "error", err)
		}
	}
	if r.base == nil {
		r.base, err = r.kernel.Baseline(ctx, r.policy)
		return err
	}
	return nil
}

// readAsItWoke reads it from the kernel, if nobody wrote since it woke and while it is read.
func (r *reference) readAsItWoke(ctx context.Context) error {
	before, err := r.kernel.Now()
	if err != nil || r.woke != (nft.Known{}) && before != r.woke {
		return err
	}
	base, err := r.kernel.Baseline(ctx, r.policy)
	if errors.Is(err, nft.ErrGone) {
		return nil // somebody was quick
	}
	if err != nil {
		return err
	}
	after, err := r.kernel.Now()
	if err == nil && after == before {
		r.base, r.since = base, before
	}
	return err
}

// baseline is what the kernel must have of the policy in force.
type baseline struct {
	serial uint64
	base   *nft.Baseline
}

var errWatch = errors.New("the watch over the policy in force has ended")
