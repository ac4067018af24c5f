// SPDX-License-Identifier: Apache-2.0

package policyplane

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/store"
)

// disk is the policies that this member has, in two directories. What was in force somewhere and stays is in the first; what an install brought,
// and is not known to stay, in the second: a member that has lost its state takes none of these by itself. It may be used from any goroutine.
type disk struct {
	dir string

	mu     sync.Mutex
	good   *store.Store
	staged *store.Store
	about  map[policy.Digest]*Generation
	index  struct{ good, staged []store.Entry }
}

const (
	stagedDir  = "staged"
	keepStaged = 3
)

// openDisk opens both, and tells what it had to set aside.
func openDisk(dir string, cluster uint16, keys []ed25519.PublicKey) (*disk, []store.Bad, error) {
	d := &disk{dir: dir, about: map[policy.Digest]*Generation{}}
	bad, err := d.open(cluster, keys)
	return d, bad, err
}

func (d *disk) open(cluster uint16, keys []ed25519.PublicKey) ([]store.Bad, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	trust := policy.Trust{Cluster: cluster, Keys: keys}
	good, bad, err := store.Open(d.dir, trust, 0)
	if err != nil {
		return nil, err
	}
	staged, more, err := store.Open(filepath.Join(d.dir, stagedDir), trust, keepStaged)
	if err != nil {
		return nil, err
	}
	d.good, d.staged = good, staged
	return append(bad, more...), d.list()
}

// list looks what is there; if it cannot tell, what it knew stays.
func (d *disk) list() error {
	good, err := d.good.List()
	if err != nil {
		return err
	}
	staged, err := d.staged.List()
	if err != nil {
		return err
	}
	d.index.good, d.index.staged = good, staged
	return nil
}

// put keeps a policy. What it displaces is not of pinned.
func (d *disk) put(s *policy.Sealed, staged bool, pinned ...uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	to := d.good
	if staged {
		to = d.staged
	}
	err := to.Put(s, pinned...)
	return errors.Join(err, d.list())
}

// whole reports whether all that is there can be listed: one file that cannot stands in the way of all that comes.
func (d *disk) whole() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.list() == nil
}

// has reports whether a policy is there, and whether it is one that stays.
func (d *disk) has(o policy.Offer) (there, good bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	is := func(e store.Entry) bool { return e.Digest == o.Digest && e.Generation == o.Generation }
	good = slices.ContainsFunc(d.index.good, is)
	return good || slices.ContainsFunc(d.index.staged, is), good
}

// get reads and verifies a policy.
func (d *disk) get(o policy.Offer) (*policy.Sealed, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, err := d.good.Get(o.Generation, o.Digest)
	if err == nil {
		return s, nil
	}
	if s, again := d.staged.Get(o.Generation, o.Digest); again == nil {
		return s, nil
	}
	return nil, err
}

// find looks for what is there of a digest.
func (d *disk) find(digest policy.Digest) (policy.Offer, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range slices.Concat(d.index.good, d.index.staged) {
		if e.Digest == digest {
			return e.Offer(), true
		}
	}
	return policy.Offer{}, false
}

// entries are the policies that stay, the newest first, and those that are not known to.
func (d *disk) entries() (good, staged []store.Entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.index.good), slices.Clone(d.index.staged)
}

// describe reads what people want to know of a policy; it reads the file once.
func (d *disk) describe(e store.Entry) Generation {
	d.mu.Lock()
	known := d.about[e.Digest]
	d.mu.Unlock()
	if known == nil {
		g := Generation{Offer: e.Offer(), Content: e.Content, Created: e.Created}
		if s, err := d.get(e.Offer()); err == nil {
			b, key := s.Bundle(), s.Head().Key
			g.Key = policy.Fingerprint(key[:])
			g.Author, g.Comment, g.Origin = b.Author, b.Comment, b.Origin
		}
		known = &g
		d.mu.Lock()
		d.about[e.Digest] = known
		d.mu.Unlock()
	}
	return *known
}

// check reads and verifies every policy, one after another.
func (d *disk) check() error {
	good, staged := d.entries()
	for i, e := range slices.Concat(good, staged) {
		d.mu.Lock()
		from := d.good
		if i >= len(good) {
			from = d.staged
		}
		_, err := from.Get(e.Generation, e.Digest)
		d.mu.Unlock()
		if err != nil && !errors.Is(err, store.ErrNone) { // it was removed meanwhile
			return err
		}
	}
	return nil
}

// setAside takes the state's file out of the way, for people to look at.
func (d *disk) setAside() error {
	if err := os.Rename(filepath.Join(d.dir, stateFile), filepath.Join(d.dir, "damaged-state.json")); err != nil {
		return fmt.Errorf("policyplane: %w", err)
	}
	return nil
}
