// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"reflect"
	"testing"

	"github.com/holdfast-project/holdfast/dataplane/link"
	"github.com/holdfast-project/holdfast/internal/config"
)

// TestWhatWasThereIsMissed: an interface whose network or forwarding was there and is gone passes nothing on; one that never had them, or of
// which the kernel does not tell, is not judged.
func TestWhatWasThereIsMissed(t *testing.T) {
	peer := netip.MustParseAddr("10.0.0.3")
	w := way{slot: 1, index: 7, named: "eth1", own: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")}, needs: []need{{to: peer}, {}, {six: true}}}
	const (
		out = "its network 10.0.0.0/24 is out of reach: set the address 10.0.0.2/24 again, or the route"
		off = "IPv4 is not forwarded any more: net.ipv4.conf.eth1.forwarding is 0"
		six = "IPv6 is not forwarded any more: net.ipv6.conf.all.forwarding is 0"
	)
	busy := errors.New("no buffer space available")
	seen := map[wayNeed]bool{}
	for i, step := range []struct {
		direct, four, six bool
		err               error
		why               string
		known             bool
	}{
		{false, false, false, nil, "", true}, // it never had any of it
		{true, false, false, nil, "", true},
		{false, false, false, nil, out, true},
		{false, false, false, busy, "", false}, // not known: what was said stays
		{true, true, true, nil, "", true},
		{true, false, true, nil, off, true},
		{false, false, false, nil, out + "; " + off + "; " + six, true},
		{true, true, true, nil, "", true},
	} {
		look := ways{direct: func(to netip.Addr, index int) (bool, error) {
			if to != peer || index != 7 {
				t.Errorf("asked for %v by %d", to, index)
			}
			return step.direct, step.err
		}, forwarded: func(_ way, v6 bool) (bool, error) {
			if v6 {
				return step.six, step.err
			}
			return step.four, step.err
		}}
		if why, known := look.look(w, seen); why != step.why || known != step.known {
			t.Errorf("step %d: %q, %t; want %q, %t", i, why, known, step.why, step.known)
		}
	}
}

// TestWaysAreToldOnce: only what is other than before is told.
func TestWaysAreToldOnce(t *testing.T) {
	there := true
	w := newWays()
	w.forwarded = func(way, bool) (bool, error) { return there, nil }
	w.direct = func(netip.Addr, int) (bool, error) { return true, nil }
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.serve(ctx) }()
	all := []way{{slot: 0, named: "eth0", needs: []need{{}}}, {slot: 1, named: "eth1", needs: []need{{}}}}
	w.ask <- all
	w.ask <- all // taken once the first has been looked at
	w.ask <- nil
	w.ask <- nil
	there = false
	w.ask <- all[:1]
	if got, want := <-w.found, []blocked{{0, "IPv4 is not forwarded any more: net.ipv4.conf.eth0.forwarding is 0"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
	w.ask <- all[:1]
	w.ask <- nil
	w.ask <- nil
	there = true
	w.ask <- all
	if got, want := <-w.found, []blocked{{0, ""}}; !reflect.DeepEqual(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestWaysOfAMember: what is asked follows from the file, ports without carrier are not asked for, and what is found is the interface's fault.
func TestWaysOfAMember(t *testing.T) {
	vips := []config.VIP{{Addr: netip.MustParseAddr("10.0.0.1")}, {Addr: netip.MustParseAddr("2001:db8::1")}}
	inside := &port{Interface: config.Interface{Name: "inside", Role: config.RoleCluster, VIPs: vips, Slot: 1}, device: "eth1", named: "eth1", index: 7,
		attached: true, up: true, carrier: true}
	outside := &port{Interface: config.Interface{Name: "outside", Role: config.RoleCluster, VIPs: vips[:1]}, device: "eth0", named: "eth0", index: 6, attached: true}
	on := func(text ...string) map[string]config.MemberInterface {
		var all []netip.Prefix
		for _, p := range text {
			all = append(all, netip.MustParsePrefix(p))
		}
		return map[string]config.MemberInterface{"inside": {Addresses: all}}
	}
	n := &node{ports: []*port{outside, inside}, log: slog.New(slog.DiscardHandler), ways: newWays(), cfg: &config.Cluster{Members: []config.Member{
		{ID: 0, Interfaces: on("10.0.0.2/24", "2001:db8::2/64")}, {ID: 1, Interfaces: on("10.9.0.3/24", "2001:db8::3/64")}, {ID: 2, Interfaces: on("10.0.0.4/24")}}}}
	n.local.Self = n.cfg.Members[0]
	n.askWays()
	want := []way{{slot: 1, index: 7, named: "eth1", own: n.local.Self.Interfaces["inside"].Addresses,
		needs: []need{{to: netip.MustParseAddr("10.0.0.4")}, {}, {to: netip.MustParseAddr("2001:db8::3")}}}}
	if got := <-n.ways.ask; !reflect.DeepEqual(got, want) {
		t.Errorf("asked for %+v,\nwant %+v", got, want)
	}
	n.waysFound([]blocked{{1, "its network is out of reach"}})
	if got := inside.faultText(); got != "its network is out of reach" {
		t.Errorf("fault %q", got)
	}
	inside.looked, inside.MinLinks, inside.bond = true, 2, link.Bond{Name: "eth1", Up: 1, Links: 2}
	if got := inside.faultText(); got != "eth1: 1 of 2 links up, needs 2" {
		t.Errorf("fault of a bond with too few links %q", got)
	}
	inside.carrier = false
	if got := inside.faultText(); got != "" {
		t.Errorf("fault without carrier %q", got)
	}
}
