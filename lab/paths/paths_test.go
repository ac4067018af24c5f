// SPDX-License-Identifier: Apache-2.0

package paths_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/holdfast-project/holdfast/lab/churn"
	"github.com/holdfast-project/holdfast/lab/paths"
	"github.com/holdfast-project/holdfast/lab/topology"
	"github.com/holdfast-project/holdfast/lab/topology/topologytest"
)

// TestBothWays opens connections through one router and then with the way back through another, and asks who forwarded what.
func TestBothWays(t *testing.T) {
	lab := topologytest.Routed(t, "paths", "ip")
	client, server := lab.OfKind(topology.Client)[0], lab.OfKind(topology.Server)[0]
	w, err := paths.Start(t.Context(), lab)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Stop(); err != nil {
			t.Error(err)
		}
	})
	const count = 500
	open := func(first uint16, p churn.Protocol) paths.Report {
		t.Helper()
		w.Mark()
		r, err := churn.Start(t.Context(), churn.Config{
			Client: client, Server: server, Protocol: p, Count: count, Rate: 5000, Answer: true, Payload: churn.NumberLen, FirstPort: first,
		})
		if err != nil {
			t.Fatal(err)
		}
		<-r.Done()
		if _, err := r.Stop(); err != nil {
			t.Fatal(err)
		}
		return w.Report()
	}
	for _, p := range []churn.Protocol{churn.UDP, churn.TCP} {
		// Neighbours are asked for at first, and a queue for them is short.
		r := open(20000, p)
		if r.Numbered < count*8/10 || r.Both != r.Numbered || r.Apart != 0 || r.Twice != 0 || r.Share("fw1") != 1 || r.Packets["fw2"] != 0 || r.Missed != 0 {
			t.Errorf("%s through one member: %+v", p, r)
		}
	}
	flow := paths.Flow{Protocol: 17, From: netip.MustParseAddrPort("10.1.1.1:1100"), To: netip.MustParseAddrPort("10.2.1.1:20000")}
	if m, at := w.Latest(flow); m != "fw1" || time.Since(at) > time.Minute {
		t.Errorf("%+v went through %q at %v", flow, m, at)
	}
	if m, _ := w.Latest(paths.Flow{}); m != "" {
		t.Errorf("nobody's flow went through %q", m)
	}
	reroute(t, server, "10.2.0.12")
	if r := open(21000, churn.UDP); r.Both < count*8/10 || r.Apart != r.Both || r.Example == "" || r.Packets["fw2"] < count*8/10 {
		t.Errorf("through two members: %+v", r)
	}
	if r := open(21000, churn.UDP); r.Both != count || r.Twice != 0 {
		t.Errorf("the same connections again: %+v", r)
	}
}

// reroute lets an end station use another router.
func reroute(t *testing.T, n *topology.Node, router string) {
	t.Helper()
	topologytest.Change(t, n, n.Ports[0].Device, func(h *netlink.Handle, dev netlink.Link) error {
		return h.RouteReplace(&netlink.Route{LinkIndex: dev.Attrs().Index, Dst: everywhere(), Gw: netip.MustParseAddr(router).AsSlice()})
	})
}

func everywhere() *net.IPNet { return &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)} }
