// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"net"
	"testing"

	"github.com/holdfast-project/holdfast/members/gate"
)

// TestMemberMACsStay: a daemon that learns them one after the other takes none away.
func TestMemberMACsStay(t *testing.T) {
	g := openGate(t, testOptions(newPinDir(t)))
	mac := func(last byte) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 0, last} }
	for _, macs := range [][gate.Members]net.HardwareAddr{{1: mac(1)}, {2: mac(2)}, {1: mac(3)}, {}} {
		if err := g.SetMemberMACs(4, macs); err != nil {
			t.Fatal(err)
		}
	}
	var value kernelNeighbours
	if err := g.objects.Neighbours.Lookup(uint32(4), &value); err != nil {
		t.Fatal(err)
	}
	for member, last := range map[int]byte{0: 0, 1: 3, 2: 2, 3: 0} {
		var want [6]byte
		if last != 0 {
			want = [6]byte(mac(last))
		}
		if head, tail := macWords(want); value.Mac[member].Head != head || value.Mac[member].Tail != tail {
			t.Errorf("member %d: %+v", member, value.Mac[member])
		}
	}
	if err := g.SetMemberMACs(4, [gate.Members]net.HardwareAddr{1: {1, 0, 0x5e, 0, 7, 0}}); err == nil {
		t.Error("a multicast MAC was taken")
	}
}
