// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
)

// memory is a backend whose commits a test holds up, counts and lets fail.
type memory struct {
	backend // the methods that no update needs
	begun   chan struct{}
	let     chan error // what the commit that has begun ends with

	mu      sync.Mutex
	values  map[string][]byte
	commits []int // how many writes each had
}

func (m *memory) get(key string) ([]byte, bool, error) {
	value, ok := m.values[key]
	return value, ok, nil
}

func (m *memory) scan(prefix, after string) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		for _, key := range slices.Sorted(maps.Keys(m.values)) {
			if strings.HasPrefix(key, prefix) && key > after && !yield(Item{key, m.values[key]}, nil) {
				return
			}
		}
	}
}

func (m *memory) update(_ context.Context, fn func(snapshot) ([]write, error)) error {
	writes, err := fn(m)
	if err != nil {
		return err
	}
	m.begun <- struct{}{}
	if err := <-m.let; err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.commits = append(m.commits, len(writes))
	for _, w := range writes {
		if m.values[w.key] = w.value; w.value == nil {
			delete(m.values, w.key)
		}
	}
	return nil
}

func (m *memory) close() error { return nil }

// grouped is a store of which the first commit is under way, and what waits behind it.
func grouped(t *testing.T) (s base, m *memory, ask func(ctx context.Context, fn func(Tx) error) <-chan error) {
	t.Helper()
	m = &memory{begun: make(chan struct{}), let: make(chan error), values: map[string][]byte{}}
	s = newBase(m, false).(base)
	ask = func(ctx context.Context, fn func(Tx) error) <-chan error {
		s.group.mu.Lock()
		before := len(s.group.queue)
		s.group.mu.Unlock()
		done := make(chan error, 1)
		go func() {
			defer func() {
				if p := recover(); p != nil {
					done <- fmt.Errorf("panic: %v", p)
				}
			}()
			done <- s.Update(ctx, fn)
		}()
		for { // until it waits, in this order
			s.group.mu.Lock()
			n := len(s.group.queue)
			s.group.mu.Unlock()
			if n > before {
				return done
			}
		}
	}
	first := make(chan error, 1)
	go func() { first <- s.Update(t.Context(), func(tx Tx) error { return tx.Put("n", []byte("0")) }) }()
	<-m.begun
	t.Cleanup(func() {
		if err := <-first; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, m, ask
}

// What waits together is written together; each hears its own answer.
func TestGroup(t *testing.T) {
	_, m, ask := grouped(t)
	errBusy := errors.New("busy")
	one := ask(t.Context(), func(tx Tx) error { return increment(tx, "n") })
	two := ask(t.Context(), func(tx Tx) error {
		if err := tx.Put("lost", nil); err != nil {
			return err
		}
		if v, err := tx.Get("n"); err != nil || string(v) != "1" {
			t.Errorf("it sees %q, %v, of what was before it", v, err)
		}
		return errBusy
	})
	died := ask(t.Context(), func(Tx) error { panic("dead") })
	ctx, cancel := context.WithCancel(t.Context())
	gone := ask(ctx, func(tx Tx) error { return tx.Put("gone", nil) })
	three := ask(t.Context(), func(tx Tx) error {
		return errors.Join(increment(tx, "n"), tx.Put("empty", nil), tx.Delete("none"))
	})
	cancel()
	if err := <-gone; !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("it has gone: %v", err)
	}
	m.let <- nil
	<-m.begun
	select {
	case err := <-two:
		t.Errorf("refused for what is not written yet: %v", err)
	default:
	}
	m.let <- nil
	for name, c := range map[string]struct {
		got  error
		want string
	}{"one": {<-one, "<nil>"}, "two": {<-two, "busy"}, "died": {<-died, "panic: dead"}, "three": {<-three, "<nil>"}} {
		if fmt.Sprint(c.got) != c.want {
			t.Errorf("%s: %v", name, c.got)
		}
	}
	if got := fmt.Sprint(m.commits); got != "[2 3]" || string(m.values["n"]) != "2" || m.values["empty"] == nil {
		t.Errorf("commits of %s writes, %q", got, m.values)
	}
	if _, there := m.values["gone"]; there || m.values["lost"] != nil {
		t.Errorf("what was refused, or not wanted any more, is written: %q", m.values)
	}
}

// A commit that fails is everybody's failure, also of who was refused beside it; who leaves then does not know.
func TestGroupFails(t *testing.T) {
	_, m, ask := grouped(t)
	one := ask(t.Context(), func(tx Tx) error { return increment(tx, "n") })
	two := ask(t.Context(), func(Tx) error { return errors.New("busy") })
	ctx, cancel := context.WithCancel(t.Context())
	left := ask(ctx, func(tx Tx) error { return increment(tx, "n") })
	m.let <- nil
	<-m.begun
	cancel()
	if err := <-left; !errors.Is(err, ErrUnknown) || !errors.Is(err, context.Canceled) {
		t.Errorf("gone in the middle of a commit: %v", err)
	}
	m.let <- fmt.Errorf("disk: %w", ErrUnknown)
	if err1, err2 := <-one, <-two; !errors.Is(err1, ErrUnknown) || !errors.Is(err2, ErrUnknown) {
		t.Errorf("%v, %v", err1, err2)
	}
	if string(m.values["n"]) != "0" {
		t.Errorf("n is %s", m.values["n"])
	}
}

// Where a commit is sure to end, who has no time left hears all the same how.
func TestGroupSure(t *testing.T) {
	s, m, ask := grouped(t)
	s.group.sure = true
	ctx, cancel := context.WithCancel(t.Context())
	one := ask(ctx, func(tx Tx) error { return increment(tx, "n") })
	m.let <- nil
	<-m.begun
	cancel()
	if err := s.Update(ctx, func(tx Tx) error { return increment(tx, "n") }); !errors.Is(err, context.Canceled) {
		t.Errorf("it came too late: %v", err)
	}
	m.let <- nil
	if err := <-one; err != nil || string(m.values["n"]) != "1" {
		t.Errorf("%v, n is %s", err, m.values["n"])
	}
}

// What does not fit one transaction waits for the next.
func TestGroupBounds(t *testing.T) {
	_, m, ask := grouped(t)
	var all []<-chan error
	for i := range 5 {
		all = append(all, ask(t.Context(), func(tx Tx) error {
			for j := range 45 {
				if err := tx.Put(fmt.Sprintf("%d-%d", i, j), []byte("x")); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	big := ask(t.Context(), func(tx Tx) error { return tx.Put("big", make([]byte, MaxValue)) })
	again := ask(t.Context(), func(tx Tx) error { return tx.Put("again", make([]byte, MaxValue)) })
	over := ask(t.Context(), func(tx Tx) error { return tx.Put("over", make([]byte, MaxValue+1)) })
	m.let <- nil
	for range 4 {
		<-m.begun
		m.let <- nil
	}
	for _, done := range append(all, big, again) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if err := <-over; !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large by itself: %v", err)
	}
	if got := fmt.Sprint(m.commits); got != "[2 90 90 46 1]" {
		t.Errorf("commits of %s writes", got)
	}
}
