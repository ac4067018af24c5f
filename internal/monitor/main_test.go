// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/internal/monitor/verdict"
)

// TestMain runs the tests in a network and mount namespace of their own where it may: monitors' goroutines are on any thread.
func TestMain(m *testing.M) {
	labtest.InNamespaces(func(inside bool) {
		if inside {
			loUp()
		}
		goleak.VerifyTestMain(m)
	})
}

func loUp() {
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "namespaces of the test: lo:", err)
		os.Exit(1)
	}
}

// watched is a Set that runs as long as its test.
type watched struct {
	t   testing.TB
	set *Set
}

func serve(t testing.TB, specs ...Spec) *watched {
	t.Helper()
	for i := range specs {
		sound(&specs[i])
	}
	w := &watched{t, New(specs, nil)}
	ended := make(chan error, 1)
	ctx, cancel := contextOf(t)
	go func() { ended <- w.set.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return w
}

// sound fills in what a test does not care about: an hour's interval, so that only events bring the next check.
func sound(s *Spec) {
	if s.Name == "" {
		s.Name = "x"
	}
	if s.Device == "" {
		s.Device = s.Name
	}
	if s.Interval == 0 {
		s.Interval = time.Hour
	}
	if s.Timeout == 0 {
		s.Timeout = 20 * time.Second
	}
}

// next is the next report.
func (w *watched) next() Report {
	w.t.Helper()
	select {
	case r := <-w.set.Reports():
		return r
	case <-time.After(30 * time.Second):
		w.t.Fatalf("no report for 30 s; %+v", w.set.States())
		return Report{}
	}
}

// want waits for a report with a status whose reason holds a text.
func (w *watched) want(s verdict.Status, reason string) Report {
	w.t.Helper()
	for range 20 {
		if r := w.next(); r.Status == s {
			if !strings.Contains(r.Reason, reason) {
				w.t.Fatalf("%v: %q, want %q", r.Status, r.Reason, reason)
			}
			return r
		}
	}
	w.t.Fatalf("never %v", s)
	return Report{}
}

// checked waits until a monitor has ended a number of checks.
func (w *watched) checked(name string, n uint64) State {
	w.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		for _, s := range w.set.States() {
			if s.Monitor == name && s.Checks >= n {
				return s
			}
		}
		select {
		case r := <-w.set.Reports():
			w.t.Logf("%+v", r)
		case <-time.After(5 * time.Millisecond):
		}
	}
	w.t.Fatalf("%s: fewer than %d checks in 30 s: %+v", name, n, w.set.States())
	return State{}
}

// once runs a single check.
func once(t testing.TB, s Spec) verdict.Result {
	t.Helper()
	sound(&s)
	ctx, cancel := contextOf(t)
	tools := newTools(discard)
	var tasks sync.WaitGroup
	defer tools.close()
	defer tasks.Wait()
	defer cancel()
	tools.open(ctx, &tasks)
	c := tools.checker(s)
	defer c.close()
	limit, end := withTimeout(ctx, s.Timeout)
	defer end()
	return c.check(limit)
}

// good and bad check what single checks say.
func good(t testing.TB, c Check) {
	t.Helper()
	if r := once(t, Spec{Check: c}); r.Outcome != verdict.Good {
		t.Errorf("%+v: %+v", c, r)
	}
}

func bad(t testing.TB, c Check, reason string) {
	t.Helper()
	var limit time.Duration // as long as it takes, unless it is known at the end only
	for _, silence := range []string{"timeout", "no echo reply", "nobody answers", "no-such-host", "unreachable", "cannot assign", "systemd"} {
		if strings.Contains(reason, silence) {
			limit = 500 * time.Millisecond
		}
	}
	if _, program := c.(Script); program && limit > 0 {
		limit = 2 * time.Second // it has to start, too
	}
	if r := once(t, Spec{Check: c, Timeout: limit}); r.Outcome != verdict.Bad || !strings.Contains(r.Reason, reason) {
		t.Errorf("%+v: %+v, want %q", c, r, reason)
	}
}
