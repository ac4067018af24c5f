// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

func (e *etcd) watch(ctx context.Context, prefix string) (<-chan Changes, error) {
	s, err := e.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.check(ctx); err != nil {
		return nil, err
	}
	m, out := newMailbox(), make(chan Changes)
	e.wg.Go(func() { m.deliver(ctx, e.closed, out) })
	e.wg.Go(func() { e.follow(ctx, prefix, s.revision, m) })
	return out, nil
}

// follow tells m of what etcd tells, after a revision, until ctx or the store ends. The client goes on after lost connections by itself; where that cannot be, since
// etcd has forgotten what came between or has no leader, the watch begins anew and says that changes were lost.
func (e *etcd) follow(ctx context.Context, prefix string, revision int64, m *mailbox) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.running, cancel)()
	for ctx.Err() == nil {
		inner, end := context.WithCancel(clientv3.WithRequireLeader(ctx))
		for resp := range e.client.Watch(inner, e.prefix+prefix, clientv3.WithPrefix(), clientv3.WithRev(revision+1)) {
			if resp.Err() != nil {
				break
			}
			var keys []string
			for _, ev := range resp.Events {
				if key := string(ev.Kv.Key[len(e.prefix):]); told(prefix, key) {
					keys = append(keys, key)
				}
			}
			m.add(false, keys...)
			revision = max(revision, resp.Header.Revision)
		}
		end()
		wait := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-wait.C:
		}
		wait.Stop()
		if s, err := e.snapshot(ctx); err == nil {
			revision = s.revision
			m.add(true)
		}
	}
}

// etcdLease is a key that etcd removes when its holder is silent.
type etcdLease struct {
	e    *etcd
	id   clientv3.LeaseID
	done chan struct{}
	stop context.CancelFunc
}

func (e *etcd) acquire(ctx context.Context, name, holder string, ttl time.Duration) (Lease, error) {
	if err := e.check(ctx); err != nil {
		return nil, err
	}
	seconds := max(1, int64((ttl+time.Second-1)/time.Second))
	key := e.prefix + leases + name
	var granted *clientv3.LeaseGrantResponse
	err := e.insist(ctx, ErrUnavailable, func(ctx context.Context) (err error) {
		granted, err = e.client.Grant(ctx, seconds)
		return err
	})
	if err != nil {
		return nil, err
	}
	l := &etcdLease{e: e, id: granted.ID, done: make(chan struct{})}
	var resp *clientv3.TxnResponse
	err = e.insist(ctx, ErrUnavailable, func(ctx context.Context) (err error) {
		resp, err = e.client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
			Then(clientv3.OpPut(key, holder, clientv3.WithLease(l.id))).Else(clientv3.OpGet(key)).Commit()
		return err
	})
	if err == nil && !resp.Succeeded {
		// An answer that was lost may have been yes: then the key is this lease's.
		if kvs := resp.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 && clientv3.LeaseID(kvs[0].Lease) != l.id {
			err = fmt.Errorf("store: lease %s: %w by %s", name, ErrHeld, kvs[0].Value)
		}
	}
	if err == nil {
		err = l.keep()
	}
	if err != nil {
		_ = e.once(context.WithoutCancel(ctx), func(ctx context.Context) error { // it ends by itself else
			_, err := e.client.Revoke(ctx, l.id)
			return err
		})
		return nil, err
	}
	return l, nil
}

// keep keeps the lease until it is lost, released, or the store closed.
func (l *etcdLease) keep() error {
	ctx, stop := context.WithCancel(l.e.running)
	answers, err := l.e.client.KeepAlive(ctx, l.id)
	if err != nil {
		stop()
		return fmt.Errorf("store: etcd: lease: %w: %w", ErrUnavailable, err)
	}
	l.stop = stop
	l.e.mu.Lock()
	defer l.e.mu.Unlock()
	if err := l.e.check(ctx); err != nil {
		stop()
		return err
	}
	l.e.leases[l] = true
	l.e.wg.Go(func() {
		for range answers {
		}
		stop()
		close(l.done)
		l.e.mu.Lock()
		defer l.e.mu.Unlock()
		delete(l.e.leases, l)
	})
	return nil
}

// Done implements Lease.
func (l *etcdLease) Done() <-chan struct{} { return l.done }

// Release implements Lease.
func (l *etcdLease) Release(ctx context.Context) error {
	l.stop()
	<-l.done
	return l.e.once(ctx, func(ctx context.Context) error {
		if _, err := l.e.client.Revoke(ctx, l.id); err != nil && transient(err) {
			return fmt.Errorf("store: etcd: lease: %w: it ends by itself: %w", ErrUnavailable, err)
		}
		return nil
	})
}
