// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/internal/monitor/verdict"
)

func touch(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestRiseAndFall(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	touch(t, path)
	w := serve(t, Spec{Check: File{Path: path}, Interval: 20 * time.Millisecond, Rise: 5, Fall: 5})
	w.want(verdict.OK, "")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	w.want(verdict.Problem, "does not exist")
	failed := w.set.States()[0].Failed
	if failed < 5 {
		t.Errorf("a problem after %d bad checks, want 5", failed)
	}
	touch(t, path)
	before := w.set.States()[0]
	w.want(verdict.OK, "")
	after := w.set.States()[0]
	if n := after.Checks - after.Failed - (before.Checks - before.Failed); n < 4 {
		t.Errorf("well after %d good checks, want 5", n+1)
	}
}

// TestReconfigure: monitors come, go and change, and those that are the same run on.
func TestReconfigure(t *testing.T) {
	dir := t.TempDir()
	spec := func(name, device, file string) Spec {
		s := Spec{Name: name, Device: device, Check: File{Path: filepath.Join(dir, file)}}
		sound(&s)
		return s
	}
	touch(t, filepath.Join(dir, "a"))
	w := serve(t, spec("same", "same", "a"), spec("gone", "gone", "a"), spec("changed", "changed", "none"))
	for range 3 {
		w.next()
	}
	w.set.Reconfigure([]Spec{spec("same", "same", "a"), spec("changed", "other", "none"), spec("new", "new", "none")})
	got := map[string]string{}
	for len(got) < 2 {
		r := w.next()
		got[r.Monitor] = r.Device + " " + r.Status.String()
	}
	if got["changed"] != "other problem" || got["new"] != "new problem" {
		t.Errorf("%v", got)
	}
	w.checked("changed", 2) // one before, one after the change
	names := map[string]uint64{}
	for _, s := range w.set.States() {
		names[s.Monitor] = s.Checks
	}
	if len(names) != 3 || names["same"] != 1 {
		t.Errorf("checks: %v, want one of \"same\", none of \"gone\"", names)
	}
	w.set.Reconfigure([]Spec{spec("changed", "other", "a")}) // a problem until the new check says otherwise
	if r := w.next(); r.Status != verdict.Problem || r.Monitor != "changed" {
		t.Errorf("%+v", r)
	}
	w.want(verdict.OK, "")
}

// TestReconfigureTwice: a monitor that goes and comes back before anybody has looked says anew how it stands: whoever reads has
// forgotten it.
func TestReconfigureTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	touch(t, path)
	spec := Spec{Name: "a", Device: "a", Check: File{Path: path}}
	sound(&spec)
	w := serve(t, spec)
	w.want(verdict.OK, "")
	for range 20 {
		w.set.Reconfigure(nil)
		w.set.Reconfigure([]Spec{spec})
		w.want(verdict.OK, "")
	}
}

// stuck is a check that does not return.
type stuck struct {
	polled
	release chan struct{}
	begun   int
}

func (s *stuck) check(context.Context) verdict.Result {
	s.begun++
	<-s.release
	return verdict.Fine()
}

// TestHangingCheck: one that does not return fails at each interval, once, and is waited for no longer than that.
func TestHangingCheck(t *testing.T) {
	c := &stuck{release: make(chan struct{})}
	m := &monitor{spec: Spec{Timeout: 10 * time.Millisecond}}
	for range 3 {
		if e := m.once(t.Context(), c); e.result.Outcome != verdict.Bad || !strings.Contains(e.result.Reason, "hangs") {
			t.Fatalf("%+v", e)
		}
	}
	close(c.release)
	m.spec.Timeout = 10 * time.Second
	if e := m.once(t.Context(), c); e.result.Outcome != verdict.Good || c.begun != 1 {
		t.Errorf("%+v after %d checks", e, c.begun)
	}
}
