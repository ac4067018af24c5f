// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/internal/atomicfile"
	"github.com/holdfast-project/holdfast/policy"
)

// What can be wrong with the store itself. What is wrong with a bundle is told by policy's errors.
var (
	// ErrNone: that generation is not here.
	ErrNone = errors.New("no such policy")
	// ErrFull: the disk, or the quota, has no room. Nothing has changed.
	ErrFull = errors.New("no room on the disk")
	// ErrName: a file's name is not that of the bundle in it; somebody renamed it.
	ErrName = errors.New("the file's name is another bundle's")
)

const (
	suffix = ".policy"
	// damaged is put in front of the name of a file that cannot be used, for people to look at; one is kept.
	damaged = "damaged-"
	// DefaultKeep is how many generations are kept beside those that are pinned.
	DefaultKeep = 8
)

var fileName = regexp.MustCompile(`^([0-9]{20})-([0-9a-f]{16})\.policy$`)

// Store is a directory of bundles. Not safe for concurrent use; one process may have it open.
type Store struct {
	dir   string
	trust policy.Trust
	keep  int
}

// Bad is a file that Open found unusable, and set aside unless Err wraps policy.ErrKey.
type Bad struct {
	Path string // where it is now
	Err  error
}

// Open makes the directory if need be, removes what a crash left half-written, and verifies every bundle. Those that fail are set aside
// under another name and returned: they are to be fetched again. One whose key is not trusted is returned and stays, unseen: the key may come back. t.Floor is not looked at: what is here was accepted once. keep is how many
// generations stay, at least 2; 0 is DefaultKeep.
func Open(dir string, t policy.Trust, keep int) (*Store, []Bad, error) {
	t.Floor = 0
	s := &Store{dir: dir, trust: t, keep: max(2, cmp.Or(keep, DefaultKeep))}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("policy store: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("policy store: %w", err)
	}
	var all []Bad
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), atomicfile.Temporary):
			if err := os.Remove(path); err != nil {
				return nil, nil, fmt.Errorf("policy store: %w", err)
			}
		case fileName.MatchString(e.Name()):
			_, err := s.read(e.Name())
			if errors.Is(err, policy.ErrKey) {
				all = append(all, Bad{path, err})
				continue
			}
			if err != nil {
				aside := filepath.Join(dir, damaged+strings.TrimSuffix(e.Name(), suffix))
				if err := os.Rename(path, aside); err != nil {
					return nil, nil, fmt.Errorf("policy store: %w", err)
				}
				all = append(all, Bad{aside, err})
			}
		}
	}
	return s, all, s.tidy()
}

func name(h *policy.Head) string {
	return fmt.Sprintf("%020d-%s%s", h.Generation, h.Digest().Short(), suffix)
}

// Entry is one bundle of the store.
type Entry struct {
	Generation uint64
	Digest     policy.Digest
	Content    policy.Digest // equal for equal rulesets
	Created    int64         // seconds since 1970, by management's clock
}

// Offer is the entry as one of several copies.
func (e Entry) Offer() policy.Offer {
	return policy.Offer{Source: "local", Generation: e.Generation, Digest: e.Digest}
}

// List is what the store has, the newest first, by the heads of the files; without those whose key is not trusted.
func (s *Store) List() ([]Entry, error) {
	names, err := s.names()
	if err != nil {
		return nil, err
	}
	var all []Entry
	for _, n := range names {
		h, err := s.head(n)
		if errors.Is(err, policy.ErrKey) {
			continue // as Open says
		}
		if err != nil {
			return nil, err
		}
		all = append(all, Entry{h.Generation, h.Digest(), h.Content, h.Created})
	}
	return all, nil
}

// names are the bundles' files, the newest first: their names sort as their generations do.
func (s *Store) names() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("policy store: %w", err)
	}
	var all []string
	for _, e := range entries {
		if fileName.MatchString(e.Name()) {
			all = append(all, e.Name())
		}
	}
	slices.Sort(all)
	slices.Reverse(all)
	return all, nil
}

func (s *Store) head(name string) (*policy.Head, error) {
	f, err := os.Open(filepath.Join(s.dir, name))
	if err != nil {
		return nil, fmt.Errorf("policy store: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, policy.MaxHead))
	if err != nil {
		return nil, fmt.Errorf("policy store: %w", err)
	}
	h, _, err := policy.ParseHead(b)
	if err == nil {
		err = h.Verify(s.trust)
	}
	if err == nil {
		err = named(h, name)
	}
	if err != nil {
		return nil, fmt.Errorf("policy store: %s: %w", name, err)
	}
	return h, nil
}

func named(h *policy.Head, file string) error {
	if want := name(h); want != file {
		return fmt.Errorf("%w: it holds %s", ErrName, want)
	}
	return nil
}

// read reads and verifies a whole file, which is no longer than a bundle can be.
func (s *Store) read(name string) (*policy.Sealed, error) {
	f, err := os.Open(filepath.Join(s.dir, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, policy.MaxFile+1))
	if err != nil {
		return nil, err
	}
	sealed, err := policy.Open(b, s.trust)
	if err != nil {
		return nil, err
	}
	return sealed, named(sealed.Head(), name)
}

// Get reads a bundle. The error wraps ErrNone if it is not here, or one of policy's if somebody has changed it since Open.
func (s *Store) Get(generation uint64, digest policy.Digest) (*policy.Sealed, error) {
	file := fmt.Sprintf("%020d-%s%s", generation, digest.Short(), suffix)
	sealed, err := s.read(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("policy store: generation %d (%s): %w", generation, digest.Short(), ErrNone)
	case err != nil:
		return nil, fmt.Errorf("policy store: %s: %w", file, err)
	}
	return sealed, nil
}

// Put keeps a bundle that verifies, and is on the disk when it returns. One that is here already is written again: perhaps it is
// damaged. A *policy.ConflictError says that the generation is here with another digest. Then the oldest are removed, but for those of
// pinned, which the member has in force, prepared or may go back to.
func (s *Store) Put(sealed *policy.Sealed, pinned ...uint64) error {
	h := sealed.Head()
	if err := h.Verify(s.trust); err != nil {
		return fmt.Errorf("policy store: %w", err)
	}
	all, err := s.List()
	if err != nil {
		return err
	}
	for _, e := range all {
		if _, err := policy.Compare(h.Offer("what comes"), e.Offer()); err != nil {
			return fmt.Errorf("policy store: %w", err)
		}
	}
	if err := atomicfile.Write(filepath.Join(s.dir, name(h)), sealed.Encode(), 0o600); err != nil {
		if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
			err = fmt.Errorf("%w: %w", ErrFull, err)
		}
		return fmt.Errorf("policy store: generation %d: %w", h.Generation, err)
	}
	return s.tidy(append(pinned, h.Generation)...)
}

// tidy removes what is too old, and all damaged files but the newest.
func (s *Store) tidy(pinned ...uint64) error {
	names, err := s.names()
	if err != nil {
		return err
	}
	var gone []string
	for _, n := range names[min(len(names), s.keep):] {
		g, err := strconv.ParseUint(fileName.FindStringSubmatch(n)[1], 10, 64)
		if err != nil || !slices.Contains(pinned, g) {
			gone = append(gone, n)
		}
	}
	aside, err := filepath.Glob(filepath.Join(s.dir, damaged+"*"))
	if err != nil {
		return fmt.Errorf("policy store: %w", err)
	}
	slices.Sort(aside)
	for _, path := range aside[:max(0, len(aside)-1)] {
		gone = append(gone, filepath.Base(path))
	}
	for _, n := range gone {
		if err := os.Remove(filepath.Join(s.dir, n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("policy store: %w", err)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	if err := atomicfile.SyncDir(s.dir); err != nil {
		return fmt.Errorf("policy store: %w", err)
	}
	return nil
}
