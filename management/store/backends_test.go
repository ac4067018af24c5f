// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/management/store/etcdtest"
)

var (
	shared     *etcdtest.Server
	sharedOnce sync.Once

	endLock sync.Mutex
	ends    []func()
)

// atEnd is for what outlives a test.
func atEnd(fn func()) {
	endLock.Lock()
	defer endLock.Unlock()
	ends = append(ends, fn)
}

func TestMain(m *testing.M) {
	if os.Getenv(crashChild) != "" {
		writeUntilKilled()
	}
	if dir := os.Getenv(fullChild); dir != "" {
		fillDisk(dir)
	}
	code := m.Run()
	for _, fn := range slices.Backward(ends) {
		fn()
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// newEtcd is one that a test may hurt, or give other options before it runs.
func newEtcd(tb testing.TB, members int) []*etcdtest.Server {
	tb.Helper()
	if _, err := exec.LookPath("etcd"); err != nil {
		labtest.Missing(tb, "etcd")
	}
	dir, err := os.MkdirTemp("", "hf-etcd-")
	if err != nil {
		tb.Fatal(err)
	}
	atEnd(func() { os.RemoveAll(dir) })
	all, err := etcdtest.NewCluster(dir, members)
	if err != nil {
		tb.Fatal(err)
	}
	return all
}

func run(tb testing.TB, s *etcdtest.Server) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Run(ctx); err != nil {
		tb.Error(err)
	}
}

// sharedEtcd is one for all tests that do not hurt it.
func sharedEtcd(tb testing.TB) *etcdtest.Server {
	tb.Helper()
	sharedOnce.Do(func() {
		s := newEtcd(tb, 1)[0]
		run(tb, s)
		atEnd(s.Stop)
		shared = s
	})
	if shared == nil {
		labtest.Missing(tb, "etcd")
	}
	return shared
}

func freePort(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// world opens stores, and more handles of the same one, as several servers would.
type world struct {
	name   string
	target func(tb testing.TB) string
	shared bool // several processes, and so several handles, may have it open
}

func worlds() []world {
	return []world{
		{"file", func(tb testing.TB) string { return filepath.Join(tb.TempDir(), "store") }, false},
		{"etcd", func(tb testing.TB) string {
			tb.Helper()
			return sharedEtcd(tb).Target()
		}, true},
	}
}

func mustOpen(t testing.TB, target string) Store {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s, err := Open(ctx, target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// onBoth runs a test on each store, with two handles, which are one where only one process may have the store.
func onBoth(t *testing.T, fn func(t *testing.T, a, b Store)) {
	t.Helper()
	for _, w := range worlds() {
		t.Run(w.name, func(t *testing.T) {
			target := w.target(t)
			a := mustOpen(t, target)
			b := a
			if w.shared {
				b = mustOpen(t, target)
			}
			fn(t, a, b)
		})
	}
}

// fresh opens an empty store of the same kind as the test's.
func fresh(t *testing.T) Store {
	t.Helper()
	for _, w := range worlds() {
		if strings.HasSuffix(t.Name(), "/"+w.name) || strings.Contains(t.Name(), "/"+w.name+"/") {
			return mustOpen(t, w.target(t))
		}
	}
	t.Fatal("no store has the name of this test")
	return nil
}

func set(t testing.TB, s Store, pairs ...string) {
	t.Helper()
	err := s.Update(t.Context(), func(tx Tx) error {
		for i := 0; i < len(pairs); i += 2 {
			if err := tx.Put(pairs[i], []byte(pairs[i+1])); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func value(t testing.TB, s Store, key string) (v string, err error) {
	t.Helper()
	err = s.View(t.Context(), func(r Reader) error {
		b, err := r.Get(key)
		v = string(b)
		return err
	})
	return v, err
}

// contents are all keys with their values.
func contents(t testing.TB, s Store) (all []string) {
	t.Helper()
	err := s.View(t.Context(), func(r Reader) error {
		all = nil
		for item, err := range r.Scan("", "") {
			if err != nil {
				return err
			}
			all = append(all, item.Key+"="+string(item.Value))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestParseEtcd(t *testing.T) {
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ target, want, fault string }{
		{"etcd://a:2379", "http://a:2379 holdfast/", ""},
		{"etcd://a:2379,[::1]:2379/x/", "http://a:2379 http://[::1]:2379 x/", ""},
		{"etcd://hf@a:1/?password-file=" + url.QueryEscape(password), "http://a:1 holdfast/ hf:secret", ""},
		{"etcd://hf:secret@a:1", "", "seen by everybody"},
		{"etcd://hf@a:1", "", "go together"},
		{"etcd://a", "", "HOST:PORT"},
		{"etcd:///x", "", "HOST:PORT"},
		{"etcd://a:1?colour=red", "", `option "colour"`},
		{"etcd://a:1?ca=/nowhere", "", "/nowhere"},
		{"etcd://a:1?cert=/nowhere&key=/nowhere", "", "/nowhere"},
	} {
		got, err := parseEtcd(c.target)
		if c.fault != "" {
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%s: the error is %v; it is to say %q", c.target, err, c.fault)
			}
			continue
		}
		text := strings.Join(got.endpoints, " ") + " " + got.prefix
		if got.user != "" {
			text += " " + got.user + ":" + got.password
		}
		if err != nil || text != c.want {
			t.Errorf("%s: %s, %v; it is to be %s", c.target, text, err, c.want)
		}
	}
}
