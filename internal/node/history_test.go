// SPDX-License-Identifier: Apache-2.0

package node

import (
	"slices"
	"testing"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/members/device"
)

// TestBlamePeer: a hand-over is blamed on the peer's first real problem, and on the interface that it told of.
func TestBlamePeer(t *testing.T) {
	v := members.View{Interfaces: []members.LocalInterface{{Slot: 0, Name: "outside"}, {Slot: 1, Name: "inside"}},
		Members: []members.PeerView{{}, {Problems: []members.DeviceView{{Name: device.ProblemNotification, Status: device.Problem},
			{Name: device.Routing, Status: device.Init}, {Name: device.InterfaceActiveCheck, Status: device.Problem}}}}}
	told := &ccp.Hello{Interfaces: []ccp.InterfaceView{{Slot: 0, Carrier: true}, {Slot: 1, Problem: true}}}
	if d, i := blamePeer(v, 1, told); d != device.InterfaceActiveCheck || i != "inside" {
		t.Errorf("blames %s, %s", d, i)
	}
	if d, i := blamePeer(v, 1, nil); d != device.InterfaceActiveCheck || i != "" {
		t.Errorf("untold: blames %s, %s", d, i)
	}
	v.Members[1].Problems = []members.DeviceView{{Name: "disk", Status: device.Problem}}
	if d, i := blamePeer(v, 1, told); d != "disk" || i != "" {
		t.Errorf("blames %s, %s", d, i)
	}
}

// TestLogged: an event's line in the log has what there is, and no empty places.
func TestLogged(t *testing.T) {
	for _, k := range []struct {
		ev   control.Event
		want []any
	}{
		{control.Event{Member: "gw-a", Reason: "state synchronisation is OK"}, []any{"member", "gw-a", "reason", "state synchronisation is OK"}},
		{control.Event{Member: "gw-a", From: "STANDBY", To: "ACTIVE", Term: 3, Interface: "outside", Device: "disk", GapMs: 31, Reason: "gw-b is silent"},
			[]any{"member", "gw-a", "from", "STANDBY", "to", "ACTIVE", "term", uint32(3), "interface", "outside", "device", "disk", "gap_ms", 31.0, "reason", "gw-b is silent"}},
	} {
		if got := logged(k.ev); !slices.Equal(got, k.want) {
			t.Errorf("%+v: %v, want %v", k.ev, got, k.want)
		}
	}
}
