// SPDX-License-Identifier: Apache-2.0

package records

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/store"
	"github.com/holdfast-project/holdfast/policy"
)

// BeginAttempt numbers an attempt, of which Cluster, Policy.Generation, Replies (a member each, and those left out) and the choices are given, and
// writes it down. The error wraps
//   - ErrBusy while another attempt of the cluster is under way,
//   - ErrDeclined if the generation was rolled back once,
//   - policy.ErrOlder if it is older than the current one,
//   - management.ErrNumbersUnsure while no number may be given.
func (r *Records) BeginAttempt(ctx context.Context, by management.Actor, a management.Attempt) (begun management.Attempt, err error) {
	err = r.change(ctx, by, func(tx store.Tx, now int64) (management.Event, error) {
		var none management.Event
		c, err := readCluster(tx, a.Cluster)
		if err == nil {
			err = sure(c)
		}
		if err == nil {
			err = notBusy(tx, c)
		}
		if err != nil {
			return none, err
		}
		begun = a
		begun.Policy, err = installable(tx, c, a.Policy.Generation)
		if err != nil {
			return none, err
		}
		if err := begun.Validate(); err != nil {
			return none, err
		}
		for _, reply := range a.Replies {
			if !c.Has(reply.Member) {
				return none, fmt.Errorf("%s: %w %s", reply.Member, ErrMember, c.Name)
			}
		}
		begun.Number, begun.Before, begun.Earlier, begun.By = c.Numbers.Attempt+1, c.Current, c.Previous, by.String()
		begun.Phase, begun.Why, begun.Begun = management.Preparing, "", now
		begun.Decided, begun.Settled, begun.Ended = 0, 0, 0
		c.Numbers.Attempt, c.Attempt = begun.Number, begun.Number
		e := attemptEvent("install.begin", begun)
		e.Detail["best-effort"] = strconv.FormatBool(begun.BestEffort)
		e.Detail["confirmed-by"] = map[bool]string{true: "a person", false: "management"}[begun.Manual]
		return e, errors.Join(writeCluster(tx, c), writeAttempt(tx, begun))
	})
	return begun, err
}

func notBusy(s store.Reader, c management.Cluster) error {
	if c.Attempt == 0 {
		return nil
	}
	a, err := readAttempt(s, c.Name, c.Attempt)
	if err == nil && !a.Phase.Over() {
		err = fmt.Errorf("cluster %s: %w: attempt %d, generation %d, begun by %s, is %s: wait for it or abort it", c.Name, ErrBusy, a.Number, a.Policy.Generation, a.By, a.Phase)
	}
	return err
}

func installable(s store.Reader, c management.Cluster, generation uint64) (management.Ref, error) {
	rec, err := read[policyRecord](s, policyKey(c.Name, generation), policyName(c.Name, generation))
	switch {
	case err != nil:
		return management.Ref{}, err
	case rec.Declined != 0:
		return management.Ref{}, fmt.Errorf("%s: %w by attempt %d, and members do not take it again: install its file anew", policyName(c.Name, generation), ErrDeclined, rec.Declined)
	case generation < c.Current.Generation:
		return management.Ref{}, fmt.Errorf("%s: %w: %d is current; to go back, make a new generation of the old content", policyName(c.Name, generation), policy.ErrOlder, c.Current.Generation)
	}
	return rec.Ref(), nil
}

// Decide moves an attempt on, once: of several servers that decide at the same time one does, and the others are told with management.ErrDecided what
// it is, in the attempt returned. To decide again what is decided changes nothing. replies, unless nil, are written down with it.
//
// A commit makes the policy the one that recovering members are offered; a rollback makes the one before that again, and declines the generation.
func (r *Records) Decide(ctx context.Context, by management.Actor, cluster string, number uint64, to management.Phase, why string, replies []management.Reply) (a management.Attempt, err error) {
	err = r.change(ctx, by, func(tx store.Tx, now int64) (management.Event, error) {
		var none management.Event
		var changed bool
		if a, err = readAttempt(tx, cluster, number); err != nil {
			return none, err
		}
		a, changed, err = a.Move(to, why, replies, now)
		if err != nil || !changed {
			return none, err
		}
		e := attemptEvent("install."+to.String(), a)
		if why != "" {
			e.Detail["why"] = cut(why)
		}
		return e, errors.Join(follow(tx, a), writeAttempt(tx, a))
	})
	return a, err
}

// follow makes of the cluster and the policy what a decision says.
func follow(tx store.Tx, a management.Attempt) error {
	switch a.Phase {
	case management.Committed:
		c, err := readCluster(tx, a.Cluster)
		if err != nil {
			return err
		}
		if c.Current != a.Policy { // the same one again, for members that were left out
			c.Previous, c.Current = c.Current, a.Policy
		}
		return writeCluster(tx, c)
	case management.RolledBack:
		if a.Before == a.Policy {
			return nil // it was current before the attempt, and is
		}
		c, err := readCluster(tx, a.Cluster)
		if err != nil {
			return err
		}
		c.Current, c.Previous = a.Before, a.Earlier
		rec, err := read[policyRecord](tx, policyKey(a.Cluster, a.Policy.Generation), policyName(a.Cluster, a.Policy.Generation))
		if err != nil {
			return err
		}
		rec.Declined = a.Number
		return errors.Join(writeCluster(tx, c), write(tx, policyKey(a.Cluster, rec.Generation), rec))
	default:
		return nil
	}
}

// EndAttempt writes down that nobody is left to be told of a settled attempt, or that management gives up telling, with what members said.
func (r *Records) EndAttempt(ctx context.Context, by management.Actor, cluster string, number uint64, replies []management.Reply) (a management.Attempt, err error) {
	err = r.change(ctx, by, func(tx store.Tx, now int64) (management.Event, error) {
		var none management.Event
		if a, err = readAttempt(tx, cluster, number); err != nil {
			return none, err
		}
		if a.Ended != 0 {
			return none, nil
		}
		if !a.Phase.Over() {
			return none, fmt.Errorf("attempt %d of cluster %s: %w: it is %s, and must be decided before it ends", number, cluster, management.ErrValue, a.Phase)
		}
		a.Ended = now
		if replies != nil {
			a.Replies = replies
		}
		e := attemptEvent("install.end", a)
		for _, reply := range a.Replies {
			e.Detail["member "+reply.Member] = reply.State.String()
		}
		return e, writeAttempt(tx, a)
	})
	return a, err
}

func attemptEvent(action string, a management.Attempt) management.Event {
	return management.Event{Action: action, Cluster: a.Cluster, Object: strconv.FormatUint(a.Number, 10),
		Detail: map[string]string{"generation": strconv.FormatUint(a.Policy.Generation, 10), "digest": a.Policy.Digest.Short()}}
}

func readAttempt(s store.Reader, cluster string, number uint64) (management.Attempt, error) {
	return read[management.Attempt](s, attemptKey(cluster, number), fmt.Sprintf("cluster %s, attempt %d", cluster, number))
}

func writeAttempt(tx store.Tx, a management.Attempt) error {
	if err := write(tx, attemptKey(a.Cluster, a.Number), a); err != nil {
		return err
	}
	open, err := readOr[[]uint64](tx, openKey(a.Cluster), "attempts that have not ended")
	if err != nil {
		return err
	}
	open = slices.DeleteFunc(open, func(n uint64) bool { return n == a.Number })
	if a.Ended == 0 {
		open = append(open, a.Number)
	}
	slices.Sort(open)
	if len(open) == 0 {
		return tx.Delete(openKey(a.Cluster))
	}
	return write(tx, openKey(a.Cluster), open)
}

// Attempt reads one.
func (r *Records) Attempt(ctx context.Context, cluster string, number uint64) (a management.Attempt, err error) {
	err = r.store.View(ctx, func(s store.Reader) error {
		a, err = readAttempt(s, cluster, number)
		return err
	})
	return a, err
}

// Attempts reads all of a cluster, the oldest first.
func (r *Records) Attempts(ctx context.Context, cluster string) ([]management.Attempt, error) {
	if _, err := r.Cluster(ctx, cluster); err != nil {
		return nil, err
	}
	return list[management.Attempt](ctx, r, "attempt/"+cluster+"/")
}

// OpenAttempts reads those of all clusters that have not ended: what a server that starts, or takes over, goes on with. Those that skip names are left
// out; nil: none.
func (r *Records) OpenAttempts(ctx context.Context, skip func(cluster string, number uint64) bool) (all []management.Attempt, err error) {
	err = r.store.View(ctx, func(s store.Reader) error {
		all = []management.Attempt{}
		for item, err := range s.Scan("open/", "") {
			if err != nil {
				return err
			}
			open, err := read[[]uint64](s, item.Key, "attempts that have not ended")
			if err != nil {
				return err
			}
			cluster := item.Key[len("open/"):]
			for _, n := range open {
				if skip != nil && skip(cluster, n) {
					continue
				}
				a, err := readAttempt(s, cluster, n)
				if err != nil {
					return err
				}
				all = append(all, a)
			}
		}
		return nil
	})
	return all, err
}
