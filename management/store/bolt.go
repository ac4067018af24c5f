// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

var bucket = []byte("holdfast")

// lockWait is how long OpenFile waits for another process to let go of the file.
const lockWait = time.Second

// mapped is how much of the address space the file may fill before it has to be mapped anew, which waits for all who read.
const mapped = 1 << 30

// file is the backend in one file, for one process.
type file struct {
	db     *bolt.DB
	hub    hub
	closed chan struct{}
	once   sync.Once

	mu     sync.Mutex
	leases map[string]*fileLease
	wg     sync.WaitGroup
}

// OpenFile opens a store in a file, which is made if it is not there, readable for its owner only. The error wraps ErrInUse if another process has
// it open.
func OpenFile(path string) (Store, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockWait, FreelistType: bolt.FreelistMapType, InitialMmapSize: mapped})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("store: %s: %w: a server that runs has it; ask that one, or stop it first", path, ErrInUse)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return nil, fmt.Errorf("store: %s: %w: %w; restore a backup into a new file", path, ErrDamaged, err)
	case err != nil:
		return nil, fmt.Errorf("store: %w", err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(bucket)
		return err
	})
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("store: %s: %w", path, err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("store: %w", err)
	}
	return newBase(&file{db: db, closed: make(chan struct{}), leases: map[string]*fileLease{}}, true), nil
}

// syncDir makes a file that was made outlive a crash.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// boltSnapshot reads within one transaction of bbolt; what it returns are copies, since the memory is the database's.
type boltSnapshot struct{ b *bolt.Bucket }

func (s boltSnapshot) get(key string) ([]byte, bool, error) {
	value := s.b.Get([]byte(key))
	if value == nil {
		return nil, false, nil
	}
	return append([]byte{}, value...), true, nil
}

func (s boltSnapshot) scan(prefix, after string) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		c := s.b.Cursor()
		for k, v := c.Seek([]byte(max(prefix, after))); k != nil && bytes.HasPrefix(k, []byte(prefix)); k, v = c.Next() {
			if string(k) == after {
				continue
			}
			if !yield(Item{string(k), append([]byte{}, v...)}, nil) {
				return
			}
		}
	}
}

func (f *file) check(ctx context.Context) error {
	select {
	case <-f.closed:
		return fmt.Errorf("store: %w", ErrClosed)
	default:
		return ctx.Err()
	}
}

func (f *file) fault(err error) error {
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return fmt.Errorf("store: %w", ErrClosed)
	}
	return err
}

func (f *file) view(ctx context.Context, fn func(snapshot) error) error {
	if err := f.check(ctx); err != nil {
		return err
	}
	return f.fault(f.db.View(func(tx *bolt.Tx) error { return fn(boltSnapshot{tx.Bucket(bucket)}) }))
}

func (f *file) update(ctx context.Context, fn func(snapshot) ([]write, error)) error {
	if err := f.check(ctx); err != nil {
		return err
	}
	var keys []string
	err := f.db.Update(func(tx *bolt.Tx) error {
		if err := ctx.Err(); err != nil { // it may have waited for another writer
			return err
		}
		b := tx.Bucket(bucket)
		writes, err := fn(boltSnapshot{b})
		if err != nil {
			return err
		}
		for _, w := range writes {
			if w.value == nil {
				err = b.Delete([]byte(w.key))
			} else {
				err = b.Put([]byte(w.key), w.value)
			}
			if err != nil {
				return fmt.Errorf("store: %s: %w", w.key, err)
			}
			keys = append(keys, w.key)
		}
		return nil
	})
	if err != nil {
		return f.fault(err)
	}
	f.hub.tell(keys...)
	return nil
}

func (f *file) watch(ctx context.Context, prefix string) (<-chan Changes, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.check(ctx); err != nil {
		return nil, err
	}
	m, out := f.hub.add(prefix), make(chan Changes)
	f.wg.Go(func() {
		defer f.hub.remove(m)
		m.deliver(ctx, f.closed, out)
	})
	return out, nil
}

func (f *file) close() error {
	f.once.Do(func() {
		f.mu.Lock()
		close(f.closed)
		for _, l := range f.leases {
			l.end()
		}
		f.mu.Unlock()
	})
	f.wg.Wait()
	return f.db.Close()
}

// fileLease ends with the process that has the file, which is the only one that can want it: it needs no time.
type fileLease struct {
	f            *file
	name, holder string
	done         chan struct{}
	once         sync.Once
}

func (f *file) acquire(ctx context.Context, name, holder string, _ time.Duration) (Lease, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.check(ctx); err != nil {
		return nil, err
	}
	if l, ok := f.leases[name]; ok {
		return nil, fmt.Errorf("store: lease %s: %w by %s", name, ErrHeld, l.holder)
	}
	l := &fileLease{f: f, name: name, holder: holder, done: make(chan struct{})}
	f.leases[name] = l
	f.hub.tell(leases + name)
	return l, nil
}

// Done implements Lease.
func (l *fileLease) Done() <-chan struct{} { return l.done }

// Release implements Lease.
func (l *fileLease) Release(context.Context) error {
	l.f.mu.Lock()
	defer l.f.mu.Unlock()
	l.end()
	return nil
}

// end is called with the lock.
func (l *fileLease) end() {
	l.once.Do(func() {
		delete(l.f.leases, l.name)
		close(l.done)
		l.f.hub.tell(leases + l.name)
	})
}
