// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"encoding/binary"
	"hash/fnv"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/management/rollout"
	"github.com/holdfast-project/holdfast/policy"
)

// cluster is what is known of one, in memory.
type cluster struct {
	mu       sync.Mutex
	c        management.Cluster // without Config
	members  map[string]*live
	attempts map[uint64]management.Attempt // the newest, those that have not ended, and what members still ask for
	running  map[uint64]*runner            // here
	orders   chan struct{}                 // closed and made anew whenever orders may differ
	progress chan struct{}                 // likewise, for those who watch
}

// live is a member that has reported.
type live struct {
	report  api.Report
	last    time.Time
	release chan struct{} // closed by its next report
}

func newCluster(c management.Cluster) *cluster {
	c.Config = nil
	return &cluster{
		c: c, members: map[string]*live{}, attempts: map[uint64]management.Attempt{}, running: map[uint64]*runner{},
		orders: make(chan struct{}), progress: make(chan struct{}),
	}
}

// The methods below want mu to be held.

// tell wakes the reports that are held, and those who watch.
func (c *cluster) tell() {
	close(c.orders)
	c.orders = make(chan struct{})
	c.moved()
}

// moved wakes those who watch.
func (c *cluster) moved() {
	close(c.progress)
	c.progress = make(chan struct{})
}

// learn takes an attempt as it is stored; what is older than what is known changes nothing.
func (c *cluster) learn(a management.Attempt) {
	old, known := c.attempts[a.Number]
	if known && (old.Ended != 0 || rank(old.Phase) > rank(a.Phase) || old.Phase == a.Phase && old.Ended == a.Ended) {
		return
	}
	c.attempts[a.Number] = a
	if c.c.Attempt < a.Number {
		c.c.Attempt = a.Number
	}
	switch a.Phase { // as records.Decide does
	case management.Committed, management.Confirmed:
		if a.Policy.Generation > c.c.Current.Generation {
			c.c.Previous, c.c.Current = c.c.Current, a.Policy
		}
	case management.RolledBack:
		if c.c.Current == a.Policy {
			c.c.Current, c.c.Previous = a.Before, a.Earlier
		}
	}
	for n, other := range c.attempts {
		if other.Ended != 0 && n < c.c.Attempt && !c.wanted(n) {
			delete(c.attempts, n)
		}
	}
	c.tell()
}

// wanted reports whether a member has not come to the end of an attempt.
func (c *cluster) wanted(number uint64) bool {
	for _, x := range c.members {
		if x.report.Attempt.Number == number && open(x.report.Attempt) {
			return true
		}
	}
	return false
}

func rank(p management.Phase) int {
	switch p {
	case management.Preparing:
		return 1
	case management.Committed:
		return 2
	}
	return 3
}

// state is where a member is in an attempt, by its report.
func state(a management.Attempt, r api.Report) (rollout.State, string) {
	switch {
	case r.Attempt.Number != a.Number:
		return rollout.Idle, ""
	case r.Attempt.Confirmed:
		return rollout.Confirmed, r.Attempt.Why
	}
	return rollout.State(r.Attempt.State), r.Attempt.Why
}

// open reports whether a member waits for the end of an attempt.
func open(a api.AttemptState) bool {
	switch rollout.State(a.State) {
	case rollout.Loading, rollout.Prepared, rollout.Committing, rollout.Committed, rollout.RollingBack:
		return !a.Confirmed
	}
	return false
}

func reported(a management.Attempt, member string, r api.Report) rollout.Reported {
	e := rollout.Reported{Member: member}
	e.State, e.Why = state(a, r)
	for _, p := range r.Peers {
		if p.Heard {
			e.Heard = append(e.Heard, p.Name)
		}
	}
	slices.Sort(e.Heard)
	return e
}

// ordersFor is what a member is to do. An older attempt that it has not come to the end of comes before the newest.
func (c *cluster) ordersFor(member string, grace time.Duration, every time.Duration) api.Orders {
	o := api.Orders{Current: api.Offer{Generation: c.c.Current.Generation, Digest: c.c.Current.Digest}, EveryMs: every.Milliseconds()}
	var order rollout.Order
	if x := c.members[member]; x != nil && x.report.Attempt.Number != 0 && x.report.Attempt.Number != c.c.Attempt && open(x.report.Attempt) {
		if a, ok := c.attempts[x.report.Attempt.Number]; ok {
			order = rollout.OrderOf(a, member, grace)
		} else if c.forgotten(x.report.Attempt) {
			order = rollout.Order{Number: x.report.Attempt.Number, Policy: x.report.Attempt.Policy.Of(""), Phase: rollout.PhaseAbort}
		}
	}
	if order.Number == 0 {
		if a, ok := c.attempts[c.c.Attempt]; ok {
			order = rollout.OrderOf(a, member, grace)
		}
	}
	if order.Number != 0 {
		o.Attempt = &api.Order{
			Number: order.Number, Policy: api.OfferOf(order.Policy), Phase: api.Phase(order.Phase), ConfirmWithinMs: order.Within.Milliseconds(),
		}
	}
	o.Serial = serial(o)
	return o
}

// forgotten reports whether an attempt that management does not know, since it was restored from a backup, can be aborted: all members have
// reported, and none has more than prepared.
func (c *cluster) forgotten(a api.AttemptState) bool {
	for _, name := range c.c.Members {
		x := c.members[name]
		if x == nil || x.report.InForce.Digest == a.Policy.Digest {
			return false
		}
		if x.report.Attempt.Number == a.Number {
			switch rollout.State(x.report.Attempt.State) {
			case rollout.Loading, rollout.Prepared, rollout.Aborted, rollout.Refused:
			default:
				return false
			}
		}
	}
	return true
}

// serial is a number of the content of orders, the same on every server.
func serial(o api.Orders) uint64 {
	h := fnv.New64a()
	put := func(values ...uint64) {
		var b [8]byte
		for _, v := range values {
			binary.BigEndian.PutUint64(b[:], v)
			h.Write(b[:])
		}
	}
	offer := func(o policy.Digest) { h.Write(o[:]) }
	put(o.Current.Generation)
	offer(o.Current.Digest)
	if a := o.Attempt; a != nil {
		put(a.Number, a.Policy.Generation, uint64(a.ConfirmWithinMs))
		offer(a.Policy.Digest)
		h.Write([]byte(a.Phase))
	}
	// 53 bits, so that every reader of JSON keeps it.
	return h.Sum64()>>11 | 1
}
