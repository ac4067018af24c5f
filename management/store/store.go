// SPDX-License-Identifier: Apache-2.0

// Package store is the ground that management's records rest on: keys and values with serialisable transactions, a watch, leases, pieces of
// large files, backup and restore. There are two, with the same behaviour and the same tests: a file (bbolt) for one server, and etcd for
// several.
//
// Keys are text without control characters, of 1 to MaxKey bytes, ordered by their bytes; those that begin with '!' are the package's own.
// A transaction sees one state of the whole store, as if it were alone; there is one writer at a time in the end, which suits a store in which
// every change also extends one audit log.
//
// It knows nothing of what it keeps, and imports no package of this module.
package store

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

// Bounds, of both stores: those of etcd as it comes.
const (
	MaxKey   = 512       // bytes
	MaxValue = 640 << 10 // bytes
	MaxOps   = 100       // puts and deletes of one transaction
	MaxTx    = 1 << 20   // bytes of keys and values that one transaction puts
	MaxBlob  = 64 << 20  // bytes
	MaxPiece = 512 << 10 // bytes of a piece of a blob
)

// What can be wrong. Errors wrap one of these, or context's.
var (
	// ErrNone: there is no such key.
	ErrNone = errors.New("no such key")
	// ErrKey: a key that cannot be.
	ErrKey = errors.New("key not allowed")
	// ErrTooLarge: a value or a transaction above its bound. Nothing changed.
	ErrTooLarge = errors.New("too large for one transaction")
	// ErrUnavailable: the store does not answer. Nothing changed.
	ErrUnavailable = errors.New("the store does not answer")
	// ErrUnknown: the store stopped answering in the middle of a commit: it is done or it is not. Look before doing it again.
	ErrUnknown = errors.New("the store stopped answering: the change is made, or it is not")
	// ErrHeld: somebody else has the lease.
	ErrHeld = errors.New("the lease is held")
	// ErrRestoring: a restore was begun and not ended; only a restore can follow.
	ErrRestoring = errors.New("a restore was not finished")
	// ErrNotEmpty: a restore needs an empty store.
	ErrNotEmpty = errors.New("the store is not empty")
	// ErrDamaged: what is read is not what was written.
	ErrDamaged = errors.New("damaged")
	// ErrFormat: the store was written by a newer version, or by something else.
	ErrFormat = errors.New("unknown format")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("the store is closed")
	// ErrInUse: another process has the file open.
	ErrInUse = errors.New("another process has the store open")
)

// Reader reads one state of the store. It is valid within the function that it was given to, and not safe for concurrent use.
type Reader interface {
	// Get reads a value; the error wraps ErrNone if there is none. The value must not be changed, and is the caller's to keep.
	Get(key string) ([]byte, error)
	// Scan reads all keys that begin with prefix and are greater than after, in order. An error is the last that it yields, with an empty key.
	Scan(prefix, after string) iter.Seq2[Item, error]
}

// Item is a key with its value.
type Item struct {
	Key   string
	Value []byte
}

// Tx is a transaction that may write. Its reads see its writes.
type Tx interface {
	Reader
	Put(key string, value []byte) error
	// Delete removes a key; one that is not there is no error.
	Delete(key string) error
}

// Store is a store that is open. All of it is safe for concurrent use.
type Store interface {
	// View calls fn with a state that includes every change whose Update returned before. fn may be called again.
	View(ctx context.Context, fn func(Reader) error) error
	// Update calls fn, and makes its changes durable, all or none, if it returns nil. fn is called again when somebody else's change came
	// between, so it has no effects of its own. fn's error is returned as it is.
	Update(ctx context.Context, fn func(Tx) error) error
	// Watch tells of changes below prefix, by whomever, until ctx ends; then the channel is closed. What a slow reader did not take is merged.
	Watch(ctx context.Context, prefix string) (<-chan Changes, error)
	// Acquire takes the lease of a name, or says with ErrHeld who has it. It ends ttl after its holder was last heard, at Release, or with Close.
	// Watch("!lease/"+name) tells of its ends.
	Acquire(ctx context.Context, name, holder string, ttl time.Duration) (Lease, error)
	// Backup writes one state of the whole store, without leases.
	Backup(ctx context.Context, w io.Writer) error
	// Restore fills an empty store with what Backup wrote; last, if it is not nil, is called in the transaction that makes the store usable.
	// Before that, and if it fails, every other method returns ErrRestoring.
	Restore(ctx context.Context, r io.Reader, last func(Tx) error) error
	// Close ends all that is under way, and releases leases.
	Close() error
}

// Changes are keys that were put or deleted since the last ones.
type Changes struct {
	Keys []string // sorted, each once
	Lost bool     // some may be missing: read everything again
}

// Lease says who is to do something that two had better not do at once. It is no lock: a holder that was asleep may act after its end, so what
// must not happen twice is decided by an Update that looks first.
type Lease interface {
	// Done is closed when the holder can no longer be sure to have it.
	Done() <-chan struct{}
	// Release gives it up.
	Release(ctx context.Context) error
}
