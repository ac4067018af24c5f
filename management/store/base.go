// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
)

// snapshot is one state of a store, as a backend reads it.
type snapshot interface {
	get(key string) (value []byte, ok bool, err error)
	scan(prefix, after string) iter.Seq2[Item, error]
}

// write is one put, or a delete if value is nil.
type write struct {
	key   string
	value []byte
}

// backend is what differs between the stores: where bytes rest.
type backend interface {
	// view calls fn, perhaps several times.
	view(ctx context.Context, fn func(snapshot) error) error
	// update makes the writes that fn returns, if nothing changed since the snapshot that it saw; else it calls fn again.
	update(ctx context.Context, fn func(snapshot) ([]write, error)) error
	watch(ctx context.Context, prefix string) (<-chan Changes, error)
	acquire(ctx context.Context, name, holder string, ttl time.Duration) (Lease, error)
	close() error
}

const (
	stateKey = "!state"
	format   = 1
)

// state is the store's own record.
type state struct {
	Format    int  `json:"format"`
	Restoring bool `json:"restoring,omitempty"`
}

// base is a Store over a backend.
type base struct {
	backend
	group *group
}

func newBase(b backend, sure bool) Store { return base{b, &group{b: b, sure: sure}} }

func readState(s snapshot) (st state, fresh bool, err error) {
	value, ok, err := s.get(stateKey)
	switch {
	case err != nil:
		return st, false, err
	case !ok:
		return state{Format: format}, true, nil
	}
	if err := json.Unmarshal(value, &st); err != nil || st.Format != format {
		return st, false, fmt.Errorf("store: %w: this program knows format %d; the store's state is %.60q", ErrFormat, format, value)
	}
	return st, false, nil
}

func ready(s snapshot) (fresh bool, err error) {
	st, fresh, err := readState(s)
	if err == nil && st.Restoring {
		err = fmt.Errorf("store: %w: restore the backup again", ErrRestoring)
	}
	return fresh, err
}

// View implements Store.
func (b base) View(ctx context.Context, fn func(Reader) error) error {
	return b.view(ctx, func(s snapshot) error {
		if _, err := ready(s); err != nil {
			return err
		}
		return fn(&tx{under: s})
	})
}

// Update implements Store.
func (b base) Update(ctx context.Context, fn func(Tx) error) error {
	return b.group.update(ctx, func(s snapshot) ([]write, error) {
		fresh, err := ready(s)
		if err != nil {
			return nil, err
		}
		t := &tx{under: s, writes: map[string][]byte{}}
		if fresh {
			if err := t.setState(state{Format: format}); err != nil {
				return nil, err
			}
		}
		if err := fn(t); err != nil {
			return nil, err
		}
		return t.result()
	})
}

// Watch implements Store.
func (b base) Watch(ctx context.Context, prefix string) (<-chan Changes, error) {
	return b.watch(ctx, prefix)
}

// Acquire implements Store.
func (b base) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (Lease, error) {
	if err := checkKey(name); err != nil {
		return nil, err
	}
	return b.acquire(ctx, name, holder, ttl)
}

// Close implements Store.
func (b base) Close() error {
	err := b.close()
	b.group.wait()
	return err
}

// tx is a transaction: what a backend has, under what was written since.
type tx struct {
	under  snapshot
	writes map[string][]byte // nil: deleted
}

func checkKey(key string) error {
	bad := key == "" || len(key) > MaxKey || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r == 0x7f })
	if bad {
		return fmt.Errorf("store: %w: %.80q: 1 to %d bytes without control characters", ErrKey, key, MaxKey)
	}
	return nil
}

func own(key string) error {
	if strings.HasPrefix(key, "!") {
		return fmt.Errorf("store: %w: %.80q: what begins with '!' is the store's own", ErrKey, key)
	}
	return checkKey(key)
}

// Get implements Reader.
func (t *tx) Get(key string) ([]byte, error) {
	if err := own(key); err != nil {
		return nil, err
	}
	return t.get(key)
}

func (t *tx) get(key string) ([]byte, error) {
	value, written := t.writes[key]
	if !written {
		var err error
		if value, _, err = t.under.get(key); err != nil {
			return nil, err
		}
	}
	if value == nil {
		return nil, fmt.Errorf("store: %s: %w", key, ErrNone)
	}
	return value, nil
}

// Put implements Tx.
func (t *tx) Put(key string, value []byte) error {
	if err := own(key); err != nil {
		return err
	}
	return t.put(key, value)
}

func (t *tx) put(key string, value []byte) error {
	if len(value) > MaxValue {
		return fmt.Errorf("store: %s: a value of %d bytes: %w: at most %d", key, len(value), ErrTooLarge, MaxValue)
	}
	t.writes[key] = append([]byte{}, value...)
	return nil
}

// Delete implements Tx.
func (t *tx) Delete(key string) error {
	if err := own(key); err != nil {
		return err
	}
	t.writes[key] = nil
	return nil
}

// Scan implements Reader.
func (t *tx) Scan(prefix, after string) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		for item, err := range t.scan(prefix, after) {
			if strings.HasPrefix(item.Key, "!") {
				continue
			}
			if !yield(item, err) {
				return
			}
		}
	}
}

// scan merges two ordered sequences; what was written hides what is under it.
func (t *tx) scan(prefix, after string) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		var written []string
		for key := range t.writes {
			if strings.HasPrefix(key, prefix) && key > after {
				written = append(written, key)
			}
		}
		slices.Sort(written)
		upTo := func(limit string, all bool) bool {
			for len(written) > 0 && (all || written[0] < limit) {
				key := written[0]
				written = written[1:]
				if value := t.writes[key]; value != nil && !yield(Item{key, value}, nil) {
					return false
				}
			}
			return true
		}
		for item, err := range t.under.scan(prefix, after) {
			if err != nil {
				yield(Item{}, err)
				return
			}
			if !upTo(item.Key, false) {
				return
			}
			if _, hidden := t.writes[item.Key]; !hidden && !yield(item, nil) {
				return
			}
		}
		upTo("", true)
	}
}

func (t *tx) setState(st state) error {
	value, err := json.Marshal(st)
	if err != nil {
		return err
	}
	return t.put(stateKey, value)
}

// result are the writes in the order of their keys, within the bounds.
func (t *tx) result() ([]write, error) {
	size := 0
	for key, value := range t.writes {
		size += len(key) + len(value)
	}
	if len(t.writes) > MaxOps || size > MaxTx {
		return nil, fmt.Errorf("store: %d changes, %d bytes: %w: at most %d and %d", len(t.writes), size, ErrTooLarge, MaxOps, MaxTx)
	}
	return t.merged(), nil
}

// merged are the writes in the order of their keys.
func (t *tx) merged() []write {
	all := make([]write, 0, len(t.writes))
	for key, value := range t.writes {
		all = append(all, write{key, value})
	}
	slices.SortFunc(all, func(a, b write) int { return strings.Compare(a.key, b.key) })
	return all
}

// get, put reach the package's own keys.
func get(r Reader, key string) ([]byte, error) {
	if t, ok := r.(*tx); ok {
		return t.get(key)
	}
	return nil, errors.New("store: a reader that is not this package's")
}

func put(t Tx, key string, value []byte) error {
	own, ok := t.(*tx)
	if !ok {
		return errors.New("store: a transaction that is not this package's")
	}
	return own.put(key, value)
}

// leases are below it, by name; Watch tells of them.
const leases = "!lease/"
