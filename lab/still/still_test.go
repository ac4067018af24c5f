// SPDX-License-Identifier: Apache-2.0

package still_test

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/lab/still"
)

// TestStandstill has a thread take a processor from everybody for longer than a span is, and looks whether it is noticed, and what is near it.
func TestStandstill(t *testing.T) {
	labtest.Require(t)
	spans := make(chan still.Span, 1000)
	w, err := still.Start(func(s still.Span) { spans <- s })
	if err != nil {
		t.Fatal(err)
	}
	const held = 60 * time.Millisecond
	from, to, err := take(held)
	if err != nil {
		t.Fatal(err)
	}
	var s still.Span
	for s.To.Before(to.Add(-held / 2)) { // the host may have stood still by itself before
		select {
		case s = <-spans:
		case <-time.After(30 * time.Second):
			t.Fatalf("a processor was taken from %v to %v, and nobody noticed", from, to)
		}
	}
	if err := w.Stop(); err != nil {
		t.Error(err)
	}
	middle := s.From.Add(s.To.Sub(s.From) / 2)
	for _, tc := range []struct {
		name string
		at   time.Time
		near bool
	}{
		{"in it", middle, true},
		{"a minute later", s.To.Add(time.Minute), false},
		{"a minute before", from.Add(-time.Minute), false},
	} {
		if near := w.Near(tc.at, 100*time.Millisecond); near != tc.near {
			t.Errorf("%s: near %v, must be %v", tc.name, near, tc.near)
		}
	}
}

// take takes a processor from all threads but the kernel's own for so long.
func take(long time.Duration) (from, to time.Time, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends here
		var all, only unix.CPUSet
		if err = unix.SchedGetaffinity(0, &all); err != nil {
			return
		}
		cpu := 0
		for !all.IsSet(cpu) {
			cpu++
		}
		only.Set(cpu)
		if err = unix.SchedSetaffinity(0, &only); err != nil {
			return
		}
		attr := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 95}
		if err = unix.SchedSetAttr(0, attr, 0); err != nil {
			return
		}
		for from, to = time.Now(), time.Now(); to.Sub(from) < long; {
			to = time.Now()
		}
	}()
	<-done
	return from, to, err
}
