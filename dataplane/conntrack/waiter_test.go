// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestWaiter: what is there, a deadline set while somebody waits, one that passes, and the end each end a wait.
func TestWaiter(t *testing.T) {
	w, err := newWaiter()
	if err != nil {
		t.Fatal(err)
	}
	var pipe [2]int
	if err := unix.Pipe(pipe[:]); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	got := make(chan error, 1)
	wait := func() { got <- w.wait(pipe[0]) }
	for _, step := range []struct {
		name string
		do   func()
		want error
	}{
		{"something to read", func() { _, _ = unix.Write(pipe[1], []byte{1}) }, nil},
		{"a deadline that is over", func() { w.setDeadline(time.Now()) }, os.ErrDeadlineExceeded},
		{"a deadline to come", func() { w.setDeadline(time.Now().Add(20 * time.Millisecond)) }, os.ErrDeadlineExceeded},
		{"the end", func() { w.close() }, os.ErrClosed},
	} {
		go wait()
		step.do()
		select {
		case err := <-got:
			if !errors.Is(err, step.want) {
				t.Errorf("%s: %v, want %v", step.name, err, step.want)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%s does not end a wait", step.name)
		}
		var b [8]byte
		if step.want == nil {
			_, _ = unix.Read(pipe[0], b[:])
		}
		if !errors.Is(step.want, os.ErrClosed) {
			w.setDeadline(time.Time{})
		}
	}
	if err := w.wait(pipe[0]); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
	if w.close() {
		t.Error("closed twice")
	}
	w.setDeadline(time.Now()) // harmless
}

// TestDeadlineIsNotByTheWall: a deadline stays where it is when somebody sets the clock on the wall.
func TestDeadlineIsNotByTheWall(t *testing.T) {
	w, err := newWaiter()
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	w.setDeadline(time.Now().Add(time.Hour))
	if got, most := time.Duration(w.until.Load()), time.Since(began)+time.Hour; got <= 0 || got > most {
		t.Errorf("deadline %v, want at most %v, by the clock that nobody sets", got, most)
	}
}
