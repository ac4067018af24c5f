// SPDX-License-Identifier: Apache-2.0

package policyplane

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/nft"
)

// rematch ends the connections that the policy in force denies, if it wants that, and once it stays: one that is gone back from must not cost
// any. It has no place in the row of tasks, which it would hold up for seconds.
func (l *loop) rematch() {
	h, d := l.held, l.state.Install
	if h == nil || h.policy == nil || !h.fresh || h.rematched || l.busy || l.unsaved || l.gone() || h.sealed.Bundle().Connections != policy.RematchConnections ||
		d.InForce.Digest != h.offer.Digest || d.Unconfirmed.Policy.Digest == h.offer.Digest {
		return
	}
	l.yield() // for an earlier policy
	h.rematched = true
	ctx, cancel := context.WithCancel(l.ctx)
	l.judge = judge{h, cancel}
	k, p := nft.New(nft.Options{Cluster: l.o.Cluster, Namespace: l.o.Namespace, Command: l.o.Command}), l.p
	l.group.Go(func() error {
		defer cancel()
		r, err := k.Rematch(ctx, h.policy, nft.RematchOptions{})
		p.tell(rematched{h, r, err, ctx.Err() != nil})
		return nil
	})
}

// rematched is what became of the connections.
type rematched struct {
	held *held
	did  nft.Rematched
	err  error
	cut  bool // it was ended
}

// judge is what judges connections now.
type judge struct {
	held   *held // nil: nothing is judged
	cancel context.CancelFunc
}

// yield ends it: it may take long, and the kernel is to change now. It begins anew when the row of tasks is empty.
func (l *loop) yield() {
	if h := l.judge.held; h != nil {
		l.judge.cancel()
		l.judge, h.rematched = judge{}, false
	}
}

// judged takes in what became of the connections.
func (l *loop) judged(e rematched) {
	l.count.Ended += uint64(e.did.Ended) //nolint:gosec // a count
	h, r := e.held, e.did
	if e.cut {
		return
	}
	l.judge, h.rematched = judge{}, true
	if e.err != nil {
		l.event(Event{Kind: Failed, Policy: h.offer, Text: "end the connections that the policy denies: " + e.err.Error()})
		return
	}
	l.event(Event{Kind: Rematched, Policy: h.offer, Text: fmt.Sprintf("%d of %d connections were ended, in %v; %d cannot be judged, %d were left out",
		r.Ended, r.Entries, r.Took.Round(time.Millisecond), r.Kept, r.Left)})
}
