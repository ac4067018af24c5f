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
// any.
func (l *loop) rematch() {
	h, d := l.held, l.state.Install
	if h == nil || h.policy == nil || !h.fresh || h.rematched || h.sealed.Bundle().Connections != policy.RematchConnections ||
		d.InForce.Digest != h.offer.Digest || d.Unconfirmed.Policy.Digest == h.offer.Digest {
		return
	}
	h.rematched = true
	var r nft.Rematched
	l.hand(&task{
		name:   "rematch",
		unless: func() bool { return l.held != h },
		run: func(ctx context.Context, k *nft.Kernel) (err error) {
			r, err = k.Rematch(ctx, h.policy, nft.RematchOptions{})
			return err
		},
		done: func(err error, _ time.Duration) {
			if err != nil {
				l.event(Event{Kind: Failed, Policy: h.offer, Text: "end the connections that the policy denies: " + err.Error()})
				return
			}
			l.count.Ended += uint64(r.Ended) //nolint:gosec // a count
			l.event(Event{Kind: Rematched, Policy: h.offer, Text: fmt.Sprintf("%d of %d connections were ended, in %v; %d cannot be judged, %d were left out",
				r.Ended, r.Entries, r.Took.Round(time.Millisecond), r.Kept, r.Left)})
		},
	})
}
