// SPDX-License-Identifier: Apache-2.0

package pmtu

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/ruleset"
	"github.com/holdfast-project/holdfast/lab/topology"
	"github.com/holdfast-project/holdfast/lab/topology/topologytest"
)

// TestTold has a gateway that translates bring the errors back to their sockets, and then one that has forgotten the flows.
func TestTold(t *testing.T) {
	lab := topologytest.Routed(t, "pmtu", "nft")
	gateway, client, server := lab.Nodes[0].NS, lab.OfKind(topology.Client)[0], lab.OfKind(topology.Server)[0]
	addVIPs(t, lab.Nodes[0], "ext", "10.1.0.1/16", "fd00:0:0:1::1/64")
	if err := ruleset.Load(gateway, ruleset.Stateful); err != nil {
		t.Fatal(err)
	}
	vips := map[int]netip.Addr{4: netip.MustParseAddr("10.1.0.1"), 6: netip.MustParseAddr("fd00:0:0:1::1")}
	const count = 200
	for _, family := range []int{4, 6} {
		for name, c := range map[string]Config{
			"straight":    {From: client, To: server},
			"source":      {From: server, To: client},
			"destination": {From: client, To: server, At: vips[family]},
		} {
			t.Run(fmt.Sprintf("%s-v%d", name, family), func(t *testing.T) {
				c.Family, c.Count = family, count
				r, err := Run(t.Context(), c)
				if err != nil || r.Flows != count || r.Reached != count || r.Told != count || r.Wrong != 0 {
					t.Errorf("%+v, %v", r, err)
				}
			})
		}
	}
	// Without a rule for what is related nothing comes back.
	if err := ruleset.Load(gateway, "table inet before {\nchain f {\ntype filter hook forward priority -10\nct state related drop\n}\n}\n"); err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), Config{From: server, To: client, Count: 3})
	if err != nil || r.Reached != 3 || r.Told != 0 || r.Missed == "" {
		t.Errorf("%+v, %v", r, err)
	}
}

func addVIPs(t *testing.T, n *topology.Node, device string, vips ...string) {
	t.Helper()
	topologytest.Change(t, n, device, func(h *netlink.Handle, dev netlink.Link) error {
		for _, v := range vips {
			addr, err := netlink.ParseAddr(v)
			if err != nil {
				return err
			}
			addr.Flags = unix.IFA_F_NODAD
			if err := h.AddrAdd(dev, addr); err != nil {
				return err
			}
		}
		return nil
	})
}
