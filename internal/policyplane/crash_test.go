// SPDX-License-Identifier: Apache-2.0

package policyplane

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/policy/install"
)

// TestCrashes: one member's daemon, or the whole machine, ends before each step that an install takes there, and comes back; everybody has the
// new policy in the end, or the old one if it is rolled back.
func TestCrashes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		ends   Phase
		want   uint64
		points int // at least so many were found; the last step is not met on a host that comes to it late
	}{
		{"confirmed", PhaseConfirmed, 2, 4},
		{"rolled back", PhaseRolledBack, 1, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			seen := map[string]bool{}
			for n := 1; ; n++ {
				point := crashAt(t, n, c.ends, c.want)
				if point == "" {
					break
				}
				seen[point] = true
			}
			if len(seen) < c.points {
				t.Errorf("crashed before %v only", seen)
			}
			t.Logf("crashed before %v", seen)
		})
	}
}

// crashAt installs a policy while one member crashes before its nth step; it returns which that was, "" if there are fewer.
func crashAt(t *testing.T, n int, ends Phase, want uint64) string {
	w := newWorld(t, 2)
	w.upAll()
	w.install(1, bundle(t, 1))
	w.all(1)
	b, x := bundle(t, 2), w.members[1]
	var count atomic.Int32
	var armed atomic.Bool
	var where atomic.Value
	crashed := make(chan struct{})
	x.down()
	x.coming = true
	if err := x.start(func(point string) bool {
		if !armed.Load() || count.Add(1) != int32(n) {
			return false
		}
		where.Store(point)
		close(crashed)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	w.replied(1, install.Confirmed)
	w.all(1)
	armed.Store(true)
	again := make(chan struct{})
	over := make(chan struct{})
	go func() {
		defer close(again)
		select {
		case <-crashed:
			x.down()
			if n%2 == int(ends)%2 {
				x.reboot()
			}
			if err := x.start(nil); err != nil {
				t.Error(err)
			}
		case <-over:
		}
	}()
	w.server.order(2, b, PhasePrepare, time.Minute)
	w.replied(2, install.Prepared)
	w.server.order(2, b, PhaseCommit, time.Minute)
	w.replied(2, install.Committed)
	w.server.order(2, b, ends, time.Minute)
	w.every(10*time.Second, fmt.Sprintf("crash %d: generation %d", n, want), func(m *member) bool {
		s := m.snap()
		ended := s.Attempt.State == install.Confirmed || s.Attempt.State == install.RolledBack
		return m.in() == want && s.Status == StatusOK && s.Prepared == nil && ended
	})
	close(over)
	<-again
	for _, m := range w.members {
		w.within(5*time.Second, "one awake", func() bool {
			s := m.tables()
			return s == fmt.Sprintf("filter.g%d awake", want) || s == "filter.g1 asleep, filter.g2 awake" && want == 2 ||
				s == "filter.g1 awake, filter.g2 asleep" && want == 1 || s == "filter.g2 asleep, filter.g1 awake" && want == 1
		})
		m.down()
	}
	point, _ := where.Load().(string)
	return point
}

// TestFullDisk: a policy that has no room is refused; a state that has none is written as soon as there is some;
// nothing is said before, and the guard goes back all the same.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	m := w.members[0]
	dir := filepath.Join(m.dir, "policies")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	m.up()
	w.install(1, bundle(t, 1))
	fill := filepath.Join(dir, "fill")
	if err := os.WriteFile(fill, make([]byte, 200<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	w.server.order(2, bundle(t, 2, noise(100<<10)), PhasePrepare, time.Minute)
	w.replied(2, install.Refused)
	w.within(5*time.Second, "it says why", func() bool { return m.saw(DiskFull) && m.in() == 1 })
	w.server.order(2, bundle(t, 2, noise(100<<10)), PhaseAbort, time.Minute)
	w.replied(2, install.Aborted)

	b := bundle(t, 3)
	w.server.order(3, b, PhasePrepare, time.Second)
	w.replied(3, install.Prepared)
	f, err := os.OpenFile(fill, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4<<10))
	}
	f.Close()
	w.server.order(3, b, PhaseCommit, time.Second)
	w.within(5*time.Second, "in force, and not written down", func() bool { return m.source(3) != "" })
	if s := m.line.last().Attempt.State; s == install.Committed {
		t.Error("it says that it has committed, and would not know it after a crash")
	}
	w.within(5*time.Second, "it goes back all the same", func() bool { return m.in() == 1 })
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	w.replied(3, install.RolledBack)
	w.install(4, bundle(t, 4))
}
