// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/management/api"
)

func TestTurns(t *testing.T) {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	two := newTurns(2)
	first, ok1 := two.take(t.Context(), "a")
	second, ok2 := two.take(t.Context(), "a")
	if _, ok := two.take(now, "a"); !ok1 || !ok2 || ok {
		t.Error("a third has a place, or the first two have none")
	}
	other, ok := two.take(t.Context(), "b")
	if !ok {
		t.Error("another client has to wait")
	}
	first()
	if third, ok := two.take(t.Context(), "a"); !ok {
		t.Error("a place that was given back is not there")
	} else {
		third()
	}
	second()
	second()
	other()
	if len(two.all) != 0 {
		t.Errorf("%d clients are remembered", len(two.all))
	}
}

// slow is a client that reads when it likes.
type slow struct {
	http.ResponseWriter
	reads func()
}

func (s slow) Write(b []byte) (int, error) {
	s.reads()
	return s.ResponseWriter.Write(b)
}

// TestSlowReader: an answer that is not read yet keeps no place of all clients, and its client's own: else it could leave any number of them lying.
func TestSlowReader(t *testing.T) {
	s := newStand(t).server
	for _, c := range []struct {
		route  route
		own    *turns
		bytes  int
		shared int // places of all that are taken meanwhile
	}{
		{route{heavy: true}, s.one, medium / 2, 0},
		{route{heavy: true}, s.one, medium + 1, 1},
		{route{large: true}, s.large, medium / 2, 0},
	} {
		one := &call{server: s, r: httptest.NewRequest(http.MethodGet, "/", nil), route: &c.route, light: func() {}, shared: func() {}}
		must(t, one.admit())
		if len(c.own.all) != 1 {
			t.Fatal("it has no place of its own")
		}
		read := false
		one.w = slow{httptest.NewRecorder(), func() {
			read = true
			if len(s.heavy) != c.shared || len(c.own.all) != 1 {
				t.Errorf("%d bytes: %d places of all, %d clients' own", c.bytes, len(s.heavy), len(c.own.all))
			}
		}}
		one.answer(http.StatusOK, strings.Repeat("x", c.bytes))
		one.done()
		if !read || len(s.heavy) != 0 || len(c.own.all) != 0 {
			t.Errorf("read %v; %d places of all, %d clients' own stay", read, len(s.heavy), len(c.own.all))
		}
	}
}

func TestFilesAreShared(t *testing.T) {
	f := newFiles()
	loads := 0
	load := func(context.Context) ([]byte, error) {
		loads++
		return make([]byte, 10), nil
	}
	key := fileKey{"edge", 1}
	a, giveA, err := f.get(t.Context(), key, maxFileBytes, load)
	must(t, err)
	b, giveB, err := f.get(t.Context(), key, maxFileBytes, load)
	must(t, err)
	if loads != 1 || &a[0] != &b[0] {
		t.Errorf("%d copies of one file", loads)
	}
	giveA()
	giveA()
	within, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := f.reserve(within, 1); api.CodeOf(err) != api.CodeTooMany {
		t.Errorf("beyond the bound: %v", err)
	}
	giveB()
	give, err := f.reserve(t.Context(), maxFileBytes)
	must(t, err)
	give()
	if len(f.all) != 0 {
		t.Error("a file stays that nobody takes")
	}
}
