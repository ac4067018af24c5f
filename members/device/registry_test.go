// SPDX-License-Identifier: Apache-2.0

package device

import (
	"errors"
	"math"
	"testing"
	"time"
)

func TestBuiltinDevices(t *testing.T) {
	r := NewRegistry(5)
	if d, _ := r.Get(InitDevice); d.Status != Init {
		t.Fatalf("init is %v at start", d.Status)
	}
	if n, first := r.Problems(); n != 0 {
		t.Fatalf("%d problems at start, first %v", n, first)
	}
	for i := range r.Len() {
		if d := r.At(i); d.Meaning == "" || !d.Builtin {
			t.Errorf("%s has no meaning or is not built in", d.Name)
		}
	}
	if err := r.Register(6, Config, 0, OK, ""); !errors.Is(err, ErrBuiltin) {
		t.Errorf("a built-in device is registered: %v", err)
	}
	if err := r.Unregister(Config); !errors.Is(err, ErrBuiltin) {
		t.Errorf("a built-in device is removed: %v", err)
	}
	if err := r.Report(7, InitDevice, OK, ""); err != nil {
		t.Error(err)
	}
	if n, _ := r.Problems(); n != 0 {
		t.Errorf("%d problems", n)
	}
}

func TestUserDevices(t *testing.T) {
	var r Registry
	for _, err := range []error{r.Report(1, "x", OK, ""), r.Unregister("x"), r.Register(1, "", 0, OK, "")} {
		if !errors.Is(err, ErrUnknown) {
			t.Errorf("got %v, want ErrUnknown", err)
		}
	}
	if err := r.Register(1, "disk", 0, Init, "starts"); err != nil {
		t.Fatal(err)
	}
	before := r.Changes
	if err := r.Report(2, "disk", Init, "starts"); err != nil || r.Changes != before {
		t.Errorf("the same report counts as a change: %v", err)
	}
	if err := r.Report(3, "disk", Problem, "full"); err != nil {
		t.Fatal(err)
	}
	d, ok := r.Get("disk")
	if !ok || d.Status != Problem || d.Reason != "full" || d.Changed != 3 || d.Reported != 3 || d.Registered != 1 {
		t.Errorf("got %+v", d)
	}
	list := r.List()
	if err := r.Unregister("disk"); err != nil || r.Len() != 0 || len(list) != 1 {
		t.Errorf("after Unregister: %v, %d left", err, r.Len())
	}
}

func TestSilentReporterIsAProblem(t *testing.T) {
	r := NewRegistry(0)
	if next := r.Expire(1); next != math.MaxInt64 {
		t.Errorf("something is due at %d", next)
	}
	if err := r.Register(100, "disk", 50*time.Nanosecond, OK, ""); err != nil {
		t.Fatal(err)
	}
	if next := r.Expire(149); next != 150 {
		t.Errorf("due at %d, want 150", next)
	}
	r.Expire(150)
	d, _ := r.Get("disk")
	if d.Status != Problem || !d.TimedOut || d.Reported != 100 || d.Changed != 150 {
		t.Fatalf("got %+v", d)
	}
	changes := r.Changes
	r.Expire(151)
	if r.Changes != changes {
		t.Error("it times out twice")
	}
	if err := r.Report(160, "disk", OK, ""); err != nil {
		t.Fatal(err)
	}
	if d, _ = r.Get("disk"); d.TimedOut || d.Status != OK {
		t.Errorf("got %+v", d)
	}
}

func TestPlace(t *testing.T) {
	r, known := NewRegistry(0), 0
	for i := range r.Len() {
		switch at := place(r.At(i).Name); at {
		case i:
			known++
		case -1:
		default:
			t.Errorf("%s is looked for at %d and stands at %d", r.At(i).Name, at, i)
		}
	}
	if known != 7 {
		t.Errorf("%d places are known, want 7", known)
	}
}
