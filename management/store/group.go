// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"iter"
	"sync"
)

// group makes one transaction of the backend of all updates that wait for one: what one costs is the disk's, or the way to etcd, and hardly depends on
// how much it changes. Each update sees what those before it in the same transaction write, and hears what came of it when that is durable: an
// answer that rests on what is not written yet waits for it, a refusal too.
type group struct {
	b    backend
	sure bool // a commit ends soon, one way or the other: who asked for it waits, even if there is no time left

	mu      sync.Mutex
	queue   []*pending
	running bool
	wg      sync.WaitGroup
}

// pending is an update that waits.
type pending struct {
	ctx  context.Context //nolint:containedctx // of who waits
	fn   func(snapshot) ([]write, error)
	done chan error

	mu   sync.Mutex // held while fn runs
	ran  bool
	left bool // whoever asked has gone: fn is not to be called any more. It is set once
	err  error
	died any // what fn panicked with
}

// update is that of backend.
func (g *group) update(ctx context.Context, fn func(snapshot) ([]write, error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p := &pending{ctx: ctx, fn: fn, done: make(chan error, 1)}
	g.mu.Lock()
	g.queue = append(g.queue, p)
	if !g.running {
		g.running = true
		g.wg.Go(g.run)
	}
	g.mu.Unlock()
	select {
	case err := <-p.done:
		return p.outcome(err)
	case <-ctx.Done():
	}
	p.mu.Lock()
	ran := p.ran
	p.left = !ran || !g.sure
	p.mu.Unlock()
	if !p.left {
		return p.outcome(<-p.done)
	}
	select {
	case err := <-p.done:
		return p.outcome(err)
	default:
	}
	if ran {
		return fmt.Errorf("store: %w: %w", ErrUnknown, ctx.Err())
	}
	return fmt.Errorf("store: %w: %w", ErrUnavailable, ctx.Err())
}

// outcome is what whoever asked is told.
func (p *pending) outcome(err error) error {
	if p.died != nil {
		panic(p.died)
	}
	return err
}

// run commits until nobody waits.
func (g *group) run() {
	for {
		g.mu.Lock()
		queue := g.queue
		g.queue = nil
		if len(queue) == 0 {
			g.running = false
			g.mu.Unlock()
			return
		}
		g.mu.Unlock()
		took := 0
		err := g.b.update(context.Background(), func(s snapshot) (writes []write, err error) {
			writes, took = together(s, queue)
			return writes, nil
		})
		if took == 0 { // it did not come so far
			took = len(queue)
		}
		for _, p := range queue[:took] {
			if err == nil {
				p.done <- p.err
			} else {
				p.done <- err
			}
		}
		g.mu.Lock()
		g.queue = append(queue[took:], g.queue...)
		g.mu.Unlock()
	}
}

// wait returns when nothing is under way.
func (g *group) wait() { g.wg.Wait() }

// together runs updates one after another, as many as fit one transaction: at least the first.
func together(s snapshot, queue []*pending) (all []write, took int) {
	t := &tx{under: s, writes: map[string][]byte{}}
	size := 0
	for i, p := range queue {
		writes, err := p.run(overlay{t})
		more, grown := len(t.writes), size
		for _, w := range writes {
			old, there := t.writes[w.key]
			if grown += len(w.value); there {
				grown -= len(old)
				continue
			}
			more, grown = more+1, grown+len(w.key)
		}
		if err == nil && i > 0 && (more > MaxOps || grown > MaxTx) {
			return t.merged(), i
		}
		if p.err = err; err != nil {
			continue
		}
		size = grown
		for _, w := range writes {
			t.writes[w.key] = w.value
		}
	}
	return t.merged(), len(queue)
}

// run calls fn, unless whoever asked has gone.
func (p *pending) run(s snapshot) (writes []write, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.ctx.Err(); err != nil && !p.ran || p.left {
		return nil, err
	}
	defer func() {
		if p.died = recover(); p.died != nil {
			writes, err = nil, fmt.Errorf("store: an update failed: %v", p.died)
		}
	}()
	p.ran = true
	return p.fn(s)
}

// overlay is a state with what is to be written on it.
type overlay struct{ t *tx }

func (o overlay) get(key string) ([]byte, bool, error) {
	if value, written := o.t.writes[key]; written {
		if value == nil {
			return nil, false, nil
		}
		return append([]byte{}, value...), true, nil
	}
	return o.t.under.get(key)
}

func (o overlay) scan(prefix, after string) iter.Seq2[Item, error] { return o.t.scan(prefix, after) }
