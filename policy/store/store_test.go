// SPDX-License-Identifier: Apache-2.0

package store

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/internal/atomicfile"
	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/policy"
)

var (
	key   = ed25519.NewKeyFromSeed(make([]byte, 32))
	trust = policy.Trust{Cluster: 7, Keys: []ed25519.PublicKey{key.Public().(ed25519.PublicKey)}}
)

func bundle(t testing.TB, generation uint64, text string) *policy.Sealed {
	t.Helper()
	s, err := policy.Seal(&policy.Bundle{Cluster: 7, Generation: generation, Ruleset: text}, key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func open(t testing.TB, dir string, keep int) (*Store, []Bad) {
	t.Helper()
	s, bad, err := Open(dir, trust, keep)
	if err != nil {
		t.Fatal(err)
	}
	return s, bad
}

func list(t testing.TB, s *Store) string {
	t.Helper()
	all, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range all {
		out = append(out, fmt.Sprint(e.Generation))
	}
	return strings.Join(out, " ")
}

func TestStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s, bad := open(t, dir, 3)
	if len(bad) != 0 || list(t, s) != "" {
		t.Error(bad)
	}
	for g := uint64(1); g <= 12; g++ {
		if err := s.Put(bundle(t, g, fmt.Sprint("rules ", g)), 2); err != nil {
			t.Fatal(err)
		}
	}
	if got := list(t, s); got != "12 11 10 2" {
		t.Errorf("kept %s", got)
	}
	b := bundle(t, 11, "rules 11")
	got, err := s.Get(11, b.Head().Digest())
	if err != nil || got.Bundle().Ruleset != "rules 11" {
		t.Error(err)
	}
	if err := s.Put(b, 2); err != nil {
		t.Error(err)
	}
	if _, err := s.Get(3, b.Head().Digest()); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
	var c *policy.ConflictError
	if err := s.Put(bundle(t, 11, "other rules"), 2); !errors.As(err, &c) || c.A.Source != "what comes" || c.B.Source != "local" {
		t.Error(err)
	}
	foreign, _ := policy.Seal(&policy.Bundle{Cluster: 8, Generation: 13, Ruleset: "x"}, key)
	if err := s.Put(foreign); !errors.Is(err, policy.ErrCluster) {
		t.Error(err)
	}
	if s, bad = open(t, dir, 3); len(bad) != 0 || list(t, s) != "12 11 10" {
		t.Errorf("opened again: %s %v", list(t, s), bad)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Error(info.Mode(), err)
	}
}

// Whatever is done to a file, it is found, set aside, and the others are used.
func TestDamage(t *testing.T) {
	good := bundle(t, 5, strings.Repeat("rules ", 100))
	file := good.Encode()
	older, _ := policy.Seal(&policy.Bundle{Cluster: 7, Generation: 9, Ruleset: "x"}, ed25519.NewKeyFromSeed([]byte(strings.Repeat("z", 32))))
	for _, k := range []struct {
		name    string
		content []byte
		want    error
	}{
		{"empty", nil, policy.ErrTruncated},
		{"half", file[:len(file)/2], policy.ErrTruncated},
		{"one byte less", file[:len(file)-1], policy.ErrTruncated},
		{"more", append(append([]byte{}, file...), 0), policy.ErrTrailing},
		{"zeros, as a file system leaves them", make([]byte, len(file)), policy.ErrMagic},
		{"another generation's", bundle(t, 6, "x").Encode(), ErrName},
		{"a stranger's", older.Encode(), policy.ErrKey},
	} {
		dir := t.TempDir()
		s, _ := open(t, dir, 0)
		if err := errors.Join(s.Put(bundle(t, 4, "x")), s.Put(good)); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name(good.Head()))
		if err := os.WriteFile(path, k.content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(5, good.Head().Digest()); !errors.Is(err, k.want) {
			t.Errorf("%s: get: %v", k.name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, atomicfile.Temporary+"123"), file, 0o600); err != nil {
			t.Fatal(err)
		}
		s, bad := open(t, dir, 0)
		if len(bad) != 1 || !errors.Is(bad[0].Err, k.want) || list(t, s) != "4" {
			t.Errorf("%s: %v, left %s; want %v", k.name, bad, list(t, s), k.want)
		}
		if _, err := os.Stat(bad[0].Path); err != nil {
			t.Errorf("%s: not set aside: %v", k.name, err)
		}
		if stays := bad[0].Path == path; stays != errors.Is(k.want, policy.ErrKey) {
			t.Errorf("%s: it is %s now", k.name, bad[0].Path)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, atomicfile.Temporary+"*")); len(left) != 0 {
			t.Errorf("%s: %v stays", k.name, left)
		}
		// It is fetched again.
		if err := s.Put(good); err != nil || list(t, s) != "5 4" {
			t.Errorf("%s: put again: %v", k.name, err)
		}
	}
}

// Any byte that changes is noticed: a bundle has none that does not matter, but for how a piece is packed.
func TestEveryByte(t *testing.T) {
	good := bundle(t, 5, "table inet filter { }")
	file := good.Encode()
	r := rand.New(rand.NewPCG(1, 2))
	for i := range file {
		b := append([]byte{}, file...)
		b[i] ^= 1 << r.IntN(8)
		if s, err := policy.Open(b, trust); err == nil && s.Bundle().Ruleset != good.Bundle().Ruleset {
			t.Errorf("byte %d changes the ruleset unnoticed", i)
		}
	}
}

// TestFull fills a small file system: what does not fit leaves no trace, and what was there stays.
func TestFull(t *testing.T) {
	labtest.Require(t)
	dir := t.TempDir()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlock it: its mounts are its own
		done <- func() error {
			if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
				return err
			}
			if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
				return err
			}
			if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
				return err
			}
			s, _, err := Open(dir, trust, 0)
			if err != nil {
				return err
			}
			if err := s.Put(bundle(t, 1, "small")); err != nil {
				return err
			}
			var large strings.Builder
			r := rand.New(rand.NewPCG(3, 4))
			for large.Len() < 600<<10 {
				fmt.Fprintf(&large, "%x\n", r.Uint64())
			}
			err = s.Put(bundle(t, 2, large.String()))
			if !errors.Is(err, ErrFull) || !errors.Is(err, unix.ENOSPC) {
				return fmt.Errorf("full disk: %w", err)
			}
			entries, err := os.ReadDir(dir)
			if err != nil || len(entries) != 1 {
				return fmt.Errorf("left behind: %v %w", entries, err)
			}
			return s.Put(bundle(t, 2, "small too"))
		}()
	}()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
