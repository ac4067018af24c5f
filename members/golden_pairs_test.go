// SPDX-License-Identifier: Apache-2.0

package members_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/members/device"
	"github.com/holdfast-project/holdfast/members/sim"
)

// breakable are the devices that can be in problem on any member, as TestPairs and the command `pairs` break them.
var breakable = []string{device.InterfaceActiveCheck, device.FullSync, device.Policy, device.Daemon, device.Routing, device.AdminDown,
	"disk", "silent"}

// breaks puts a device of a member into problem.
func breaks(w *sim.World, id uint8, name string) {
	switch name {
	case device.InterfaceActiveCheck:
		w.Cable(1, id, false)
	case device.AdminDown:
		w.Admin(id, members.Admin{Kind: members.AdminDown})
	case "silent":
		w.Tell(id, members.Device{Op: members.DeviceRegister, Name: name, Status: device.OK, Timeout: time.Millisecond})
	default:
		w.Device(id, name, device.Problem, "broken")
	}
}

// mends takes that back.
func mends(w *sim.World, id uint8, name string) {
	switch name {
	case device.InterfaceActiveCheck:
		w.Cable(1, id, true)
	case device.AdminDown:
		w.Admin(id, members.Admin{Kind: members.AdminUp})
	case "silent":
		w.Tell(id, members.Device{Op: members.DeviceUnregister, Name: name})
	default:
		w.Device(id, name, device.OK, "")
	}
}

// pairOf returns a cluster that has served for 3 s.
func pairOf(t *testing.T, n int, cfg func(uint8, *members.Config)) *sim.World {
	t.Helper()
	w := sim.NewWorld(1, sim.Options{Members: n, Interfaces: 2, Neighbours: true, Timers: members.DefaultTimers(),
		DelayMin: 50 * time.Microsecond, DelayMax: 50 * time.Microsecond, Configure: cfg})
	for id := range uint8(n) {
		w.PowerOn(id)
	}
	if err := w.Run(3 * time.Second); err != nil {
		t.Fatal(err)
	}
	if s := w.Serving(); len(s) != 1 || s[0] != 0 {
		t.Fatalf("members %v serve at first", s)
	}
	return w
}

// pairs breaks, for each pair of devices, the one on fw1, which serves, and the other one on fw2, both at once, and prints a
// line for each pair: who serves after 5 s, and why. Exactly one member answers at any time.
func (s *script) pairs() {
	for _, a := range breakable {
		for _, b := range breakable {
			w := pairOf(s.t, 2, nil)
			breaks(w, 0, a)
			breaks(w, 1, b)
			serving := oneServes(s.t, w, 5*time.Second, a+" and "+b)
			fmt.Fprintf(&s.out, "%-22s %-22s %s\n", a, b, w.Machine(serving).Why())
		}
	}
}

// oneServes lets time pass and returns who serves at the end. One member does all the time, but for the moment of a move.
func oneServes(t *testing.T, w *sim.World, d time.Duration, what string) uint8 {
	t.Helper()
	w.ResetGap()
	if err := w.Run(d); err != nil {
		t.Fatalf("%s: an invariant broke: %v", what, err)
	}
	if gap := w.Gap(); gap > 5*time.Millisecond {
		t.Errorf("%s: nobody served for %v", what, gap)
	}
	s := w.Serving()
	if len(s) != 1 {
		t.Fatalf("%s: members %v serve", what, s)
	}
	return s[0]
}

// TestEveryMemberBroken breaks every member of two and of three, in all pairs of devices, in either order and at different times apart: one is
// ACTIVE(!) then, and when all is mended one is ACTIVE and the others stand by.
func TestEveryMemberBroken(t *testing.T) {
	for _, tc := range []struct {
		n     int
		times []time.Duration
	}{
		{2, []time.Duration{-2 * time.Second, -20 * time.Millisecond, 0, time.Millisecond, 150 * time.Millisecond}},
		{3, []time.Duration{0, 150 * time.Millisecond}},
	} {
		for _, a := range breakable {
			for _, b := range breakable {
				for _, apart := range tc.times {
					everyMemberBroken(t, tc.n, a, b, apart)
				}
			}
		}
	}
}

func everyMemberBroken(t *testing.T, n int, a, b string, apart time.Duration) {
	t.Helper()
	what := fmt.Sprintf("%d members, %s of fw1, %s of the others %v later", n, a, b, apart)
	w := pairOf(t, n, nil)
	first, second := func() { breaks(w, 0, a) }, func() {
		for id := 1; id < n; id++ {
			breaks(w, uint8(id), b)
		}
	}
	if apart < 0 {
		first, second, apart = second, first, -apart
	}
	first()
	oneServes(t, w, apart, what)
	second()
	serving := oneServes(t, w, 4*time.Second, what)
	for id := range uint8(n) {
		want := members.StateDown
		if id == serving {
			want = members.StateActiveAttention
		}
		if v, _ := w.View(id); v.State != want || v.Active != serving {
			t.Errorf("%s: fw%d serves, but %s", what, serving+1, w.Machine(id).Why())
		}
	}
	mends(w, 0, a)
	for id := 1; id < n; id++ {
		mends(w, uint8(id), b)
	}
	serving = oneServes(t, w, 3*time.Second, what+", mended")
	for id := range uint8(n) {
		want := members.StateStandby
		if id == serving {
			want = members.StateActive
		}
		if v, _ := w.View(id); v.State != want {
			t.Errorf("%s, mended: %s", what, w.Machine(id).Why())
		}
	}
}
