// SPDX-License-Identifier: Apache-2.0

package records

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/store"
)

// maxLeap is how much higher than anything that management gave a number may be that a member reports: more is no lost memory, but a
// member that would use up the numbers.
const maxLeap = 1 << 20

// maxNumber is the highest that an operator may name: beyond it too few would be left.
const maxNumber = 1 << 62

// raiseEvery is how often one member may raise the numbers: each time is written and audited, and one that is well does it once after management
// forgot some.
const raiseEvery = 10 * time.Second

func (r *Records) mayRaise(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	for k, at := range r.news {
		if now.Sub(at) >= raiseEvery {
			delete(r.news, k)
		}
	}
	if _, ok := r.news[key]; ok {
		return false
	}
	r.news[key] = now
	return true
}

// Reported takes what the highest generation and attempt are that a member knows. It writes only when that is news, so that each report of each
// member may be given to it; news are higher numbers than management's, and any report while numbers are unsure. The error wraps ErrOften
// if a member raises them again within seconds.
func (r *Records) Reported(ctx context.Context, by management.Actor, cluster, member string, generation, attempt uint64) (n management.Numbers, err error) {
	news, raised := false, false
	err = r.store.View(ctx, func(s store.Reader) error {
		c, _, err := readMember(s, cluster, member)
		if err == nil {
			raised = generation > c.Numbers.Generation || attempt > c.Numbers.Attempt
			n, news, err = reported(c, member, generation, attempt)
		}
		return err
	})
	if err != nil || !news {
		return n, err
	}
	if raised && !r.mayRaise(memberKey(cluster, member)) {
		return n, fmt.Errorf("member %s of cluster %s reports generation %d and attempt %d: %w: it raised them less than %v ago", member, cluster, generation, attempt, ErrOften, raiseEvery)
	}
	err = r.change(ctx, by, func(tx store.Tx, _ int64) (management.Event, error) {
		var none management.Event
		c, _, err := readMember(tx, cluster, member)
		if err != nil {
			return none, err
		}
		n, news, err = reported(c, member, generation, attempt)
		if err != nil || !news {
			return none, err
		}
		was := c.Numbers
		c.Numbers = n
		e := management.Event{Action: "numbers.report", Cluster: cluster, Object: member, Detail: map[string]string{
			"generation": strconv.FormatUint(generation, 10), "attempt": strconv.FormatUint(attempt, 10)}}
		if generation > was.Generation || attempt > was.Attempt {
			e.Detail["known"] = fmt.Sprintf("generation %d, attempt %d", was.Generation, was.Attempt)
		}
		if !n.Unsure {
			e.Detail["sure"] = "yes"
		}
		return e, writeCluster(tx, c)
	})
	return n, err
}

func reported(c management.Cluster, member string, generation, attempt uint64) (management.Numbers, bool, error) {
	if generation > c.Numbers.Generation+maxLeap || attempt > c.Numbers.Attempt+maxLeap {
		return c.Numbers, false, fmt.Errorf("member %s of cluster %s reports generation %d and attempt %d: %w: management gave %d and %d at most; if it forgot so many, name the numbers yourself",
			member, c.Name, generation, attempt, management.ErrValue, c.Numbers.Generation, c.Numbers.Attempt)
	}
	n, news := c.Numbers.Reported(member, c.Members, generation, attempt)
	return n, news, nil
}

// NameNumbers says that an operator knows the highest generation and attempt that a cluster's members may have seen, which ends the wait for members
// that cannot report. They are not below those that management knows.
func (r *Records) NameNumbers(ctx context.Context, by management.Actor, cluster string, generation, attempt uint64) (n management.Numbers, err error) {
	err = r.change(ctx, by, func(tx store.Tx, _ int64) (management.Event, error) {
		c, err := readCluster(tx, cluster)
		if err != nil {
			return management.Event{}, err
		}
		if generation < c.Numbers.Generation || attempt < c.Numbers.Attempt {
			return management.Event{}, fmt.Errorf("cluster %s: generation %d and attempt %d: %w: at least %d and %d, which are known", cluster, generation, attempt,
				management.ErrValue, c.Numbers.Generation, c.Numbers.Attempt)
		}
		if max(generation, attempt) > maxNumber {
			return management.Event{}, fmt.Errorf("cluster %s: generation %d and attempt %d: %w: at most %d", cluster, generation, attempt, management.ErrValue, uint64(maxNumber))
		}
		n = management.Numbers{Generation: generation, Attempt: attempt, Epoch: c.Numbers.Epoch}
		c.Numbers = n
		return management.Event{Action: "numbers.name", Cluster: cluster, Detail: map[string]string{
			"generation": strconv.FormatUint(generation, 10), "attempt": strconv.FormatUint(attempt, 10)}}, writeCluster(tx, c)
	})
	return n, err
}

// sure refuses to number while numbers are unsure.
func sure(c management.Cluster) error {
	if c.Numbers.Unsure {
		return &management.UnsureError{Cluster: c.Name, Missing: c.Numbers.Missing(c.Members)}
	}
	return nil
}

func readEpoch(s store.Reader) (uint64, error) { return readOr[uint64](s, epochKey, "epoch") }
