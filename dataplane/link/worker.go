// SPDX-License-Identifier: Apache-2.0

package link

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Op is what a Result is about.
type Op uint8

const (
	// OpApply is the end of an Apply.
	OpApply Op = iota + 1
	// OpServing is the end of a SetServing.
	OpServing
	// OpQuery is the answer to a Query.
	OpQuery
)

func (o Op) String() string {
	switch o {
	case OpApply:
		return "apply"
	case OpServing:
		return "set serving"
	case OpQuery:
		return "query"
	}
	return fmt.Sprintf("op %d", uint8(o))
}

// Result says how something that the Worker was asked for ended.
type Result struct {
	Op    Op
	Index int   // OpQuery: the interface asked about
	Group uint8 // OpServing
	State State // OpQuery, if Err is nil
	Err   error
}

// resultBuffer is how many results wait for the reader before the Worker does.
const resultBuffer = 64

// Worker does for a loop that must not wait what can wait for long: nearly every request to the kernel about interfaces takes
// one lock (RTNL), and some driver may be holding it for seconds. Its methods return at once and are safe for concurrent use.
type Worker struct {
	log        *slog.Logger
	apply      func(Desired) error
	setServing func(uint8, bool) error
	open       func() (ask func(int) (State, error), done func(), err error)

	results       chan Result
	changed, asks chan struct{} // hold one signal each

	mu    sync.Mutex
	queue queue
}

// NewWorker returns a Worker for host that does nothing until Serve runs; what it is told before is kept. log may be nil.
func NewWorker(host *Host, log *slog.Logger) *Worker {
	return newWorker(host.Apply, host.SetServing, openQueries, log)
}

func newWorker(apply func(Desired) error, setServing func(uint8, bool) error,
	open func() (func(int) (State, error), func(), error), log *slog.Logger,
) *Worker {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Worker{
		log: log, apply: apply, setServing: setServing, open: open, results: make(chan Result, resultBuffer),
		changed: make(chan struct{}, 1), asks: make(chan struct{}, 1),
	}
}

// Apply asks for Host.Apply. The newest call wins: one that had not begun is dropped and has no Result. d must not be
// changed afterwards.
func (w *Worker) Apply(d Desired) {
	w.mu.Lock()
	w.queue.apply(d)
	w.mu.Unlock()
	signal(w.changed)
}

// SetServing asks for Host.SetServing. The newest call for a group wins: one that had not begun is dropped and has no Result.
// It goes before an Apply that has not begun.
func (w *Worker) SetServing(group uint8, serving bool) {
	w.mu.Lock()
	w.queue.setServing(group, serving)
	w.mu.Unlock()
	signal(w.changed)
}

// Query asks for Query. Asking again before it began gives one Result; asking while it runs gives another one, since that
// may have looked before whatever made the caller ask again. Queries do not wait for Apply.
func (w *Worker) Query(index int) {
	w.mu.Lock()
	w.queue.query(index)
	w.mu.Unlock()
	signal(w.asks)
}

// Results delivers what ended. Queries end in the order asked; changes likewise; the two are independent. The reader should
// keep up: until it does nothing further begins, but no caller waits.
func (w *Worker) Results() <-chan Result { return w.results }

// Serve works until ctx ends, in the network namespace of the calling thread; then it waits for the request that runs, and drops
// the others.
func (w *Worker) Serve(ctx context.Context) error {
	ask, done, err := w.open()
	if err != nil {
		return fmt.Errorf("link worker: %w", err)
	}
	defer done()
	var queries sync.WaitGroup
	defer queries.Wait()
	queries.Go(func() {
		w.run(ctx, w.asks, func() (Result, bool) {
			index, ok := take(w, (*queue).nextQuery)
			if !ok {
				return Result{}, false
			}
			r := Result{Op: OpQuery, Index: index}
			r.State, r.Err = ask(index)
			return r, true
		})
	})
	w.run(ctx, w.changed, func() (Result, bool) {
		c, ok := take(w, (*queue).nextChange)
		if !ok {
			return Result{}, false
		}
		r := Result{Op: c.op, Group: c.group}
		if c.op == OpApply {
			r.Err = w.apply(c.desired)
		} else {
			r.Err = w.setServing(c.group, c.serving)
		}
		return r, true
	})
	return nil
}

// run does step after step while there is something, then waits for a signal.
func (w *Worker) run(ctx context.Context, wake <-chan struct{}, step func() (Result, bool)) {
	for ctx.Err() == nil {
		r, ok := step()
		if !ok {
			select {
			case <-ctx.Done():
			case <-wake:
			}
			continue
		}
		if r.Err != nil {
			w.log.Debug("link worker", "operation", r.Op, "interface", r.Index, "reason", r.Err)
		}
		select {
		case w.results <- r:
		case <-ctx.Done():
		}
	}
}

// take takes what next gives from the queue under the lock.
func take[T any](w *Worker, next func(*queue) (T, bool)) (T, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return next(&w.queue)
}

func signal(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// openQueries returns Query over a socket of its own, so that it waits for nobody else's request.
func openQueries() (ask func(int) (State, error), done func(), err error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, nil, fmt.Errorf("netlink: %w", err)
	}
	ask = func(index int) (State, error) {
		l, err := h.LinkByIndex(index)
		if err != nil {
			return State{}, fmt.Errorf("interface %d: %w", index, err)
		}
		return stateOf(l), nil
	}
	return ask, h.Close, nil
}
