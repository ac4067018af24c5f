// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/members/device"
)

// TestGaps measures for how long nobody serves, over many phases of the clocks.
func TestGaps(t *testing.T) {
	const delay = 50 * time.Microsecond
	fast := members.DefaultTimers()
	fast.Probe, fast.Dead = 3*time.Millisecond, 9*time.Millisecond
	for _, tc := range []struct {
		name     string
		timers   members.Timers
		members  int
		fault    func(w *World)
		min, max time.Duration
		moves    bool
	}{
		{"power-off of one of two", members.DefaultTimers(), 2, func(w *World) { w.PowerOff(0) }, 21 * time.Millisecond, 33 * time.Millisecond, true},
		{"power-off of one of three", members.DefaultTimers(), 3, func(w *World) { w.PowerOff(0) }, 21 * time.Millisecond, 33 * time.Millisecond, true},
		{"power-off of one of five", members.DefaultTimers(), 5, func(w *World) { w.PowerOff(0) }, 21 * time.Millisecond, 33 * time.Millisecond, true},
		{"power-off, profile fast", fast, 3, func(w *World) { w.PowerOff(0) }, 6 * time.Millisecond, 10500 * time.Microsecond, true},
		{"forced", members.DefaultTimers(), 3, func(w *World) { w.Admin(0, members.Admin{Kind: members.AdminForceTo, Target: 1}) }, 0, time.Millisecond, true},
		{"cable pulled", members.DefaultTimers(), 3, func(w *World) { w.Cable(0, 0, false) }, 0, time.Millisecond, true},
		{"device", members.DefaultTimers(), 3, func(w *World) { w.Device(0, "disk", device.Problem, "") }, 0, time.Millisecond, true},
		{"daemon killed", members.DefaultTimers(), 2, func(w *World) { w.Kill(0, 0) }, 0, time.Millisecond, true},
		{"daemon stopped by a signal", members.DefaultTimers(), 2, func(w *World) { w.SetMain(0, true) }, 0, time.Millisecond, true},
		{"daemon ends", members.DefaultTimers(), 2, func(w *World) { w.StopDaemon(0) }, 0, time.Millisecond, true},
		{"restart", members.DefaultTimers(), 2, func(w *World) { w.Restart(0, 800*time.Millisecond) }, 0, 0, false},
		{"pulse late by 90 ms", members.DefaultTimers(), 2, func(w *World) { w.SetPulse(0, true); _ = w.Run(90 * time.Millisecond); w.SetPulse(0, false) }, 0, 0, false},
		{"a standby dies", members.DefaultTimers(), 3, func(w *World) { w.PowerOff(2) }, 0, 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			worst, best := time.Duration(0), time.Hour
			for seed := range uint64(25) {
				w := NewWorld(seed, Options{Members: tc.members, Interfaces: 2, Neighbours: true, Timers: tc.timers, DelayMin: delay, DelayMax: delay})
				for id := range tc.members {
					w.PowerOn(uint8(id))
				}
				mustRun(t, w, 3*time.Second+time.Duration(seed)*1237*time.Microsecond)
				if s := w.Serving(); len(s) != 1 || s[0] != 0 {
					t.Fatalf("seed %d: %v serve before the fault", seed, s)
				}
				w.ResetGap()
				tc.fault(w)
				mustRun(t, w, 2*time.Second)
				if s := w.Serving(); len(s) != 1 || (s[0] != 0) != tc.moves {
					t.Fatalf("seed %d: %v serve after the fault", seed, s)
				}
				worst, best = max(worst, w.Gap()), min(best, w.Gap())
			}
			t.Logf("nobody serves for %v to %v", best, worst)
			if best < tc.min || worst > tc.max {
				t.Errorf("nobody serves for %v to %v, want %v to %v", best, worst, tc.min, tc.max)
			}
		})
	}
}

func mustRun(t *testing.T, w *World, d time.Duration) {
	t.Helper()
	if err := w.Run(d); err != nil {
		t.Fatal(err)
	}
}

// TestCableMovesWithinTenMilliseconds measures from the loss of carrier to the opening elsewhere.
func TestCableMovesWithinTenMilliseconds(t *testing.T) {
	for seed := range uint64(40) {
		w := NewWorld(seed, Options{Members: 3, Interfaces: 2, Neighbours: true})
		for id := range uint8(3) {
			w.PowerOn(id)
		}
		mustRun(t, w, 3*time.Second+time.Duration(seed)*777*time.Microsecond)
		w.Cable(0, 0, false)
		mustRun(t, w, 5*time.Millisecond)
		if s := w.Serving(); len(s) != 1 || s[0] != 1 {
			t.Errorf("seed %d: %v serve 5 ms after the cable was pulled", seed, s)
		}
	}
}
