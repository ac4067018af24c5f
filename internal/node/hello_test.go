// SPDX-License-Identifier: Apache-2.0

package node

import (
	"math"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/internal/pulse"
	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/members/device"
)

// TestWireNumbers holds the machine's numbers and the wire's together: the node converts one into the other.
func TestWireNumbers(t *testing.T) {
	for m, w := range map[members.State]ccp.State{
		members.StateInit: ccp.StateInit, members.StateReady: ccp.StateReady, members.StateStandby: ccp.StateStandby,
		members.StateActive: ccp.StateActive, members.StateActiveAttention: ccp.StateActiveAttention,
		members.StateDown: ccp.StateDown, members.StateLost: ccp.StateLost,
	} {
		if uint8(m) != uint8(w) || m.String() != w.String() {
			t.Errorf("state %v is %d, on the wire %v is %d", m, m, w, w)
		}
	}
	for m, w := range map[device.Status]ccp.DeviceStatus{
		device.OK: ccp.DeviceOK, device.Init: ccp.DeviceInit, device.Problem: ccp.DeviceProblem,
	} {
		if uint8(m) != uint8(w) {
			t.Errorf("device status %v is %d, on the wire %d", m, m, w)
		}
	}
	for m, w := range map[members.Recovery]ccp.Recovery{
		members.RecoveryMaintainCurrent: ccp.RecoveryMaintainCurrent, members.RecoveryHighestPriority: ccp.RecoveryHighestPriority,
	} {
		if uint8(m) != uint8(w) {
			t.Errorf("recovery mode %v is %d, on the wire %d", m, m, w)
		}
	}
	for m, w := range map[members.Result]ccp.Result{
		members.Granted: ccp.ResultGranted, members.Refused: ccp.ResultRefused,
		members.TooYoung: ccp.ResultTooYoung, members.WrongIncarnation: ccp.ResultWrongIncarnation,
	} {
		if uint8(m) != uint8(w) {
			t.Errorf("result %v is %d, on the wire %d", m, m, w)
		}
	}
	for m, w := range map[members.YieldKind]ccp.YieldKind{
		members.YieldCourtesy: ccp.YieldCourtesy, members.YieldClaim: ccp.YieldClaim, members.YieldGraceful: ccp.YieldGraceful,
	} {
		if yieldKind(m) != w {
			t.Errorf("yield kind %d becomes %d, want %d", m, yieldKind(m), w)
		}
	}
}

func TestHeard(t *testing.T) {
	got := heard(pulse.Heard{Peer: 2, Slot: 1, At: 77, RTT: 5, Incarnation: 9, Reply: ccp.Reply{
		Term: 4, LeaseAgeMs: 120, FenceTerm: 6, Grantee: 1, Closed: 3, Heard: [8]uint8{1, 2, 3},
		Bits: ccp.BitAnswer | ccp.BitAlone | ccp.BitWatched}})
	want := members.Heard{Peer: 2, Iface: 1, At: 77, RTT: 5, Incarnation: 9, Term: 4, LeaseAge: 120 * time.Millisecond,
		FenceTerm: 6, Grantee: 1, Closed: 3, Heard: [8]uint8{1, 2, 3}, Serving: true, Alone: true, Watched: true}
	if got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if none := heard(pulse.Heard{Reply: ccp.Reply{LeaseAgeMs: ccp.NoLease}}); none.LeaseAge != 0 {
		t.Errorf("no lease has the age %v", none.LeaseAge)
	}
}

func TestFromWire(t *testing.T) {
	w := ccp.Hello{State: ccp.StateDown, Term: 3, Mode: ccp.ModeHA, Recovery: ccp.RecoveryHighestPriority, Version: 2, FrozenMs: 1500,
		Forced: ccp.Forced{To: 1, ForMs: 60000, ID: 5, Done: true}, Weight: 7, Omitted: 2,
		Devices:    []ccp.DeviceView{{Name: "disk", Status: ccp.DeviceProblem, Reason: "full"}},
		Interfaces: []ccp.InterfaceView{{Slot: 1, Carrier: true, Problem: true, Proven: true, CarrierAgeMs: 9, NeighbourAgeMs: ccp.AgeNever}}}
	w.View[1] = ccp.MemberView{State: ccp.StateLost, AgeMs: 40, HelloAgeMs: ccp.AgeNever}
	w.Budget = ccp.Budget{Left: 2, Limit: 5, DampedMs: 700}
	m := fromWire(12, &w)
	if m.Incarnation != 12 || m.State != members.StateDown || m.Term != 3 || m.Mode != "ha" || m.Recovery != members.RecoveryHighestPriority ||
		m.Frozen != 1500*time.Millisecond || m.ForcedTo != 1 || m.ForcedFor != time.Minute || m.ForcedID != 5 || !m.ForcedDone || m.Version != 2 ||
		m.Weight != 7 || m.Omitted != 2 {
		t.Errorf("got %+v", m)
	}
	if m.View[1] != (members.MemberView{State: members.StateLost, Age: 40 * time.Millisecond, HelloAge: math.MaxInt64}) {
		t.Errorf("view: %+v", m.View[1])
	}
	if len(m.Devices) != 1 || m.Devices[0] != (members.DeviceView{Name: "disk", Status: device.Problem, Reason: "full"}) {
		t.Errorf("devices: %+v", m.Devices)
	}
	if m.Budget != (members.Budget{Left: 2, Limit: 5, Damped: 700 * time.Millisecond}) {
		t.Errorf("budget: %+v", m.Budget)
	}
	if want := (members.InterfaceView{Slot: 1, Carrier: true, Problem: true, Proven: true, CarrierAge: 9 * time.Millisecond, NeighbourAge: math.MaxInt64}); len(m.Interfaces) != 1 || m.Interfaces[0] != want {
		t.Errorf("interfaces: %+v", m.Interfaces)
	}
}

func TestMillisSaturates(t *testing.T) {
	if millis(-time.Second) != 0 || millis(1<<62) == ccp.AgeNever || millis(time.Second) != 1000 {
		t.Error(millis(-time.Second), millis(1<<62), millis(time.Second))
	}
}
