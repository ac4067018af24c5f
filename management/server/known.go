// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/pki"
	"github.com/holdfast-project/holdfast/management/records"
	"github.com/holdfast-project/holdfast/management/store"
)

// known remembers which certificates are good, so that thousands of reports a second do not ask the store. What changes there, by whichever server,
// is forgotten here as soon as the store tells of it.
type known struct {
	records   *records.Records
	authority *pki.Authority

	mu      sync.Mutex
	shown   map[[sha256.Size]byte]pki.Shown // whose certificates are, by their digests: a signature is checked once
	good    map[string]management.Certificate
	changes uint64 // how often something was forgotten
	// last is the change at which a serial, or all of a cluster, was forgotten: an answer that was asked for before that is not remembered. all is
	// that of everything.
	last    map[string]uint64
	all     uint64
	watched bool // the store tells of changes; if it does not, nothing is remembered
}

const maxKnown = 50000

func newKnown(r *records.Records, a *pki.Authority) *known {
	return &known{records: r, authority: a, good: map[string]management.Certificate{}, last: map[string]uint64{}, shown: map[[sha256.Size]byte]pki.Shown{}}
}

// whose says whose a certificate is, as pki.Authority.Whose does.
func (k *known) whose(chain []*x509.Certificate) (pki.Shown, error) {
	if len(chain) == 0 {
		return k.authority.Whose(nil)
	}
	key := sha256.Sum256(chain[0].Raw)
	k.mu.Lock()
	s, ok := k.shown[key]
	k.mu.Unlock()
	if ok {
		return s, nil
	}
	s, err := k.authority.Whose(chain)
	if err != nil {
		return s, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.shown) >= maxKnown {
		clear(k.shown)
	}
	k.shown[key] = s
	return s, nil
}

// certificate says whether one is good, with records' errors if it is not.
func (k *known) certificate(ctx context.Context, serial string) (management.Certificate, error) {
	k.mu.Lock()
	c, ok := k.good[serial]
	before := k.changes
	k.mu.Unlock()
	if ok {
		return c, nil
	}
	c, err := k.records.Identify(ctx, serial)
	if err != nil {
		return c, err
	}
	k.remember(serial, c, before)
	return c, nil
}

// remember keeps an answer, unless something that it depends on has changed since it was asked for, when there had been before changes.
func (k *known) remember(serial string, c management.Certificate, before uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.watched || max(k.all, k.last[serial], k.last[clusterChange(c.Cluster)]) > before {
		return
	}
	if len(k.good) >= maxKnown {
		clear(k.good)
	}
	k.good[serial] = c
}

// run follows the store until ctx ends.
func (k *known) run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := k.follow(ctx); err != nil {
			select { // the store does not answer; meanwhile each certificate is asked for
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
	return nil
}

func (k *known) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	certificates, err := k.records.Watch(ctx, records.Certificates)
	if err != nil {
		return err
	}
	clusters, err := k.records.Watch(ctx, records.Clusters)
	if err != nil {
		return err
	}
	k.forget(true)
	defer k.forget(false)
	for {
		var changes store.Changes
		var ok bool
		select {
		case changes, ok = <-certificates:
		case changes, ok = <-clusters:
		}
		if !ok {
			return ctx.Err()
		}
		if changes.Lost {
			k.forget(true)
			continue
		}
		k.forgetSome(changes.Keys)
	}
}

// forgetSome forgets the certificates that changes concern: an install changes its cluster, and the other ones' members report on.
func (k *known) forgetSome(keys []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.changes++
	if len(k.last)+len(keys) > maxKnown {
		clear(k.last)
		k.all = k.changes
	}
	clusters := map[string]bool{}
	for _, key := range keys {
		if name, ok := strings.CutPrefix(key, string(records.Clusters)); ok {
			clusters[name] = true
			k.last[clusterChange(name)] = k.changes
			continue
		}
		serial := strings.TrimPrefix(key, string(records.Certificates))
		k.last[serial] = k.changes
		delete(k.good, serial)
	}
	if len(clusters) == 0 {
		return
	}
	for serial, c := range k.good {
		if clusters[c.Cluster] {
			delete(k.good, serial)
		}
	}
}

// clusterChange is the key of a cluster among those of certificates.
func clusterChange(name string) string { return string(records.Clusters) + name }

func (k *known) forget(watched bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.good)
	clear(k.last)
	k.changes++
	k.all = k.changes
	k.watched = watched
}
