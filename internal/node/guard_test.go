// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/holdfast-project/holdfast/dataplane/link"
	"github.com/holdfast-project/holdfast/internal/config"
)

// TestGuardTellsWhatIsMissing: ports that the gate still hangs on are not told of, and a guard that nobody listens to ends with its context.
func TestGuardTellsWhatIsMissing(t *testing.T) {
	gone := map[int]string{3: "ingress", 4: "egress"}
	g := newGuard(func(index int, gated bool) string {
		if !gated {
			return ""
		}
		return gone[index]
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.serve(ctx) }()
	g.ask <- []guarded{{slot: 0, index: 2, gated: true}}
	g.ask <- []guarded{{slot: 0, index: 2, gated: true}, {slot: 1, index: 3, gated: true}, {slot: 2, index: 4}}
	if got, want := <-g.found, []guarded{{slot: 1, index: 3, gated: true, missing: "ingress"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("found %+v, want %+v", got, want)
	}
	g.ask <- []guarded{{slot: 1, index: 3, gated: true}}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestRenamedDeviceIsUsed: the host is brought in line under the name that a device has now, and that is said.
func TestRenamedDeviceIsUsed(t *testing.T) {
	vip := config.VIP{Addr: netip.MustParseAddr("10.0.0.1")}
	p := &port{Interface: config.Interface{Name: "inside", Role: config.RoleCluster, VIPs: []config.VIP{vip}}, device: "eth1", named: "lan0", index: 7, attached: true}
	n := &node{ports: []*port{p}, cfg: &config.Cluster{Path: "cluster.yaml"}, log: slog.New(slog.DiscardHandler)}
	if got := n.desired().Interfaces[0].Name; got != "lan0" {
		t.Errorf("the host is brought in line on %s, want lan0", got)
	}
	n.noteFault(&n.hostFault, errors.New("one\ntwo"))
	got := strings.Join(n.hostWarnings(), "|")
	if want := "one; two|interface inside: device eth1 is called lan0 now; it is used until the daemon ends: rename it back, or correct cluster.yaml"; got != want {
		t.Errorf("warnings %q, want %q", got, want)
	}
	n.noteFault(&n.hostFault, nil)
	p.named = "eth1"
	if got := n.hostWarnings(); len(got) != 0 {
		t.Errorf("warnings when all is well: %q", got)
	}
	own := netip.MustParsePrefix("10.0.0.2/24")
	n.local.Self.Interfaces = map[string]config.MemberInterface{"inside": {Addresses: []netip.Prefix{own}}}
	if got := strings.Join(n.hostWarnings(), "|"); !strings.HasPrefix(got, "interface inside: eth1 does not have 10.0.0.2/24, ") {
		t.Errorf("warnings without the own address: %q", got)
	}
	n.sync.local.take(link.AddressChanged{Index: 7, Prefix: own})
	if got := n.hostWarnings(); len(got) != 0 {
		t.Errorf("warnings with the own address: %q", got)
	}
	for addr, want := range map[string]bool{"10.0.0.1": true, "10.0.0.2": false} {
		if got := n.virtual(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s is virtual: %v", addr, got)
		}
	}
}
