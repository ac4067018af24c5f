// SPDX-License-Identifier: Apache-2.0

package ccp

import (
	"math/rand/v2"
	"testing"
)

func TestWindow(t *testing.T) {
	type step struct {
		seq  uint64
		want DropReason
	}
	for _, tc := range []struct {
		name  string
		steps []step
	}{
		{"zero was always seen", []step{{0, DropOld}}},
		{"twice", []step{{5, DropNone}, {5, DropReplay}}},
		{"overtaken by a later one", []step{{1e9, DropNone}, {5e9, DropNone}, {3e9, DropNone}, {3e9, DropReplay}, {1e9, DropReplay}}},
		{"the highest number", []step{{1<<64 - 1, DropNone}, {1<<64 - 1, DropReplay}, {1<<64 - 2, DropNone}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var w Window
			for _, s := range tc.steps {
				got := w.Check(s.seq)
				if got != s.want {
					t.Fatalf("%d: %v, want %v", s.seq, got, s.want)
				}
				if got == DropNone {
					w.Accept(s.seq)
				}
			}
		})
	}
}

// TestWindowAgainstSet compares the window with a set that forgets nothing, over sequences that overtake each other and come again.
func TestWindowAgainstSet(t *testing.T) {
	const seed = 1
	r := rand.New(rand.NewPCG(seed, 0))
	var w Window
	seen := map[uint64]bool{}
	var base, accepted, old uint64
	for i := range 20000 {
		base += uint64(r.IntN(200))
		seq := base + uint64(r.IntN(500))
		if r.IntN(50) == 0 {
			seq = uint64(r.IntN(int(base) + 1)) // a recording
		}
		switch got := w.Check(seq); {
		case got == DropNone && seen[seq]:
			t.Fatalf("seed %d, step %d: %d accepted twice", seed, i, seq)
		case got == DropReplay && !seen[seq]:
			t.Fatalf("seed %d, step %d: %d called a replay, never seen", seed, i, seq)
		case got == DropOld:
			if len(seen) < WindowSize && seq != 0 {
				t.Fatalf("seed %d, step %d: %d called old, %d of %d places used", seed, i, seq, len(seen), WindowSize)
			}
			old++
		case got == DropNone:
			w.Accept(seq)
			seen[seq] = true
			accepted++
		}
	}
	if accepted < 15000 || old == 0 {
		t.Fatalf("accepted %d, called %d old: the test tries nothing", accepted, old)
	}
}

// TestWindowRemembersExactly: the newest WindowSize sequences are told apart, the one before them is not.
func TestWindowRemembersExactly(t *testing.T) {
	var w Window
	for i := range WindowSize + 1 {
		w.Accept(uint64(10 + 2*i))
	}
	for seq, want := range map[uint64]DropReason{
		10: DropOld, 11: DropNone, 12: DropReplay, 13: DropNone, 10 + 2*WindowSize: DropReplay, 11 + 2*WindowSize: DropNone,
	} {
		if got := w.Check(seq); got != want {
			t.Errorf("%d: %v, want %v", seq, got, want)
		}
	}
	if got := w.Newest(); got != 10+2*WindowSize {
		t.Errorf("newest %d", got)
	}
}

// TestWindowFloorStays: what comes below all that is remembered, as the place for it is forgotten, must not have the window take again what it had
// forgotten before.
func TestWindowFloorStays(t *testing.T) {
	var w Window
	for i := range uint64(WindowSize) {
		w.Accept(10 + 10*i)
	}
	if got := w.Check(5); got != DropNone {
		t.Fatalf("5, which nobody has seen: %v", got)
	}
	w.Accept(5)
	for i := range uint64(3) {
		w.Accept(10 + 10*(WindowSize+i))
		for seq := uint64(1); seq <= 10+10*(WindowSize+i); seq++ {
			if seen := seq == 5 || seq%10 == 0; seen && w.Check(seq) == DropNone {
				t.Fatalf("%d is taken twice", seq)
			}
		}
	}
}
