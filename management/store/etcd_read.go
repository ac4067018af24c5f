// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Pages of a scan grow to pageBytes or pageKeys: the first is small, since values may be large.
const (
	firstPage = 16
	pageKeys  = 1024
	pageBytes = 2 << 20
)

// etcdSnapshot reads at one revision.
type etcdSnapshot struct {
	e    *etcd
	ctx  context.Context
	gone bool // compacted away: what was read is right, and the rest cannot be
	head
}

// head is what is read of a state before anything else: what everybody needs.
type head struct {
	revision    int64
	state       []byte // nil: none
	turn        turn
	turnMod     int64
	turnVersion int64
}

// asked is a question for the newest head, by all who came before it was sent.
type asked struct {
	ready chan struct{} // closed when there is an answer
	head  head
	err   error
}

// snapshot is the state after every change whose answer anybody has. Who comes while a question is on its way shares the next one with all the others.
func (e *etcd) snapshot(ctx context.Context) (*etcdSnapshot, error) {
	if err := e.check(ctx); err != nil {
		return nil, err
	}
	e.mu.Lock()
	if err := e.check(ctx); err != nil { // it was closed meanwhile
		e.mu.Unlock()
		return nil, err
	}
	if e.next == nil {
		e.next = &asked{ready: make(chan struct{})}
	}
	if !e.asking {
		e.asking = true
		e.wg.Go(e.askAll)
	}
	mine := e.next
	e.mu.Unlock()
	select {
	case <-mine.ready:
		if mine.err != nil {
			return nil, mine.err
		}
		return &etcdSnapshot{e: e, ctx: ctx, head: mine.head}, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("store: etcd: %w: %w", ErrUnavailable, ctx.Err())
	}
}

// askAll asks until nobody waits.
func (e *etcd) askAll() {
	for {
		e.mu.Lock()
		now := e.next
		e.next, e.asking = nil, now != nil
		e.mu.Unlock()
		if now == nil {
			return
		}
		now.head, now.err = e.newest(e.running)
		close(now.ready)
	}
}

func (e *etcd) newest(ctx context.Context) (s head, err error) {
	err = e.insist(ctx, ErrUnavailable, func(ctx context.Context) error {
		resp, err := e.client.Txn(ctx).Then(clientv3.OpGet(e.prefix+turnKey), clientv3.OpGet(e.prefix+stateKey)).Commit()
		if err != nil {
			return err
		}
		s.revision = resp.Header.Revision
		if kvs := resp.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
			s.turnMod, s.turnVersion = kvs[0].ModRevision, kvs[0].Version
			if err := json.Unmarshal(kvs[0].Value, &s.turn); err != nil {
				return fmt.Errorf("%w: %s: %w", ErrFormat, turnKey, err)
			}
		}
		if kvs := resp.Responses[1].GetResponseRange().Kvs; len(kvs) > 0 {
			s.state = kvs[0].Value
		}
		return nil
	})
	return s, err
}

func (s *etcdSnapshot) read(key string, opts ...clientv3.OpOption) (resp *clientv3.GetResponse, err error) {
	if s.gone {
		return nil, fmt.Errorf("store: etcd: %w", rpctypes.ErrCompacted)
	}
	err = s.e.insist(s.ctx, ErrUnavailable, func(ctx context.Context) error {
		resp, err = s.e.client.Get(ctx, s.e.prefix+key, append(opts, clientv3.WithRev(s.revision))...)
		return err
	})
	if errors.Is(err, rpctypes.ErrCompacted) {
		s.gone = true
	}
	return resp, err
}

func (s *etcdSnapshot) get(key string) ([]byte, bool, error) {
	if key == stateKey {
		return s.state, s.state != nil, nil
	}
	if value, known := s.e.cache.get(s.head, key); known {
		return slices.Clone(value), value != nil, nil
	}
	resp, err := s.read(key)
	if err != nil {
		return nil, false, err
	}
	if len(resp.Kvs) == 0 {
		s.e.cache.put(s.head, key, nil)
		return nil, false, nil
	}
	value := append([]byte{}, resp.Kvs[0].Value...)
	s.e.cache.put(s.head, key, value)
	return slices.Clone(value), true, nil
}

func (s *etcdSnapshot) scan(prefix, after string) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		end := clientv3.GetPrefixRangeEnd(s.e.prefix + prefix)
		from := prefix
		if after >= prefix {
			from = after + "\x00"
		}
		if !strings.HasPrefix(from, prefix) && from > prefix {
			return // after is beyond all that begin with prefix
		}
		for limit := int64(firstPage); ; {
			resp, err := s.read(from, clientv3.WithRange(end), clientv3.WithLimit(limit))
			if err != nil {
				yield(Item{}, err)
				return
			}
			size := 0
			for _, kv := range resp.Kvs {
				key := string(kv.Key[len(s.e.prefix):])
				if !yield(Item{key, append([]byte{}, kv.Value...)}, nil) {
					return
				}
				size += len(kv.Value)
				from = key + "\x00"
			}
			if !resp.More {
				return
			}
			if size < pageBytes/2 {
				limit = min(2*limit, pageKeys)
			} else if size > pageBytes {
				limit = max(limit/2, 1)
			}
		}
	}
}
