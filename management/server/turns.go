// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/api"
)

// turns bounds how many requests of one client are under way. Safe for concurrent use.
type turns struct {
	most int

	mu  sync.Mutex
	all map[string]*turn
}

type turn struct {
	places chan struct{}
	users  int // who have a place or wait for one
}

func newTurns(most int) *turns { return &turns{most: most, all: map[string]*turn{}} }

// take waits for a place of key's until ctx ends; give returns it.
func (t *turns) take(ctx context.Context, key string) (give func(), ok bool) {
	t.mu.Lock()
	one := t.all[key]
	if one == nil {
		one = &turn{places: make(chan struct{}, t.most)}
		t.all[key] = one
	}
	one.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if one.users--; one.users == 0 {
			delete(t.all, key)
		}
	}
	select {
	case one.places <- struct{}{}:
		return sync.OnceFunc(func() { <-one.places; leave() }), true
	case <-ctx.Done():
		leave()
		return nil, false
	}
}

// admit waits for what a request of this route has to wait for, and reads the body before it takes a place of all clients: who sends slowly
// keeps nobody waiting. What was taken is given back by c.light, after the answer at the latest, the place of all clients by c.shared.
func (c *call) admit() error {
	if !c.route.heavy && !c.route.large {
		return nil
	}
	s, key := c.server, c.who.Kind.String()+" "+c.who.Name()
	own, places := s.large, (chan struct{})(nil)
	if c.route.heavy {
		own, places = s.one, s.heavy
		if c.route.method == http.MethodPost {
			own, places = s.change, s.installs
		}
	}
	ctx, cancel := context.WithTimeout(c.context(), heavyWait)
	defer cancel()
	give, ok := own.take(ctx, key)
	if !ok {
		return &api.Error{Code: api.CodeTooMany, What: fmt.Sprintf("%d large requests of %s are under way", own.most, c.who.Name()), WayOut: "wait for them"}
	}
	c.light = give
	if places == nil {
		return nil
	}
	if c.route.most > 0 {
		if err := c.read(); err != nil {
			return err
		}
	}
	wait := time.NewTimer(heavyWait)
	defer wait.Stop()
	select {
	case places <- struct{}{}:
		c.shared = sync.OnceFunc(func() { <-places })
		c.light = func() { give(); c.shared() }
		return nil
	case <-c.context().Done():
		return c.context().Err()
	case <-wait.C:
		return &api.Error{Code: api.CodeTooMany, What: fmt.Sprintf("%d large requests are under way", cap(places)), WayOut: "wait for them"}
	}
}

// maxFileBytes bounds what all policies take that are being sent or shown, in bytes.
const maxFileBytes = 256 << 20

// files are the policies that are being sent: one copy of each, however many take it. Safe for concurrent use.
type files struct {
	bytes *semaphore.Weighted

	mu  sync.Mutex
	all map[fileKey]*sharedFile
}

type fileKey struct {
	cluster    string
	generation uint64
}

type sharedFile struct {
	ready chan struct{} // closed when data or err is there
	data  []byte
	err   error
	give  func() // its bytes; nil without
	users int
}

func newFiles() *files {
	return &files{bytes: semaphore.NewWeighted(maxFileBytes), all: map[fileKey]*sharedFile{}}
}

// reserve takes bytes of the bound.
func (f *files) reserve(ctx context.Context, n int64) (give func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, heavyWait)
	defer cancel()
	n = min(n, maxFileBytes)
	if f.bytes.Acquire(ctx, n) != nil {
		return nil, &api.Error{Code: api.CodeTooMany, What: "too many policies are being sent", WayOut: "try again"}
	}
	return sync.OnceFunc(func() { f.bytes.Release(n) }), nil
}

// get is a file of size bytes that load reads, until give is called.
func (f *files) get(ctx context.Context, key fileKey, size int64, load func(context.Context) ([]byte, error)) (data []byte, give func(), err error) {
	f.mu.Lock()
	one, there := f.all[key]
	if !there {
		one = &sharedFile{ready: make(chan struct{})}
		f.all[key] = one
	}
	one.users++
	f.mu.Unlock()
	if !there {
		// The others who wait for it do not fail because the first one goes away.
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), inTime)
		defer cancel()
		if one.give, one.err = f.reserve(within, size); one.err == nil {
			one.data, one.err = load(within)
		}
		close(one.ready)
	}
	give = sync.OnceFunc(func() { f.done(key, one) })
	select {
	case <-one.ready:
		err = one.err
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		give()
		return nil, nil, err
	}
	return one.data, give, nil
}

// done is one user less. Who comes after the last one, or after a failure, reads it again.
func (f *files) done(key fileKey, one *sharedFile) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one.users--
	if f.all[key] == one && (one.users == 0 || one.over()) {
		delete(f.all, key)
	}
	if one.users == 0 && one.give != nil {
		one.give()
	}
}

// over reports whether it could not be read.
func (s *sharedFile) over() bool {
	select {
	case <-s.ready:
		return s.err != nil
	default:
		return false
	}
}

// sharedPolicy reads a generation to be sent: its bytes are shared, and given back with the answer.
func (c *call) sharedPolicy(cluster string, generation uint64) (management.Policy, []byte, error) {
	r := c.server.o.Records
	p, err := r.Policy(c.context(), cluster, generation)
	if err != nil {
		return p, nil, err
	}
	data, give, err := c.server.files.get(c.context(), fileKey{cluster, generation}, int64(p.Size), func(ctx context.Context) ([]byte, error) {
		_, data, err := r.PolicyFile(ctx, cluster, generation)
		return data, err
	})
	if err == nil {
		c.after = append(c.after, give)
	}
	return p, data, err
}
