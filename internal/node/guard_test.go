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
	"time"

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

// TestUnasked: it is looked at once whether the gate is there if its peers answer and ask it nothing any more.
func TestUnasked(t *testing.T) {
	const dead, now = 30 * time.Millisecond, int64(time.Hour)
	ago := func(d time.Duration) int64 { return now - int64(d) }
	for _, tt := range []struct {
		name     string
		probed   int64
		answered bool
		want     bool
	}{
		{"asked a moment ago", ago(dead - 1), true, false},
		{"not asked for the dead interval", ago(dead), true, true},
		{"nobody is there", ago(time.Minute), false, false},
		{"never asked", 0, true, false},
	} {
		if got := unasked(tt.probed, now, dead, tt.answered); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
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

// TestHostIsLeftAloneForAMoment: a program that takes a VIP off lo on sight makes the host be brought in line once a second, not as fast as it can.
func TestHostIsLeftAloneForAMoment(t *testing.T) {
	vip := netip.MustParseAddr("10.0.0.1")
	p := &port{Interface: config.Interface{Name: "inside", Role: config.RoleCluster, VIPs: []config.VIP{{Addr: vip}}}, device: "eth1", index: 7}
	n := &node{ports: []*port{p}, cfg: &config.Cluster{}, log: slog.New(slog.DiscardHandler), links: link.NewWorker(nil, nil)}
	gone := func() {
		n.addressEvent(link.AddressChanged{Index: loopback, Prefix: netip.PrefixFrom(vip, 32), Gone: true})
	}
	gone()
	first := n.due.hosted
	if first == 0 || n.due.host != 0 {
		t.Fatalf("brought in line at %d, due at %d: not at once", first, n.due.host)
	}
	for range 100 {
		if gone(); n.due.hosted != first {
			if n.due.hosted-first < int64(hostLeast) {
				t.Fatalf("brought in line again after %v", time.Duration(n.due.hosted-first))
			}
			first = n.due.hosted // so long it took
		}
	}
	gone()
	if n.due.host < first || n.due.host > first+int64(hostLeast) {
		t.Errorf("due %v later: not the next time the host is guarded", time.Duration(n.due.host-first))
	}
}

// TestRepeatsAreCounted: what comes each second for ever is said once, and then how often it came, once a minute.
func TestRepeatsAreCounted(t *testing.T) {
	const second = int64(time.Second)
	var r repeats
	said, told := 0, 0
	for now := second; now <= 300*second; now += second {
		if r.comes(now, "egress") {
			said++
		}
		times, last := r.sum(now)
		if told += times; times > 0 && (times != 60 || last != "egress") {
			t.Errorf("at %d s: %d times, the last time %s", now/second, times, last)
		}
	}
	if said != 1 || told != 240 || r.more != 59 {
		t.Errorf("said %d times and then of %d, %d are not told of yet", said, told, r.more)
	}
	// When it has ended the rest is told, and what comes long after is news.
	if times, _ := r.sum(400 * second); times != 59 {
		t.Errorf("%d told of at the end", times)
	}
	if times, _ := r.sum(500 * second); times != 0 || !r.comes(500*second, "") {
		t.Errorf("%d told of twice, or what comes much later is not said", times)
	}
}
