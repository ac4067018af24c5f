// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func random(n int) []byte {
	r := rand.New(rand.NewPCG(uint64(n), 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// putBlob writes a file with nothing that refers to it.
func putBlob(ctx context.Context, s Store, content []byte) (Blob, error) {
	b, last, err := PutBlob(ctx, s, content)
	if err == nil {
		err = s.Update(ctx, last)
	}
	return b, err
}

func TestBlob(t *testing.T) {
	onBoth(t, func(t *testing.T, a, b Store) {
		for _, size := range []int{1, MaxPiece, 2*MaxPiece + 7} {
			content := random(size)
			blob, err := putBlob(t.Context(), a, content)
			if err != nil {
				t.Fatal(err)
			}
			err = b.View(t.Context(), func(r Reader) error {
				got, err := blob.Read(r)
				if err == nil && !bytes.Equal(got, content) {
					err = errors.New("something else came")
				}
				return err
			})
			if err != nil {
				t.Errorf("%d bytes: %v", size, err)
			}
			for name, c := range map[string]struct {
				change func(tx Tx) error
				want   error
			}{
				"changed": {func(tx Tx) error { return put(tx, blob.key(blob.pieces()-1), []byte("x")) }, ErrDamaged},
				"missing": {func(tx Tx) error { return drop(tx, blob.key(0)) }, ErrNone},
			} {
				if err := a.Update(t.Context(), c.change); err != nil {
					t.Fatal(err)
				}
				err := b.View(t.Context(), func(r Reader) error { _, err := blob.Read(r); return err })
				if !errors.Is(err, c.want) {
					t.Errorf("%d bytes, a piece %s: %v", size, name, err)
				}
				if _, err := putBlob(t.Context(), a, content); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := contents(t, a); len(got) != 0 {
			t.Errorf("blobs show among the keys: %d", len(got))
		}
		if _, err := putBlob(t.Context(), a, nil); !errors.Is(err, ErrTooLarge) {
			t.Errorf("nothing as a file: %v", err)
		}
	})
}

func TestBackupAndRestore(t *testing.T) {
	onBoth(t, func(t *testing.T, a, _ Store) {
		for i := range 3 {
			var pairs []string
			for j := range 90 {
				pairs = append(pairs, fmt.Sprintf("k/%d/%d", i, j), fmt.Sprint(i*j))
			}
			set(t, a, pairs...)
		}
		set(t, a, "large", string(random(MaxValue)), "empty", "")
		file := random(MaxPiece + 1)
		blob, err := putBlob(t.Context(), a, file)
		if err != nil {
			t.Fatal(err)
		}
		lease, err := a.Acquire(t.Context(), "not in it", "me", 2e9)
		if err != nil {
			t.Fatal(err)
		}
		defer lease.Release(t.Context())
		var backup bytes.Buffer
		if err := a.Backup(t.Context(), &backup); err != nil {
			t.Fatal(err)
		}
		if err := a.Restore(t.Context(), bytes.NewReader(backup.Bytes()), nil); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("a restore over what is there: %v", err)
		}
		for _, w := range worlds() {
			t.Run("into-"+w.name, func(t *testing.T) {
				b := mustOpen(t, w.target(t))
				if err := b.Restore(t.Context(), bytes.NewReader(backup.Bytes()), func(tx Tx) error { return increment(tx, "last") }); err != nil {
					t.Fatal(err)
				}
				want := append(contents(t, a), "last=1")
				slices.Sort(want)
				got := contents(t, b)
				slices.Sort(got)
				if !slices.Equal(got, want) {
					t.Errorf("%d keys, and %d were written", len(got), len(want))
				}
				err := b.View(t.Context(), func(r Reader) error {
					got, err := blob.Read(r)
					if !bytes.Equal(got, file) {
						t.Error("the file is another")
					}
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
	})
}

func TestDamagedBackup(t *testing.T) {
	onBoth(t, func(t *testing.T, a, _ Store) {
		set(t, a, "a", "1", "b", "2")
		var backup bytes.Buffer
		if err := a.Backup(t.Context(), &backup); err != nil {
			t.Fatal(err)
		}
		good := backup.Bytes()
		damaged := map[string][]byte{"trailing": append(slices.Clone(good), 0), "magic": append([]byte{0}, good[1:]...), "none": nil}
		for i := len(backupMagic); i < len(good); i += 5 {
			changed := slices.Clone(good)
			changed[i] ^= 0x40
			damaged[fmt.Sprintf("byte %d", i)] = changed
			damaged[fmt.Sprintf("cut at %d", i)] = good[:i]
		}
		s := fresh(t)
		for name, b := range damaged {
			err := s.Restore(t.Context(), bytes.NewReader(b), nil)
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrFormat) {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := value(t, s, "a"); !errors.Is(err, ErrRestoring) {
				t.Fatalf("%s: the store may be used: %v", name, err)
			}
			if err := s.Update(t.Context(), func(Tx) error { return nil }); !errors.Is(err, ErrRestoring) {
				t.Fatalf("%s: the store may be changed: %v", name, err)
			}
		}
		failed := errors.New("failed")
		if err := s.Restore(t.Context(), bytes.NewReader(good), func(Tx) error { return failed }); !errors.Is(err, failed) {
			t.Error(err)
		}
		if _, err := value(t, s, "a"); !errors.Is(err, ErrRestoring) {
			t.Errorf("a restore whose last step failed: %v", err)
		}
		if err := s.Restore(t.Context(), bytes.NewReader(good), nil); err != nil {
			t.Fatal(err)
		}
		if got := contents(t, s); !slices.Equal(got, []string{"a=1", "b=2"}) {
			t.Errorf("restored after all: %q", got)
		}
	})
}

// drop removes one of the store's own keys, as damage would.
func drop(t Tx, key string) error {
	t.(*tx).writes[key] = nil
	return nil
}
