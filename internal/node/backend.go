// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/members"
)

// backend answers the operator's API. Its methods run on the API's goroutines and ask the loop: a reload replaces what belongs to it.
type backend struct{ n *node }

// ask runs f on the loop and returns what it returns.
func ask[T any](ctx context.Context, n *node, f func(now int64) (T, error)) (T, error) {
	type answer struct {
		v   T
		err error
	}
	done := make(chan answer, 1)
	var none T
	select {
	case n.asks <- func() { v, err := f(bpf.Boottime()); done <- answer{v, err} }:
	case <-ctx.Done():
		return none, ctx.Err()
	case <-n.left:
		return none, errLeaving
	}
	select {
	case a := <-done:
		return a.v, a.err
	case <-ctx.Done():
		return none, ctx.Err()
	case <-n.left:
		select {
		case a := <-done: // answered just before the end
			return a.v, a.err
		default:
			return none, errLeaving
		}
	}
}

var errLeaving = &control.Error{Code: control.CodeUnavailable, What: "this daemon is ending", WayOut: "ask again when it is back"}

// wait is an API request that waits until the machine has got somewhere.
type wait struct {
	ctx  context.Context //nolint:containedctx // of the request that waits
	done func(members.View) bool
	tell chan<- members.View
}

// checkWaits answers the requests whose wait is over.
func (n *node) checkWaits() {
	if len(n.waits) == 0 {
		return
	}
	v := n.machine.View(bpf.Boottime())
	rest := n.waits[:0]
	for _, w := range n.waits {
		switch {
		case w.ctx.Err() != nil:
		case w.done(v):
			w.tell <- v
		default:
			rest = append(rest, w)
		}
	}
	n.waits = rest
}

// pendingError says that an order was accepted and has not been carried out yet. The machine goes on with it.
type pendingError struct{ error }

// Unwrap implements errors' chain.
func (e pendingError) Unwrap() error { return e.error }

// orderAndWait gives the machine an order and waits until done says that it has been carried out. When ctx ends before, the error is a
// pendingError.
func (b *backend) orderAndWait(ctx context.Context, order members.Event, done func(members.View) bool) (members.View, error) {
	tell := make(chan members.View, 1)
	_, err := ask(ctx, b.n, func(int64) (struct{}, error) {
		b.n.order(order)
		b.n.waits = append(b.n.waits, wait{ctx, done, tell})
		return struct{}{}, nil
	})
	if err != nil {
		return members.View{}, err
	}
	select {
	case v := <-tell:
		return v, nil
	case <-ctx.Done():
		return members.View{}, pendingError{ctx.Err()}
	case <-b.n.left:
		select {
		case v := <-tell:
			return v, nil
		default:
			return members.View{}, errLeaving
		}
	}
}

// patience is how long an order waits for its effect before it says what holds it up.
const patience = 5 * time.Second

// Failover implements control.Backend.
func (b *backend) Failover(ctx context.Context, r control.FailoverRequest) (control.Result, error) {
	if r.End {
		_, err := b.orderAndWait(ctx, members.Admin{Kind: members.AdminForceEnd}, func(v members.View) bool { return v.ForcedTo == members.Nobody })
		return control.Result{Done: "no hand-over is forced any more; the normal rule decides"}, err
	}
	target, err := ask(ctx, b.n, func(int64) (uint8, error) { return b.n.target(r.To) })
	if err != nil {
		return control.Result{}, err
	}
	if r.For < 0 {
		return control.Result{}, control.Invalid(fmt.Sprintf("for: %v is negative", time.Duration(r.For)), "give a duration such as 10m")
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	v, err := b.orderAndWait(ctx, members.Admin{Kind: members.AdminForceTo, Target: target, For: time.Duration(r.For)},
		func(v members.View) bool { return v.Active == target || v.ForcedTo != target })
	held := ""
	if r.For == 0 || err != nil || v.Active != target {
		// The order was to move the gateway now, not to pounce on it later or to hold it there.
		as, e := ask(context.WithoutCancel(ctx), b.n, func(now int64) (string, error) {
			before := b.n.machine.View(now)
			if before.ForcedTo == target { // else another order holds by now
				b.n.step(members.Admin{Kind: members.AdminForceEnd})
			}
			return fmt.Sprintf("it is %s: %s", b.n.shownState(&before, target), before.Members[target].Reason), nil
		})
		if held = as; err == nil {
			err = e
		}
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return control.Result{}, control.Refused(fmt.Sprintf("%s has not taken over within %v: %s", r.To, patience, held), "holdfast why "+r.To+" says more")
	case err != nil:
		return control.Result{}, err
	case v.Active != target:
		return control.Result{}, control.Refused(fmt.Sprintf("%s cannot take over: %s", r.To, v.Members[target].Reason), "holdfast why "+r.To+" says more")
	}
	done := r.To + " serves"
	if r.For > 0 {
		done += fmt.Sprintf(", and is kept there for %v", time.Duration(r.For))
	}
	return control.Result{Done: done}, nil
}

// ResetFailovers implements control.Backend.
func (b *backend) ResetFailovers(ctx context.Context, r control.ResetRequest) (control.Result, error) {
	return ask(ctx, b.n, func(now int64) (control.Result, error) {
		if r.Counter {
			b.n.step(members.Admin{Kind: members.AdminResetFailovers})
		}
		b.n.trace.Reset(r.Counter, r.History, b.n.trace.at(now))
		return control.Result{Done: "reset"}, nil
	})
}

// Admin implements control.Backend.
func (b *backend) Admin(ctx context.Context, r control.AdminRequest) (control.Result, error) {
	order := members.AdminDown
	if r.Up {
		order = members.AdminUp
	}
	if r.Up || r.Permanent {
		if err := b.n.store.setAdminDown(!r.Up); err != nil {
			return control.Result{}, err
		}
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	v, err := b.orderAndWait(waiting, members.Admin{Kind: order}, func(v members.View) bool {
		return r.Up || v.State == members.StateDown || v.State == members.StateActiveAttention
	})
	pending := errors.As(err, new(pendingError))
	if pending {
		v, err = ask(ctx, b.n, func(now int64) (members.View, error) { return b.n.machine.View(now), nil })
	}
	if err != nil {
		return control.Result{}, err
	}
	return adminResult(b.n.o.Member, r, v, pending), nil
}

// adminResult says what has become of an order, which may be carried out later only: a member in INIT does not know yet who serves.
func adminResult(self string, r control.AdminRequest, v members.View, pending bool) control.Result {
	state := "down"
	if r.Up {
		state = "up"
	}
	res := control.Result{Done: fmt.Sprintf("%s is administratively %s: %s", self, state, v.State)}
	switch {
	case pending:
		res.Done = fmt.Sprintf("the order is accepted and pending: %s is %s still, and administratively %s as soon as it can be", self, v.State, state)
		if v.Reason != "" {
			res.Details = []string{v.Reason}
		}
	case !r.Up && v.State == members.StateActiveAttention:
		res.Details = []string{"it goes on serving: " + v.Reason}
	}
	if r.Permanent && !r.Up {
		res.Details = append(res.Details, "this survives restarts and reboots, until holdfast admin up")
	}
	return res
}

// Reload implements control.Backend.
func (b *backend) Reload(ctx context.Context) (control.ReloadResult, error) {
	return ask(ctx, b.n, func(int64) (control.ReloadResult, error) { return b.n.reload() })
}

// Stop implements control.Backend.
func (b *backend) Stop(ctx context.Context) (control.Result, error) {
	before, err := ask(ctx, b.n, func(now int64) (members.View, error) { v := b.n.machine.View(now); b.n.beginStop(); return v, nil })
	if err != nil {
		return control.Result{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, stopWithin)
	defer cancel()
	after, err := b.orderAndWait(ctx, members.Tick{}, func(v members.View) bool { return v.Stopped })
	if err != nil && (errors.Is(err, errLeaving) || ctx.Err() != nil) {
		after, err = members.View{Active: members.Nobody}, nil
	}
	return control.Result{Done: stopResult(b.n.o.Member, before, after)}, err
}

// stopResult says what has become of the gateway when a member has stopped, which served before or did not.
func stopResult(self string, before, after members.View) string {
	const ends = "takes back what it set on this host, and ends"
	if !before.State.Serves() {
		return self + " has left the cluster, " + ends
	}
	for _, m := range after.Members {
		if m.ID == after.Active && m.ID != after.Self {
			return self + " has handed over to " + m.Name + ", " + ends
		}
	}
	return self + " " + ends + "; it served, and no other member is known to take over"
}

// Restart implements control.Backend.
func (b *backend) Restart(ctx context.Context) (control.Result, error) {
	return ask(ctx, b.n, func(int64) (control.Result, error) {
		b.n.again = true
		b.n.beginRestart()
		return control.Result{Done: b.n.local.Self.Name + " ends; its gate stays for the daemon that follows"}, nil
	})
}

// number returns the number of the member called name.
func (n *node) number(name string) (uint8, bool) {
	for _, m := range n.cfg.Members {
		if m.Name == name {
			return m.ID, true
		}
	}
	return 0, false
}

// target is number for an operator's order.
func (n *node) target(name string) (uint8, error) {
	if id, ok := n.number(name); ok {
		return id, nil
	}
	return 0, control.NotFound(fmt.Sprintf("there is no member %q", name), "the members are "+strings.Join(n.names(), ", "))
}

func (n *node) names() []string {
	var all []string
	for _, m := range n.cfg.Members {
		all = append(all, m.Name)
	}
	return all
}
