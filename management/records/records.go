// SPDX-License-Identifier: Apache-2.0

// Package records is management's memory: typed operations on a management/store, in which every change is one transaction together with its
// entry in the audit log. Nothing is known to have happened that the log does not tell, and nothing that it tells of can be missing.
//
// What must not happen twice, or in two ways, is decided here, by looking and writing in one transaction: numbers, decisions on attempts, tokens
// that are used once, certificates. Callers need no locks for that, in one server or in several on one store.
//
// Signing, reading cluster.yaml, and who may do what, are the server's. The package imports management, management/audit, management/store and
// policy, and no other package of this module.
//
// Keys of the store, values in JSON: cluster/NAME, cluster-id/ID, policy/CLUSTER/GENERATION, attempt/CLUSTER/NUMBER, open/CLUSTER (the
// attempt that has not ended), member/CLUSTER/NAME, token/ID, user/NAME, certificate/SERIAL, audit/NUMBER, audit-head, epoch, owner, live/NAME.
// Numbers in keys have 20 digits.
package records

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/audit"
	"github.com/holdfast-project/holdfast/management/store"
)

// What can be wrong. Errors wrap one of these, management's, policy's or store's.
var (
	// ErrNone: there is no such record.
	ErrNone = errors.New("there is none")
	// ErrExists: there is one already.
	ErrExists = errors.New("it exists already")
	// ErrBusy: an attempt to install is under way in the cluster.
	ErrBusy = errors.New("an install is under way")
	// ErrDeclined: the generation was rolled back, and members never take it again.
	ErrDeclined = errors.New("the generation was rolled back")
	// ErrMember: the cluster has no such member, or has it no longer.
	ErrMember = errors.New("no member of the cluster")
	// ErrKind: the token is of a kind that may not be revoked so.
	ErrKind = errors.New("not a token of this kind")
	// ErrOften: it was written a moment ago.
	ErrOften = errors.New("too often")
	// ErrLeap: the clock has leapt ahead, and what it says is over may not be.
	ErrLeap = errors.New("this server's clock has leapt ahead")
	// ErrForeign: the store, or the backup, is of another installation of management.
	ErrForeign = errors.New("it belongs to another management")
	// ErrLastAdmin: somebody must be able to administer.
	ErrLastAdmin = errors.New("the last administrator")
)

// Options are what a Records needs of the world. The zero value is the real one.
type Options struct {
	Now    func() time.Time // time.Now
	Random io.Reader        // crypto/rand.Reader
}

// Records are management's. Safe for concurrent use.
type Records struct {
	store  store.Store
	now    func() time.Time
	random io.Reader

	mu   sync.Mutex
	news map[string]time.Time // when a member's report of numbers was last written, by its key
}

// New is the records in s, which the caller closes.
func New(s store.Store, o Options) *Records {
	r := &Records{news: map[string]time.Time{}, store: s, now: o.Now, random: o.Random}
	if r.now == nil {
		r.now = time.Now
	}
	if r.random == nil {
		r.random = rand.Reader
	}
	return r
}

// Acquire takes a lease of the store: see store.Store.
func (r *Records) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (store.Lease, error) {
	return r.store.Acquire(ctx, name, holder, ttl)
}

// Kind names records for Watch.
type Kind string

// Kinds of records that somebody watches; LiveReports is another.
const (
	Clusters     Kind = "cluster/"
	Attempts     Kind = "attempt/"
	Certificates Kind = "certificate/"
)

// Watch tells of changes of records of a kind, by any server, until ctx ends: see store.Store. What a change names, NameOf reads.
func (r *Records) Watch(ctx context.Context, kind Kind) (<-chan store.Changes, error) {
	return r.store.Watch(ctx, string(kind))
}

func number(n uint64) string { return fmt.Sprintf("%020d", n) }

func clusterKey(name string) string         { return "cluster/" + name }
func clusterIDKey(id uint16) string         { return fmt.Sprintf("cluster-id/%05d", id) }
func policyKey(c string, n uint64) string   { return "policy/" + c + "/" + number(n) }
func attemptKey(c string, n uint64) string  { return "attempt/" + c + "/" + number(n) }
func openKey(cluster string) string         { return "open/" + cluster }
func memberKey(cluster, name string) string { return "member/" + cluster + "/" + name }
func tokenKey(id string) string             { return "token/" + id }
func userKey(name string) string            { return "user/" + name }
func certificateKey(serial string) string   { return "certificate/" + serial }
func auditKey(n uint64) string              { return "audit/" + number(n) }

const (
	auditHeadKey = "audit-head"
	epochKey     = "epoch"
	tidiedKey    = "tidied"
	ownerKey     = "owner"
)

// read reads one record; what is not there is ErrNone, said with what.
func read[T any](s store.Reader, key, what string) (v T, err error) {
	b, err := s.Get(key)
	if errors.Is(err, store.ErrNone) {
		return v, fmt.Errorf("%s: %w", what, ErrNone)
	}
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return v, fmt.Errorf("%s: record %s: %w: %w", what, key, store.ErrDamaged, err)
	}
	return v, nil
}

// readOr is read, with the zero value for what is not there.
func readOr[T any](s store.Reader, key, what string) (T, error) {
	v, err := read[T](s, key, what)
	if errors.Is(err, ErrNone) {
		err = nil
	}
	return v, err
}

func readAll[T any](s store.Reader, prefix string) ([]T, error) {
	all := []T{}
	for item, err := range s.Scan(prefix, "") {
		if err != nil {
			return nil, err
		}
		var v T
		if err := json.Unmarshal(item.Value, &v); err != nil {
			return nil, fmt.Errorf("record %s: %w: %w", item.Key, store.ErrDamaged, err)
		}
		all = append(all, v)
	}
	return all, nil
}

func write(tx store.Tx, key string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("record %s: %w", key, err)
	}
	return tx.Put(key, b)
}

// one reads one record in a transaction of its own.
func one[T any](ctx context.Context, r *Records, key, what string) (v T, err error) {
	err = r.store.View(ctx, func(s store.Reader) error {
		v, err = read[T](s, key, what)
		return err
	})
	return v, err
}

func list[T any](ctx context.Context, r *Records, prefix string) (all []T, err error) {
	err = r.store.View(ctx, func(s store.Reader) error {
		all, err = readAll[T](s, prefix)
		return err
	})
	return all, err
}

// change is one transaction that is audited. fn makes the changes and returns the event, of which Time, Actor and Outcome are filled in; an event
// without an action says that there was nothing to change. now is the same in every run of fn.
func (r *Records) change(ctx context.Context, by management.Actor, fn func(tx store.Tx, now int64) (management.Event, error)) error {
	now := r.now().UnixNano()
	return r.store.Update(ctx, func(tx store.Tx) error {
		e, err := fn(tx, now)
		if err != nil || e.Action == "" {
			return err
		}
		e.Time, e.Actor, e.Outcome = now, by, management.Done
		return appendEvent(tx, e)
	})
}

func appendEvent(tx store.Tx, e management.Event) error {
	head, err := readOr[audit.Anchor](tx, auditHeadKey, "audit log")
	if err != nil {
		return err
	}
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	entry, err := audit.Append(head, body)
	if err != nil {
		return err
	}
	if err := write(tx, auditKey(entry.Number), entry); err != nil {
		return err
	}
	return write(tx, auditHeadKey, entry.Anchor())
}
