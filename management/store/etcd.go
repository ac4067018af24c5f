// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// turnKey is read and written by every change, so that two that were made from the same state cannot both succeed. etcd compares single
// keys, and cannot say whether a range lost one; every change extends the audit log anyway, so there is nothing to lose by it.
const turnKey = "!turn"

const (
	callTimeout = 3 * time.Second  // one request
	patience    = 10 * time.Second // one operation, unless its context says less
	pause       = 50 * time.Millisecond
	remembered  = 32 // changes that turnKey names
)

// turn is what turnKey holds: the newest changes, so that who lost the answer to its own can find out whether it was made.
type turn struct {
	Recent []string `json:"recent"` // the newest last
}

// etcd is the backend in an etcd cluster, for several processes.
type etcd struct {
	client *clientv3.Client
	prefix string

	cache  etcdCache
	writer chan struct{} // holds a token while one of this process writes: they would only be in each other's way

	mu      sync.Mutex
	next    *asked // who come now wait for it; nil: nobody waits
	asking  bool
	ahead   *head // that of this process' newest change; nil: not known
	closed  chan struct{}
	leases  map[*etcdLease]bool
	wg      sync.WaitGroup
	stop    context.CancelFunc
	running context.Context
}

func openEtcd(ctx context.Context, c etcdConfig) (Store, error) {
	client, err := clientv3.New(clientv3.Config{
		Endpoints: c.endpoints, Username: c.user, Password: c.password, TLS: c.tls, Logger: zap.NewNop(),
		DialTimeout: callTimeout, DialKeepAliveTime: callTimeout, DialKeepAliveTimeout: callTimeout, RejectOldCluster: false,
	})
	if err != nil {
		return nil, fmt.Errorf("store: etcd: %w: %w", ErrUnavailable, err)
	}
	running, stop := context.WithCancel(context.Background())
	e := &etcd{client: client, prefix: c.prefix, writer: make(chan struct{}, 1), closed: make(chan struct{}), leases: map[*etcdLease]bool{},
		running: running, stop: stop}
	err = e.view(ctx, func(s snapshot) error {
		_, _, err := readState(s)
		return err
	})
	if err != nil {
		_ = e.close()
		return nil, err
	}
	return newBase(e, false), nil
}

// transient reports whether the same request may succeed later, or may have succeeded although it seems to have failed.
func transient(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return true
	}
	var known rpctypes.EtcdError
	if errors.As(err, &known) {
		return known.Code() == codes.Unavailable || known.Code() == codes.Unknown
	}
	st, ok := status.FromError(err)
	if !ok {
		return false
	}
	switch st.Code() {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Aborted, codes.Unknown:
		return true
	default:
		return false
	}
}

// insist makes one call, again and again while it fails for reasons that pass. It returns what failed last, wrapped in failed, when patience or
// ctx ends.
func (e *etcd) insist(ctx context.Context, failed error, call func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := e.once(ctx, call)
		switch {
		case err == nil:
			return nil
		case !transient(err):
			return fmt.Errorf("store: etcd: %w", err)
		}
		wait := time.NewTimer(pause)
		select {
		case <-wait.C:
			continue
		case <-e.closed:
			err = ErrClosed
		case <-ctx.Done():
		}
		wait.Stop()
		return fmt.Errorf("store: etcd: %w: %w", failed, err)
	}
}

func (e *etcd) once(ctx context.Context, call func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return call(ctx)
}

func (e *etcd) check(ctx context.Context) error {
	select {
	case <-e.closed:
		return fmt.Errorf("store: %w", ErrClosed)
	default:
		return ctx.Err()
	}
}

func (e *etcd) view(ctx context.Context, fn func(snapshot) error) error {
	for {
		s, err := e.snapshot(ctx)
		if err != nil {
			return err
		}
		if err = fn(s); !s.gone {
			return err
		}
	}
}

func (e *etcd) update(ctx context.Context, fn func(snapshot) ([]write, error)) error {
	select {
	case e.writer <- struct{}{}:
		defer func() { <-e.writer }()
	case <-ctx.Done():
		return ctx.Err()
	case <-e.closed:
		return fmt.Errorf("store: %w", ErrClosed)
	}
	for first := true; ; first = false {
		s, known, err := e.begin(ctx, first)
		if err != nil {
			return err
		}
		writes, err := fn(s)
		// What rests on what this process knows, and changes nothing, nobody would find out to be out of date.
		if s.gone || known && (err != nil || len(writes) == 0) {
			continue
		}
		if err != nil || len(writes) == 0 {
			return err
		}
		done, err := e.commit(ctx, s, writes)
		if done || err != nil {
			return err
		}
	}
}

// begin is a state to change: right after a change of this process that is the one that it left, without asking; if somebody else has written since, the
// commit finds out.
func (e *etcd) begin(ctx context.Context, first bool) (s *etcdSnapshot, known bool, err error) {
	e.mu.Lock()
	ahead := e.ahead
	e.ahead = nil
	e.mu.Unlock()
	if first && ahead != nil {
		if err := e.check(ctx); err != nil {
			return nil, false, err
		}
		return &etcdSnapshot{e: e, ctx: ctx, head: *ahead}, true, nil
	}
	s, err = e.snapshot(ctx)
	return s, false, err
}

// commit makes the writes if nobody wrote since s was taken. A request whose answer is lost is made again: it cannot succeed twice, and if it
// is found to be too late it looks whether it was itself that came before.
func (e *etcd) commit(ctx context.Context, s *etcdSnapshot, writes []write) (done bool, err error) {
	id, err := randomID()
	if err != nil {
		return false, err
	}
	t := s.turn
	t.Recent = append(slices.Clone(t.Recent), id)
	t.Recent = t.Recent[max(0, len(t.Recent)-remembered):]
	value, err := json.Marshal(t)
	if err != nil {
		return false, err
	}
	then := []clientv3.Op{clientv3.OpPut(e.prefix+turnKey, string(value))}
	for _, w := range writes {
		if w.value == nil {
			then = append(then, clientv3.OpDelete(e.prefix+w.key))
		} else {
			then = append(then, clientv3.OpPut(e.prefix+w.key, string(w.value)))
		}
	}
	e.cache.expect(s.turn.newest(), id, writes)
	tries := 0
	err = e.insist(ctx, ErrUnknown, func(ctx context.Context) error {
		tries++
		resp, err := e.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(e.prefix+turnKey), "=", s.turnMod)).
			Then(then...).Else(clientv3.OpGet(e.prefix + turnKey)).Commit()
		if err != nil {
			return err
		}
		done = resp.Succeeded
		if done {
			e.cache.made(id)
			e.made(head{revision: resp.Header.Revision, state: s.state, turn: t, turnMod: resp.Header.Revision, turnVersion: s.turnVersion + 1}, writes)
			return nil
		}
		kvs := resp.Responses[0].GetResponseRange().Kvs
		if len(kvs) == 0 {
			return nil // somebody emptied the store
		}
		var now turn
		if err := json.Unmarshal(kvs[0].Value, &now); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrFormat, turnKey, err)
		}
		done = slices.Contains(now.Recent, id)
		if !done && tries > 1 && kvs[0].Version-s.turnVersion > remembered {
			return ErrUnknown // the first try may have been made, so long ago that it is not named any more
		}
		return nil
	})
	return done, err
}

// made keeps what a change of this process left.
func (e *etcd) made(h head, writes []write) {
	for _, w := range writes {
		if w.key == stateKey {
			h.state = w.value
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ahead = &h
}

func randomID() (string, error) {
	b := make([]byte, 12)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("store: randomness: %w", err)
	}
	return hex.EncodeToString(b), nil
}

func (e *etcd) close() error {
	e.mu.Lock()
	select {
	case <-e.closed:
		e.mu.Unlock()
		return nil
	default:
	}
	close(e.closed)
	var held []*etcdLease
	for l := range e.leases {
		held = append(held, l)
	}
	e.mu.Unlock()
	for _, l := range held {
		ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
		_ = l.Release(ctx) // it ends by itself else
		cancel()
	}
	e.stop()
	e.wg.Wait()
	return e.client.Close()
}
