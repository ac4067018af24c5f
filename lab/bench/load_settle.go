// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// Of settling.
const (
	// assuredAfter is a little more than the age from which on a flow of UDP that has been answered is assured at its next packet
	// (net/netfilter/nf_conntrack_proto_udp.c). That is a change which members tell each other.
	assuredAfter = 2200 * time.Millisecond
	// atRest is the part of a processor that a system's daemons take all together at the most when they have nothing to do, in settleEvery.
	atRest      = 0.25
	settleEvery = 250 * time.Millisecond
	// settleWithin is how long they may take to get there.
	settleWithin = time.Minute
)

// settle lets all systems with daemons do what their flows' beginning gives them to do, so that no window pays for it. The stand of one that does not come
// to rest is closed, and nil.
func (r *loadRun) settle(ctx context.Context, round int, stands []*loadStand) {
	errs := make([]error, len(stands))
	var g errgroup.Group
	for i, sd := range stands {
		if sd != nil && len(sd.machines) > 0 {
			g.Go(func() error {
				errs[i] = sd.settle(ctx)
				return nil
			})
		}
	}
	_ = g.Wait() // each has its own error
	for i, err := range errs {
		if err != nil {
			r.failed(ctx, round, stands[i].system.Name, errors.Join(fmt.Errorf("settle: %w", err), stands[i].close()))
			stands[i] = nil
		}
	}
}

// settle has every flow assured, and waits until the daemons are at rest.
func (sd *loadStand) settle(ctx context.Context) error {
	if err := wait(ctx, assuredAfter); err != nil {
		return err
	}
	if err := sd.again(ctx, sd.cfg.Flows); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	before, err := sd.reading()
	if err != nil {
		return err
	}
	for {
		waited := wait(ctx, settleEvery)
		after, err := sd.reading()
		if err != nil {
			return err
		}
		took := float64(after.daemons-before.daemons) / float64(after.at.Sub(before.at))
		if took < atRest {
			return nil
		}
		if waited != nil {
			return fmt.Errorf("its daemons take %.2f of a processor, and less than %.2f at rest: %w", took, atRest, waited)
		}
		before = after
	}
}
