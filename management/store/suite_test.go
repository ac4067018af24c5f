// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestTransactions(t *testing.T) {
	onBoth(t, func(t *testing.T, a, b Store) {
		if _, err := value(t, a, "x"); !errors.Is(err, ErrNone) {
			t.Fatalf("an empty store has x: %v", err)
		}
		set(t, a, "a/1", "one", "a/2", "two", "b", "", "a", "no")
		refused := errors.New("refused")
		err := b.Update(t.Context(), func(tx Tx) error {
			if err := errors.Join(tx.Put("a/15", []byte("between")), tx.Delete("a/2"), tx.Put("a/3", []byte("three"))); err != nil {
				return err
			}
			var seen []string
			for item, err := range tx.Scan("a/", "") {
				if err != nil {
					return err
				}
				seen = append(seen, item.Key+"="+string(item.Value))
			}
			if want := []string{"a/1=one", "a/15=between", "a/3=three"}; !slices.Equal(seen, want) {
				t.Errorf("within the transaction: %q", seen)
			}
			if _, err := tx.Get("a/2"); !errors.Is(err, ErrNone) {
				t.Errorf("what was deleted is there: %v", err)
			}
			return refused
		})
		if !errors.Is(err, refused) {
			t.Fatalf("the function's error came as %v", err)
		}
		if got, want := contents(t, b), []string{"a=no", "a/1=one", "a/2=two", "b="}; !slices.Equal(got, want) {
			t.Fatalf("after an error: %q", got)
		}
		err = b.Update(t.Context(), func(tx Tx) error { return errors.Join(tx.Delete("a/1"), tx.Delete("none"), tx.Put("a/2", []byte("2"))) })
		if err != nil {
			t.Fatal(err)
		}
		if got, want := contents(t, a), []string{"a=no", "a/2=2", "b="}; !slices.Equal(got, want) {
			t.Fatalf("after a change: %q", got)
		}
	})
}

func TestScan(t *testing.T) {
	onBoth(t, func(t *testing.T, a, _ Store) {
		for i := 0; i < 300; i += 100 {
			var pairs []string
			for j := range 99 {
				pairs = append(pairs, fmt.Sprintf("k/%03d", i+j), "v")
			}
			set(t, a, pairs...)
		}
		set(t, a, "j", "", "k", "", "k/", "", "k0", "", "l", "")
		for _, c := range []struct {
			prefix, after string
			want          int
			first, last   string
		}{
			{"k/", "", 298, "k/", "k/298"}, {"k/", "k/", 297, "k/000", "k/298"}, {"k/", "k/098", 198, "k/100", "k/298"},
			{"k/", "a", 298, "k/", "k/298"}, {"k/", "k/298", 0, "", ""}, {"k/", "l", 0, "", ""}, {"", "", 302, "j", "l"}, {"z", "", 0, "", ""},
		} {
			var keys []string
			err := a.View(t.Context(), func(r Reader) error {
				keys = nil
				for item, err := range r.Scan(c.prefix, c.after) {
					if err != nil {
						return err
					}
					keys = append(keys, item.Key)
				}
				return nil
			})
			if err != nil || len(keys) != c.want || !slices.IsSorted(keys) {
				t.Errorf("scan %q after %q: %d keys, %v", c.prefix, c.after, len(keys), err)
			} else if len(keys) > 0 && (keys[0] != c.first || keys[len(keys)-1] != c.last) {
				t.Errorf("scan %q after %q: %s to %s", c.prefix, c.after, keys[0], keys[len(keys)-1])
			}
		}
	})
}

func TestBounds(t *testing.T) {
	onBoth(t, func(t *testing.T, a, _ Store) {
		for name, c := range map[string]struct {
			fn   func(tx Tx) error
			want error
		}{
			"no key":      {func(tx Tx) error { return tx.Put("", nil) }, ErrKey},
			"long key":    {func(tx Tx) error { return tx.Put(strings.Repeat("k", MaxKey+1), nil) }, ErrKey},
			"control":     {func(tx Tx) error { return tx.Put("a\nb", nil) }, ErrKey},
			"ours":        {func(tx Tx) error { return tx.Put("!state", nil) }, ErrKey},
			"ours, read":  {func(tx Tx) error { _, err := tx.Get("!turn"); return err }, ErrKey},
			"ours, gone":  {func(tx Tx) error { return tx.Delete(stateKey) }, ErrKey},
			"long value":  {func(tx Tx) error { return tx.Put("k", make([]byte, MaxValue+1)) }, ErrTooLarge},
			"many":        {puts(MaxOps+1, 1), ErrTooLarge},
			"much":        {puts(3, MaxTx/3), ErrTooLarge},
			"most":        {puts(MaxOps-1, 10000), nil},
			"the longest": {func(tx Tx) error { return tx.Put(strings.Repeat("k", MaxKey), make([]byte, MaxValue)) }, nil},
		} {
			if err := a.Update(t.Context(), c.fn); !errors.Is(err, c.want) {
				t.Errorf("%s: the error is %v; it is to be %v", name, err, c.want)
			}
		}
		if got := len(contents(t, a)); got != MaxOps {
			t.Errorf("%d keys are there", got)
		}
	})
}

func puts(n, size int) func(Tx) error {
	return func(tx Tx) error {
		for i := range n {
			if err := tx.Put(fmt.Sprintf("many/%d", i), make([]byte, size)); err != nil {
				return err
			}
		}
		return nil
	}
}

// increment adds one to a number.
func increment(tx Tx, key string) error {
	b, err := tx.Get(key)
	if err != nil && !errors.Is(err, ErrNone) {
		return err
	}
	n := 0
	if err == nil {
		if _, err := fmt.Sscan(string(b), &n); err != nil {
			return err
		}
	}
	return tx.Put(key, fmt.Append(nil, n+1))
}

func TestConcurrentWriters(t *testing.T) {
	onBoth(t, func(t *testing.T, a, b Store) {
		const writers, each, places = 6, 20, 5
		var wg sync.WaitGroup
		for i := range writers {
			s := []Store{a, b}[i%2]
			wg.Go(func() {
				for j := range each {
					err := s.Update(t.Context(), func(tx Tx) error { return increment(tx, "counter") })
					if err != nil {
						t.Errorf("writer %d: %v", i, err)
					}
					// Each looks at all places before it takes one: two that did not see each other would take one too many.
					err = s.Update(t.Context(), func(tx Tx) error {
						taken := 0
						for _, err := range tx.Scan("place/", "") {
							if err != nil {
								return err
							}
							taken++
						}
						if taken >= places {
							return tx.Delete(fmt.Sprintf("place/%d-%d", i, j-1))
						}
						return tx.Put(fmt.Sprintf("place/%d-%d", i, j), nil)
					})
					if err != nil {
						t.Errorf("writer %d: %v", i, err)
					}
					taken := 0
					for _, line := range contents(t, s) {
						if strings.HasPrefix(line, "place/") {
							taken++
						}
					}
					if taken > places {
						t.Errorf("%d places are taken", taken)
					}
				}
			})
		}
		wg.Wait()
		if v, err := value(t, a, "counter"); v != fmt.Sprint(writers*each) || err != nil {
			t.Fatalf("%d writers added %d each, and the sum is %s, %v", writers, each, v, err)
		}
	})
}

func TestViewIsOneState(t *testing.T) {
	onBoth(t, func(t *testing.T, a, b Store) {
		set(t, a, "x", "1", "y", "1")
		err := a.View(t.Context(), func(r Reader) error {
			x, err := r.Get("x")
			if err != nil {
				return err
			}
			if b != a { // a file's reader would hold up its writer's growth
				set(t, b, "x", "2", "y", "2")
			}
			y, err := r.Get("y")
			if string(x) != string(y) {
				t.Errorf("one state has x=%s and y=%s", x, y)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestClosed(t *testing.T) {
	onBoth(t, func(t *testing.T, a, _ Store) {
		s := fresh(t)
		l, err := s.Acquire(t.Context(), "x", "me", 5e9)
		if err != nil {
			t.Fatal(err)
		}
		changes, err := s.Watch(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		<-l.Done()
		for range changes {
		}
		for name, err := range map[string]error{
			"view":   s.View(t.Context(), func(Reader) error { return nil }),
			"update": s.Update(t.Context(), func(Tx) error { return nil }),
		} {
			if !errors.Is(err, ErrClosed) {
				t.Errorf("%s: %v", name, err)
			}
		}
		_ = a
	})
}
