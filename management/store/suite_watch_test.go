// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

// expect takes changes until all of keys have come, or the channel says that some were lost.
func expect(t *testing.T, changes <-chan Changes, keys ...string) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for len(keys) > 0 {
		select {
		case c, ok := <-changes:
			if !ok {
				t.Fatalf("the watch ended before %q", keys)
			}
			if c.Lost {
				return
			}
			for _, k := range c.Keys {
				i := slices.Index(keys, k)
				if i < 0 {
					t.Fatalf("told of %q while waiting for %q", k, keys)
				}
				keys = slices.Delete(keys, i, i+1)
			}
		case <-deadline:
			t.Fatalf("not told of %q", keys)
		}
	}
}

func TestWatch(t *testing.T) {
	onBoth(t, func(t *testing.T, a, b Store) {
		set(t, a, "w/before", "")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		changes, err := a.Watch(ctx, "w/")
		if err != nil {
			t.Fatal(err)
		}
		everything, err := b.Watch(ctx, "")
		if err != nil {
			t.Fatal(err)
		}
		set(t, b, "w/1", "", "v", "")
		expect(t, changes, "w/1")
		expect(t, everything, "w/1", "v")
		if err := a.Update(t.Context(), func(tx Tx) error { return tx.Delete("w/1") }); err != nil {
			t.Fatal(err)
		}
		expect(t, changes, "w/1")
		set(t, a, "w/2", "")
		set(t, b, "w/3", "")
		expect(t, changes, "w/2", "w/3")
		cancel()
		for range changes {
		}
	})
}

func TestLease(t *testing.T) {
	onBoth(t, func(t *testing.T, a, b Store) {
		changes, err := b.Watch(t.Context(), "!lease/")
		if err != nil {
			t.Fatal(err)
		}
		first, err := a.Acquire(t.Context(), "attempt/7", "mgmt-a", 2*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, changes, "!lease/attempt/7")
		_, err = b.Acquire(t.Context(), "attempt/7", "mgmt-b", 2*time.Second)
		if !errors.Is(err, ErrHeld) || err.Error() != "store: lease attempt/7: the lease is held by mgmt-a" {
			t.Fatalf("the second holder: %v", err)
		}
		other, err := b.Acquire(t.Context(), "attempt/8", "mgmt-b", 2*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, changes, "!lease/attempt/8")
		select {
		case <-first.Done():
			t.Fatal("it ended although its holder is there")
		default:
		}
		if err := first.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-first.Done()
		expect(t, changes, "!lease/attempt/7")
		again, err := b.Acquire(t.Context(), "attempt/7", "mgmt-b", 2*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(again.Release(t.Context()), other.Release(t.Context())); err != nil {
			t.Fatal(err)
		}
	})
}
