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
)

// What an operator's order is refused for.
var (
	// ErrInstalling: an install is under way, and is not interrupted.
	ErrInstalling = errors.New("an install is under way: try again when it is over")
	// ErrDeclined: the policy was rolled back here.
	ErrDeclined = errors.New("it was installed and rolled back: give it a new generation")
)

// obey does what an operator wants.
func (l *loop) obey(o order) {
	switch o.what {
	case orderUnload:
		l.unload(o.done)
	case orderResume:
		if l.unloaded {
			l.unloaded, l.state.Unloaded = false, ""
			l.save()
			l.event(Event{Kind: Resumed})
			l.recover(recovery.Resume{})
		}
		if l.held != nil && l.broken != "" {
			l.restore = pace{}
			l.putBack()
		}
		l.settles(o.done)
	case orderFetch:
		l.startRecovery()
		if l.unloaded {
			l.recover(recovery.Unloaded{})
		} else if l.ordered {
			l.offered()
		}
		l.settles(o.done)
	}
}

// unload loads the boot filter, then takes the policy away.
func (l *loop) unload(done chan error) {
	if s, a := l.ins.State(); s != install.Idle {
		done <- fmt.Errorf("attempt %d is %v: %w", a.Number, s, ErrInstalling)
		return
	}
	was, filter := l.inForce(), l.cfg.BootFilter
	l.unloaded, l.state.Unloaded = true, l.boot
	if !l.save() {
		l.unloaded, l.state.Unloaded = false, ""
		done <- errors.New("that the policy is unloaded cannot be written to the disk: nothing was changed; make room in " + l.o.Dir)
		return
	}
	l.recover(recovery.Unloaded{})
	l.hand(&task{
		name: "unload", stills: true,
		run: func(ctx context.Context, k *nft.Kernel) error {
			if filter != nil {
				if err := k.LoadBootFilter(ctx, filter); err != nil {
					return err
				}
			}
			return k.Unload(ctx)
		},
		done: func(err error, _ time.Duration) {
			if err != nil {
				l.unloaded, l.state.Unloaded = false, ""
				l.save()
				l.recover(recovery.InForce{What: was})
				l.recover(recovery.Resume{})
				l.guardNothing() // the boot filter may be loaded already
				done <- err
				return
			}
			l.nowInForce(policy.Offer{}, nil, woken{})
			l.install(install.Replaced{})
			l.event(Event{Kind: Unloaded, Policy: was})
			done <- nil
		},
	})
}

// settles answers an order when what it began is over.
func (l *loop) settles(done chan error) {
	l.settling = append(l.settling, settling{done, l.now()})
}

type settling struct {
	done  chan error
	since int64
}

// settle answers orders that wait.
func (l *loop) settle() {
	if len(l.settling) == 0 || l.asked || l.pending || l.busy || len(l.tasks) > 0 || len(l.fetches.jobs) > 0 {
		return
	}
	l.p.mu.Lock()
	more := len(l.p.queue)
	l.p.mu.Unlock()
	if more > 0 {
		return
	}
	l.settling = slices.DeleteFunc(l.settling, func(s settling) bool {
		if all := len(l.peers) == len(l.names); !all && l.now()-s.since < int64(l.o.Times.PeerWait) {
			l.at("settle", s.since+int64(l.o.Times.PeerWait), func() {})
			return false
		}
		var err error
		if l.problem != "" {
			err = errors.New(l.problem)
		}
		s.done <- err
		return true
	})
}

// loadOrder is a file that an operator puts into force.
type loadOrder struct {
	file []byte
	done chan loaded
}

type loaded struct {
	what policy.Offer
	err  error
}

// loadFile takes a policy from an operator, as if it had been fetched.
func (l *loop) loadFile(o loadOrder) {
	what, err := l.accept(o.file)
	if err != nil {
		o.done <- loaded{what, err}
		return
	}
	l.remember(what.Digest, "operator")
	done := make(chan error, 1)
	if l.unloaded {
		l.unloaded, l.state.Unloaded = false, ""
		l.save()
		l.recover(recovery.Resume{})
	}
	l.recover(recovery.Fetched{What: what})
	l.settles(done)
	l.group.Go(func() error {
		select {
		case err := <-done:
			if now := l.p.Snapshot().InForce; err == nil && (now == nil || now.Digest != what.Digest) {
				err = fmt.Errorf("generation %d is on the disk and not in force: `holdfast policy status` says why", what.Generation)
			}
			o.done <- loaded{what, err}
		case <-l.ctx.Done():
			o.done <- loaded{what, l.ctx.Err()}
		}
		return nil
	})
}

// accept verifies an operator's file and keeps it.
func (l *loop) accept(file []byte) (policy.Offer, error) {
	if s, a := l.ins.State(); s != install.Idle {
		return policy.Offer{}, fmt.Errorf("attempt %d is %v: %w", a.Number, s, ErrInstalling)
	}
	t := l.trust()
	t.Floor = max(l.inForce().Generation, l.state.Install.InForce.Generation, l.local().Generation)
	s, err := policy.Open(file, t)
	if err != nil {
		return policy.Offer{}, err
	}
	what := s.Head().Offer(recovery.Local)
	if l.declined(what.Digest) {
		return what, fmt.Errorf("generation %d: %w", what.Generation, ErrDeclined)
	}
	if _, err := policy.Compare(l.local(), what); err != nil {
		return what, err
	}
	if _, err := nft.Of(s, l.cfg.Definitions); err != nil {
		return what, err
	}
	return what, l.keep(s, false)
}

// reconfigure follows a new configuration.
func (l *loop) reconfigure(c Config) {
	was := l.cfg
	l.cfg = c
	if !equal(was.Members, c.Members) {
		l.setMembers()
	}
	if !equal(was.Keys, c.Keys) {
		l.reopen()
	}
	if !equal(was.Members, c.Members) || !equal(was.Keys, c.Keys) {
		l.startRecovery()
		if l.unloaded {
			l.recover(recovery.Unloaded{})
		}
	}
	if !equal(was.Definitions, c.Definitions) {
		l.reload()
	}
	if !was.BootFilter.Equal(c.BootFilter) && (l.filter || c.BootFilter != nil) {
		l.guardNothing()
	}
	if c.Enforce && !was.Enforce && l.drift != "" {
		l.putBack()
	}
}

func (l *loop) setMembers() {
	l.names, l.ids = map[uint8]string{}, map[string]uint8{}
	for _, m := range l.cfg.Members {
		if m.ID != l.o.Self {
			l.names[m.ID], l.ids[m.Name] = m.Name, m.ID
		}
	}
	for id := range l.peers {
		if _, still := l.names[id]; !still {
			delete(l.peers, id)
		}
	}
}
