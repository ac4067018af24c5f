// SPDX-License-Identifier: Apache-2.0

package node

import (
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/ccp/segment"
	"github.com/holdfast-project/holdfast/dataplane/link/linktest"
	"github.com/holdfast-project/holdfast/internal/config"
)

// TestWireAfterADeviceReturned: with its old index, and the kernel's word of it lost, nothing differs but that its socket is dead.
func TestWireAfterADeviceReturned(t *testing.T) {
	here, there, elsewhere := linktest.New(t), linktest.New(t), linktest.New(t)
	index, _ := linktest.Veth(here, "e0", there, "p0")
	p := &port{Interface: config.Interface{Name: "inside", Slot: 1, Monitored: true}, index: index, mac: here.MAC("e0")}
	w := &wire{n: &node{cfg: &config.Cluster{ID: 7, CCP: config.CCP{EtherType: ccp.DefaultEtherType}}, ports: []*port{p}}, conns: map[uint8]*socket{}}
	defer w.close()
	configure := func() *socket {
		t.Helper()
		here.Do(w.configure)
		return w.conns[p.Slot]
	}
	first := configure()
	if configure() != first {
		t.Error("a socket that is well was replaced")
	}
	for _, from := range []*linktest.Namespace{here, elsewhere} {
		to := elsewhere
		if from == elsewhere {
			to = here
		}
		var handle netns.NsHandle
		to.Do(func() (err error) { handle, err = netns.Get(); return err })
		from.Do(func() error {
			l, err := netlink.LinkByName("e0")
			if err != nil {
				return err
			}
			return netlink.LinkSetNsFd(l, int(handle))
		})
		_ = handle.Close()
	}
	here.SetUp("e0", true)
	if back := here.Index("e0"); back != index {
		t.Fatalf("the device came back as %d, was %d", back, index)
	}
	second := configure()
	if second == first {
		t.Fatal("the socket of a device that was gone is kept")
	}
	if first.conn.Send(make([]byte, 104), segment.Broadcast) == nil {
		t.Error("the first socket still sends")
	}
	if !second.conn.Bound() {
		t.Error("the second socket is not the device's")
	}
}
