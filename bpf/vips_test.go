// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/holdfast-project/holdfast/members/gate"
)

// TestSetVIPsReconciles: what is not in the new set goes, what is changed changes, and the groups in use follow.
func TestSetVIPsReconciles(t *testing.T) {
	g := newTestGate(t, true)
	serve(g, 0)
	asked := func(a netip.Addr) verdict {
		v, _ := entries[1].run(t, g, whoHas(a).bytes(), nil)
		return v
	}
	if asked(vip4) != answer || asked(vip4Group3) != drop {
		t.Fatal("the first set is not in force")
	}
	if got := g.Words().Snapshot().GroupsInUse; got != 1|1<<3 {
		t.Errorf("groups in use %b, want 0 and 3", got)
	}
	if err := g.SetVIPs([]VIP{{Addr: vip4Group3, Index: testIface}}); err != nil {
		t.Fatal(err)
	}
	if asked(vip4) != pass || asked(vip4Group3) != answer {
		t.Errorf("after the second set: %v for what went, %v for what changed its group", asked(vip4), asked(vip4Group3))
	}
	// A VMAC of a group that has no VIPs any more is nobody's, however well the others are served.
	serve(g, 0)
	if err := g.SetVIPs([]VIP{{Addr: vip4, Index: testIface}}); err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if v, _ := e.run(t, g, udpFrame{dst: vmacGroup3, src: client, from: client4, to: far4}.bytes(), nil); v != drop {
			t.Errorf("%s: a frame for the VMAC of a group without VIPs: %v, want drop", e.name, v)
		}
	}
	if got := g.Words().Snapshot().GroupsInUse; got != 1 {
		t.Errorf("groups in use %b, want 0 only", got)
	}
}

// TestSetVIPsLinkLocal: one link-local address may be there at each interface.
func TestSetVIPsLinkLocal(t *testing.T) {
	g := newTestGate(t, true)
	if err := g.SetVIPs([]VIP{{Addr: vip6Local, Index: testIface}, {Addr: vip6Local, Index: otherIf}}); err != nil {
		t.Fatal(err)
	}
	serve(g, 0)
	if v, _ := entries[1].run(t, g, whoIs(vip6Local).bytes(), nil); v != answer {
		t.Errorf("verdict %v, want an answer", v)
	}
}

func TestSetVIPsRefuses(t *testing.T) {
	g := newTestGate(t, true)
	tests := []struct {
		name string
		vips []VIP
		says string
	}{
		{"no address", []VIP{{Index: 1}}, "no address of a host"},
		{"unspecified", []VIP{{Addr: netip4Zero, Index: 1}}, "no address of a host"},
		{"multicast", []VIP{{Addr: allNodes, Index: 1}}, "no address of a host"},
		{"no interface", []VIP{{Addr: vip4}}, "no interface"},
		{"group", []VIP{{Addr: vip4, Index: 1, Group: gate.Groups}}, "group 16"},
		{"vlan", []VIP{{Addr: vip4, Index: 1, VLAN: 4095}}, "VLAN 4095"},
		{"twice", []VIP{{Addr: vip4, Index: 1}, {Addr: vip4, Index: 2}}, "twice"},
		{"twice, mapped", []VIP{{Addr: vip4, Index: 1}, {Addr: netip.AddrFrom16(vip4.As16()), Index: 1}}, "twice"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := g.SetVIPs(tt.vips); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v, want one that says %q", err, tt.says)
			}
			g.in(serves)
			if v, _ := entries[1].run(t, g, whoHas(vip4).bytes(), nil); v != answer {
				t.Error("a refused set changed the one in force")
			}
		})
	}
}

func TestSetKeyRefuses(t *testing.T) {
	g := newTestGate(t, true)
	if err := g.SetKey(KeySlots, testKey, true); err == nil {
		t.Error("a key beyond the last slot was taken")
	}
	if err := g.SetKey(testKeyNumber, testKey, false); err != nil {
		t.Fatal(err)
	}
	moved := counted(t, g, func() { entries[1].run(t, g, ccpFrame{}.bytes(), nil) })
	checkCounted(t, moved, FrameKey)
}

func TestSetTimersRefuses(t *testing.T) {
	g := newTestGate(t, true)
	if err := g.SetTimers(2, 1, 1, 1); err == nil {
		t.Error("a hard expiry before the soft one was taken")
	}
}
