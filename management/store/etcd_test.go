// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"

	"github.com/holdfast-project/holdfast/management/store/etcdtest"
)

// wire is a way to a server that a test can cut: in pass everything goes, in deaf what the server answers is lost, in cut nothing goes.
type wire struct {
	listener net.Listener
	to       string

	mu    sync.Mutex
	mode  string
	conns map[net.Conn]bool
	wg    sync.WaitGroup
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l, to: to, mode: "pass", conns: map[net.Conn]bool{}}
	w.wg.Go(w.accept)
	t.Cleanup(func() {
		l.Close()
		w.drop()
		w.wg.Wait()
	})
	return w
}

func (w *wire) accept() {
	for {
		from, err := w.listener.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", w.to)
		if err != nil {
			from.Close()
			continue
		}
		w.mu.Lock()
		w.conns[from], w.conns[to] = true, true
		w.mu.Unlock()
		w.wg.Go(func() { w.carry(from, to, "deaf") })
		w.wg.Go(func() { w.carry(to, from, "") })
	}
}

// carry copies to dst what comes from src, but for what is lost in the mode named, and in cut.
func (w *wire) carry(dst, src net.Conn, lost string) {
	defer dst.Close()
	defer src.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := src.Read(b)
		w.mu.Lock()
		mode := w.mode
		w.mu.Unlock()
		if mode != "cut" && mode != lost && n > 0 {
			if _, err := dst.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (w *wire) set(mode string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mode = mode
}

// drop ends all connections: what was on the way is lost.
func (w *wire) drop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		c.Close()
		delete(w.conns, c)
	}
}

// through is a store behind a wire, and one beside it.
func through(t *testing.T) (far, near Store, w *wire, raw *clientv3.Client, prefix string) {
	t.Helper()
	server := sharedEtcd(t)
	w = newWire(t, server.Endpoint)
	target := server.Target()
	near = mustOpen(t, target)
	far = mustOpen(t, strings.Replace(target, server.Endpoint, w.listener.Addr().String(), 1))
	raw, err := server.Client()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	return far, near, w, raw, near.(base).backend.(*etcd).prefix
}

func TestLostAnswer(t *testing.T) {
	far, near, w, _, _ := through(t)
	set(t, far, "n", "0")
	changes, err := near.Watch(t.Context(), "n")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		calls := 0
		done := make(chan error, 1)
		go func() {
			done <- far.Update(t.Context(), func(tx Tx) error {
				if calls++; calls == 1 {
					w.set("deaf") // its reads are over, and the answer to its commit is lost
				}
				return tx.Put("n", strconv.AppendInt(nil, int64(i+1), 10))
			})
		}()
		expect(t, changes, "n")
		if i == 2 { // others write meanwhile, so that the request that is made again comes too late
			set(t, near, "other", strconv.Itoa(i))
		}
		w.set("pass")
		w.drop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if v, err := value(t, near, "n"); v != strconv.Itoa(i+1) || err != nil {
			t.Fatalf("one change made it %s, %v", v, err)
		}
		if calls != 1 {
			t.Errorf("what was done was begun again: %d times", calls)
		}
	}
}

func TestUnknownOutcome(t *testing.T) {
	t.Parallel()
	far, near, w, _, _ := through(t)
	set(t, far, "n", "0")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // the first read needs an answer, and the commit must leave
	defer cancel()
	err := far.Update(ctx, func(tx Tx) error {
		w.set("deaf")
		return tx.Put("n", []byte("1"))
	})
	if !errors.Is(err, ErrUnknown) {
		t.Errorf("a commit without an answer: %v", err)
	}
	if v, _ := value(t, near, "n"); v != "1" {
		t.Errorf("the change reached etcd, and n is %s", v)
	}
	if _, err := valueWithin(far, 300*time.Millisecond, "n"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a read without an answer: %v", err)
	}
	if err := updateWithin(far, 300*time.Millisecond); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a change whose first read has no answer: %v", err)
	}
	w.set("pass")
	w.drop()
	if v, err := value(t, far, "n"); v != "1" || err != nil {
		t.Errorf("after the connection is back: %s, %v", v, err)
	}
}

func valueWithin(s Store, d time.Duration, key string) (v string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	err = s.View(ctx, func(r Reader) error {
		b, err := r.Get(key)
		v = string(b)
		return err
	})
	return v, err
}

func updateWithin(s Store, d time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return s.Update(ctx, func(tx Tx) error { return tx.Put("n", []byte("never")) })
}

func TestLeaseLost(t *testing.T) {
	t.Parallel()
	far, near, w, _, _ := through(t)
	l, err := far.Acquire(t.Context(), "x", "far", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	changes, err := near.Watch(t.Context(), "!lease/")
	if err != nil {
		t.Fatal(err)
	}
	w.set("cut")
	w.drop()
	select {
	case <-l.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("its holder does not know that it may be another's")
	}
	expect(t, changes, "!lease/x")
	other, err := near.Acquire(t.Context(), "x", "near", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Release(t.Context()); err != nil {
		t.Error(err)
	}
	w.set("pass")
}

func TestCompaction(t *testing.T) {
	far, near, w, raw, prefix := through(t)
	set(t, near, "a", "1", "b", "1")
	calls := 0
	err := far.View(t.Context(), func(r Reader) error {
		calls++
		a, err := r.Get("a")
		if err != nil {
			return err
		}
		if calls == 1 {
			set(t, near, "a", "2", "b", "2")
			compact(t, raw, prefix)
		}
		b, err := r.Get("b")
		if err != nil {
			return errors.New("a mistake of the caller, who hides the cause")
		}
		if string(a) != string(b) {
			t.Errorf("one state has a=%s and b=%s", a, b)
		}
		return nil
	})
	if err != nil || calls != 2 {
		t.Errorf("%d calls, %v", calls, err)
	}
	// A watcher that was away while what it missed was forgotten reads everything again.
	changes, err := far.Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	w.set("cut")
	w.drop()
	set(t, near, "a", "3")
	set(t, near, "a", "4")
	compact(t, raw, prefix)
	w.set("pass")
	w.drop()
	expect(t, changes, "a")
}

func compact(t *testing.T, raw *clientv3.Client, prefix string) {
	t.Helper()
	resp, err := raw.Get(t.Context(), prefix+turnKey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Compact(t.Context(), resp.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
}

func TestEtcdKilled(t *testing.T) {
	t.Parallel()
	server := newEtcd(t, 1)[0]
	run(t, server)
	defer server.Stop()
	s := mustOpen(t, server.Target())
	defer s.Close()
	acknowledged := 0
	for range 2 {
		for range 5 {
			if err := s.Update(t.Context(), func(tx Tx) error { return increment(tx, "n") }); err != nil {
				t.Fatal(err)
			}
			acknowledged++
		}
		done := make(chan error, 1)
		begun := make(chan struct{})
		var once sync.Once
		go func() {
			done <- s.Update(t.Context(), func(tx Tx) error {
				once.Do(func() { close(begun) })
				return increment(tx, "n")
			})
		}()
		<-begun
		server.Stop()
		run(t, server)
		if err := <-done; err != nil {
			t.Fatalf("a change while etcd was killed and came back: %v", err)
		}
		acknowledged++
		if v, err := value(t, s, "n"); v != strconv.Itoa(acknowledged) || err != nil {
			t.Fatalf("%d changes were acknowledged, and %s are there, %v", acknowledged, v, err)
		}
	}
}

func TestEtcdNotThere(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, "etcd://"+freePort(t)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("nobody is there: %v", err)
	}
}

// The leader of three dies under a writer, and comes back: every change is made once.
func TestEtcdLeaderKilled(t *testing.T) {
	t.Parallel()
	all := newEtcd(t, 3)
	var wg sync.WaitGroup
	var hosts []string
	for _, server := range all {
		hosts = append(hosts, server.Endpoint)
		wg.Go(func() { run(t, server) })
	}
	wg.Wait()
	for _, server := range all {
		defer server.Stop()
	}
	s := mustOpen(t, "etcd://"+strings.Join(hosts, ","))
	defer s.Close()
	n := 0
	write := func() {
		t.Helper()
		if err := s.Update(t.Context(), func(tx Tx) error { return increment(tx, "n") }); err != nil {
			t.Fatal(err)
		}
		n++
	}
	write()
	var leader *etcdtest.Server
	for _, server := range all {
		c, err := server.Client()
		if err != nil {
			t.Fatal(err)
		}
		st, err := c.Status(t.Context(), server.Endpoint)
		if err == nil && st.Leader == st.Header.MemberId {
			leader = server
		}
		c.Close()
	}
	if leader == nil {
		t.Fatal("three members, and none leads")
	}
	leader.Stop()
	for range 20 {
		write()
	}
	run(t, leader)
	write()
	if v, err := value(t, s, "n"); v != strconv.Itoa(n) || err != nil {
		t.Errorf("%d changes were acknowledged, and %s are there, %v", n, v, err)
	}
}

// TestEtcdCache: what one process remembers is never older than what another one has written.
func TestEtcdCache(t *testing.T) {
	target := sharedEtcd(t).Target()
	one, two := mustOpen(t, target), mustOpen(t, target)
	stores := []Store{one, two}
	set(t, one, "n", "0")
	var g errgroup.Group
	for i, s := range stores {
		g.Go(func() error {
			for range 40 {
				if err := s.Update(t.Context(), func(tx Tx) error {
					if i == 0 {
						if _, err := tx.Get("missing"); !errors.Is(err, ErrNone) {
							return err
						}
					}
					return increment(tx, "n")
				}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time from memory
		for i, s := range stores {
			if v, err := value(t, s, "n"); err != nil || v != "80" {
				t.Errorf("store %d has %q, %v", i, v, err)
			}
		}
	}
	if err := one.Update(t.Context(), func(tx Tx) error { return tx.Delete("n") }); err != nil {
		t.Fatal(err)
	}
	for i, s := range stores {
		if _, err := value(t, s, "n"); !errors.Is(err, ErrNone) {
			t.Errorf("store %d still has what was deleted: %v", i, err)
		}
	}
	set(t, two, "n", strings.Repeat("x", 2*cachedBytes))
	for i, s := range stores {
		if v, err := value(t, s, "n"); err != nil || len(v) != 2*cachedBytes {
			t.Errorf("store %d has %d bytes, %v", i, len(v), err)
		}
	}
}
