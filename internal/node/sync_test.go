// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/link"
	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/internal/policyplane"
	"github.com/holdfast-project/holdfast/internal/statesync"
	"github.com/holdfast-project/holdfast/members"
)

func names(id uint8) string {
	if id > 2 {
		return ""
	}
	return [...]string{"gw-a", "gw-b", "gw-c"}[id]
}

// TestReadiness: what the machine is told of the own table, by the plane's state and by what the server says of its own.
func TestReadiness(t *testing.T) {
	owner, off := &ccp.SyncView{Incarnation: 7, Role: ccp.SyncOwner}, &ccp.SyncView{Incarnation: 7, Role: ccp.SyncOff}
	waiting := statesync.Progress{Peer: ccp.Nobody}
	for _, k := range []struct {
		name   string
		s      statesync.State
		server *ccp.SyncView
		want   members.SyncReady
		known  bool
	}{
		{"the plane does not run", statesync.State{}, owner, members.SyncReady{Ready: true}, true},
		{"the server has none", statesync.State{Incarnation: 1, Owner: ccp.Nobody, FullSync: waiting}, &ccp.SyncView{}, members.SyncReady{Ready: true}, true},
		{"the server has it switched off", statesync.State{Incarnation: 1, Owner: ccp.Nobody, FullSync: waiting}, off, members.SyncReady{Ready: true}, true},
		{"no owner is known", statesync.State{Incarnation: 1, Current: true, Owner: ccp.Nobody, FullSync: waiting}, nil, members.SyncReady{}, false},
		{"a copy has all", statesync.State{Incarnation: 1, Current: true, Role: statesync.RoleCopy, Owner: 0}, owner, members.SyncReady{Ready: true}, true},
		{"a copy waits", statesync.State{Incarnation: 1, Role: statesync.RoleCopy, Owner: 0, FullSync: waiting}, owner, members.SyncReady{Reason: "waits for a full sync"}, true},
		{"a copy of few receives", statesync.State{Incarnation: 1, Role: statesync.RoleCopy, FullSync: statesync.Progress{Running: true, Peer: 0, Done: 3, Total: 5}}, owner,
			members.SyncReady{Reason: "full sync from gw-a is running"}, true},
		{"a copy asks", statesync.State{Incarnation: 1, Role: statesync.RoleCopy, FullSync: statesync.Progress{Running: true, Peer: 0, Stage: "asking", Took: time.Second}}, owner,
			members.SyncReady{Reason: "full sync from gw-a is running"}, true},
		{"a copy asks in vain", statesync.State{Incarnation: 1, Role: statesync.RoleCopy, FullSync: statesync.Progress{Running: true, Peer: 0, Stage: "asking", Took: 3 * time.Second}}, owner,
			members.SyncReady{Reason: "full sync from gw-a: no answer comes through; compare the MTU of the sync interfaces of both members and of what is between them"}, true},
		{"a copy of many receives", statesync.State{Incarnation: 1, Role: statesync.RoleCopy, FullSync: statesync.Progress{Running: true, Peer: 2, Done: 234_567, Total: 512_345}}, owner,
			members.SyncReady{Reason: "full sync from gw-c: 40 % of about 510000 connections"}, true},
		{"more came than was expected", statesync.State{Incarnation: 1, Role: statesync.RoleCopy, FullSync: statesync.Progress{Running: true, Peer: 2, Done: 9000, Total: 1000}}, owner,
			members.SyncReady{Reason: "full sync from gw-c: 100 % of about 1000 connections"}, true},
	} {
		if got, known := readiness(k.s, k.server, names); got != k.want || known != k.known {
			t.Errorf("%s: %+v, %v; want %+v, %v", k.name, got, known, k.want, k.known)
		}
	}
}

// TestPlaneThatDoesNotRun: a member that serves without a plane says so in its HELLOs, and who stands by waits for nothing.
func TestPlaneThatDoesNotRun(t *testing.T) {
	broken := errors.New("no sockets today")
	plane, err := statesync.New(statesync.Config{Cluster: 7, Members: 2, UseKey: 1, Keys: []ccp.Key{{Number: 1, Key: ccp.ClusterKey{1}}},
		Interfaces: []statesync.Interface{{Name: "sync", Index: 2, Up: true}}, Within: func(func() error) error { return broken }}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	plane.SetRole(true, 3)
	if s := plane.State(); s.Incarnation == 0 || s.Role != statesync.RoleOwner {
		t.Errorf("a plane that is about to run: %+v", s)
	}
	for len(plane.Changes()) > 0 {
		<-plane.Changes()
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- plane.Serve(ctx) }()
	<-plane.Changes()
	owner := &node{sync: syncing{state: plane.State()}}
	said := owner.syncView()
	if said.Incarnation != 0 || said.Role != ccp.SyncOff || !strings.Contains(owner.sync.state.Reason, broken.Error()) {
		t.Errorf("the owner says %+v, %q", said, owner.sync.state.Reason)
	}
	if r, known := readiness(statesync.State{Incarnation: 1, Role: statesync.RoleCopy, FullSync: statesync.Progress{Peer: ccp.Nobody}}, &said, names); !known || !r.Ready {
		t.Errorf("a copy: %+v, %v", r, known)
	}
	if r, known := readiness(owner.sync.state, nil, names); !known || !r.Ready {
		t.Errorf("the owner itself: %+v, %v", r, known)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestSyncRoles holds the plane's roles and the wire's together.
func TestSyncRoles(t *testing.T) {
	for role, want := range map[statesync.Role]ccp.SyncRole{statesync.RoleOff: ccp.SyncOff, statesync.RoleOwner: ccp.SyncOwner, statesync.RoleCopy: ccp.SyncCopy} {
		n := &node{sync: syncing{state: statesync.State{Role: role}}}
		if got := n.syncView().Role; got != want || syncRole(got) != role {
			t.Errorf("%v becomes %v, and that %v", role, got, syncRole(got))
		}
	}
	if got := syncRole(77); got != statesync.RoleOff {
		t.Errorf("an unknown role becomes %v", got)
	}
}

func TestSyncView(t *testing.T) {
	n := &node{sync: syncing{state: statesync.State{Incarnation: 9, Role: statesync.RoleOwner, Status: statesync.StatusAtRisk, Current: true, Entries: 1 << 40, Digest: 5, Delta: 77,
		Peers: []statesync.PeerState{{ID: 1, Unacked: 12, Lag: 3 * time.Millisecond}, {ID: 2, Unacked: 5, Lag: 40 * time.Millisecond}}}}}
	want := ccp.SyncView{Incarnation: 9, Role: ccp.SyncOwner, Current: true, AtRisk: true, Entries: 1<<32 - 1, Digest: 5, LagRecords: 12, LagMs: 40, Sequence: 77}
	if got := n.syncView(); got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// TestCountsAreNoNews: a HELLO goes everywhere for what is new, and the number of connections is never the same.
func TestCountsAreNoNews(t *testing.T) {
	said := func(v ccp.SyncView) string { return string(appendLasting(nil, &ccp.Hello{Sync: v})) }
	base := ccp.SyncView{Incarnation: 9, Role: ccp.SyncCopy, Current: true}
	other := base
	other.Entries, other.Digest, other.LagRecords, other.LagMs, other.Sequence = 1, 2, 3, 4, 5
	if said(base) != said(other) {
		t.Error("counts are news")
	}
	for i, v := range []ccp.SyncView{{Incarnation: 8, Role: ccp.SyncCopy, Current: true}, {Incarnation: 9, Role: ccp.SyncOwner, Current: true},
		{Incarnation: 9, Role: ccp.SyncCopy}, {Incarnation: 9, Role: ccp.SyncCopy, Current: true, AtRisk: true}} {
		if said(base) == said(v) {
			t.Errorf("change %d is no news", i)
		}
	}
}

func TestSyncServices(t *testing.T) {
	got := syncServices([]config.SyncService{{Protocol: 6, First: 80, Last: 81, After: 3 * time.Second}, {Protocol: 1, Never: true}})
	want := []statesync.Service{{Name: "tcp/80-81 after 3s", Protocol: 6, From: 80, To: 81, After: 3 * time.Second}, {Name: "icmp never", Protocol: 1, To: 65535, Never: true}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// TestSyncAddresses: own addresses of all members, the cluster's, and the networks of both, each once.
func TestSyncAddresses(t *testing.T) {
	data, err := os.ReadFile("../../deploy/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse("cluster.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	own, virtual, networks := syncAddresses(c)
	text := fmt.Sprint(own, virtual, networks)
	for _, want := range []string{"192.0.2.2 ", "10.99.0.3 ", "2001:db8:2::3", "203.0.113.10", "fe80::1", "203.0.113.8/29", "10.0.0.0/24", "2001:db8:1::/64"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	for i := range networks {
		if i > 0 && networks[i] == networks[i-1] {
			t.Errorf("%v is there twice", networks[i])
		}
	}
	if strings.Contains(text, "192.0.2.80") {
		t.Error("a proxied address belongs to a host behind the gateway")
	}
}

// TestSyncNews: operators hear of a status that lasts, of full syncs, losses, evictions and repairs, each once.
func TestSyncNews(t *testing.T) {
	var k syncNews
	var s statesync.State
	var c statesync.Stats
	s.Owner, s.Role = 0, statesync.RoleCopy
	said := func() string {
		var all []string
		for _, r := range k.take(s, c, names) {
			all = append(all, r.Code.String()+": "+r.Reason)
		}
		return strings.Join(all, "\n")
	}
	for i, step := range []struct {
		change func()
		want   string
	}{
		{func() { s.Reason = "not started" }, ""},
		{func() {}, ""}, // off at the start is nothing that has happened
		{func() { s.Status, s.Reason = statesync.StatusAtRisk, "full sync running" }, ""},
		{func() { s.FullSync = statesync.Progress{Full: true, Running: true, Peer: 0, Total: 5000} },
			"sync-at-risk: state synchronisation is at risk: full sync running\nfull-sync-begun: a full sync from gw-a has begun: about 5000 connections"},
		{func() { s.FullSync.Running, s.FullSync.Done, s.FullSync.Removed, s.Current = false, 5003, 2, true },
			"full-sync-done: the full sync from gw-a is done: 5003 connections, 2 stale ones removed"},
		{func() { s.Status, s.Reason = statesync.StatusOK, "" }, ""},
		{func() {}, "sync-ok: state synchronisation is OK"},
		{func() { s.Status = statesync.StatusAtRisk }, ""}, // a moment
		{func() { s.Status = statesync.StatusOK }, ""},
		{func() {}, ""},
		{func() { c.EventsLost, c.EventBuffer = 2, 4096 },
			"sync-events-lost: the kernel has lost events 2 times: their room was full (4096 bytes); what is missing is found and repaired"},
		{func() {
			c.Differences, c.Repairs, s.FullSync = 1, 1, statesync.Progress{Peer: 0, Buckets: 3, Done: 40, Removed: 1}
		}, "sync-repaired: this member's table differed from gw-a's, and was repaired: 3 buckets, 40 records, 1 stale ones removed"},
		{func() { s.Peers = []statesync.PeerState{{ID: 2, Evicted: true}} },
			"sync-evicted: gw-c is away: it is not waited for, and gets a repair when it is back"},
		{func() { s.Peers = []statesync.PeerState{{ID: 2}} }, "sync-returned: gw-c takes part in state synchronisation again"},
		{func() { s.Peers = []statesync.PeerState{{ID: 2, Bound: true, Evicted: true}} },
			"sync-evicted: gw-c is too slow: it is not waited for, and gets a repair when it keeps up"},
		{func() { s.Peers = []statesync.PeerState{{ID: 2}} }, "sync-returned: gw-c takes part in state synchronisation again"},
		{func() {
			s.Current, s.FullSync = false, statesync.Progress{Full: true, Running: true, Peer: 0, Total: 5000}
		},
			"full-sync-begun: a full sync from gw-a has begun: about 5000 connections"},
		{func() { s.FullSync = statesync.Progress{Peer: 0, Buckets: 3, Done: 40} }, ""}, // to be tried again
		{func() { s.Current = true }, "full-sync-done: the full sync from gw-a is done: the tables were equal"},
		{func() {
			s.Current, s.FullSync = false, statesync.Progress{Full: true, Running: true, Peer: 0, Total: 5000}
		},
			"full-sync-begun: a full sync from gw-a has begun: about 5000 connections"},
		{func() { s.Current, s.FullSync = true, statesync.Progress{Full: true, Done: 1} }, "full-sync-done: the full sync from gw-a is done: 1 connections, 0 stale ones removed"},
		{func() { s.Status, s.Reason = statesync.StatusOff, "no sync interface is up" }, ""},
		{func() {}, "sync-off: state synchronisation is off: no sync interface is up"},
	} {
		step.change()
		if got := said(); got != step.want {
			t.Errorf("step %d:\n got %q\nwant %q", i, got, step.want)
		}
	}
}

func TestNamesInReasons(t *testing.T) {
	got := withNames("member 1 does not keep up; full sync of member 0 running; 1 of 2 members not reached", []string{"gw-a", "gw-b"})
	if want := "gw-b does not keep up; full sync of gw-a running; 1 of 2 members not reached"; got != want {
		t.Errorf("got %q", got)
	}
}

func TestInterfaceRates(t *testing.T) {
	var m meters
	for i, bytes := range []uint64{0, 1000, 3000, 3000, 0} { // the last after a reset
		m.sample(int64(i+1)*1e9, statesync.InterfaceState{Name: "sync", SentBytes: bytes, ReceivedBytes: bytes / 2})
	}
	if v := m.of["sync"]; v.sent != 0 || v.received != 0 || v.peak != 3000 {
		t.Errorf("%+v", v)
	}
}

// TestLocalAddresses: what the host has besides cluster.yaml, as the kernel tells of it.
func TestLocalAddresses(t *testing.T) {
	var l localAddresses
	at := func(index int, prefix string) link.AddressChanged {
		return link.AddressChanged{Index: index, Prefix: netip.MustParsePrefix(prefix)}
	}
	tentative, gone := at(3, "2001:db8::5/64"), at(2, "192.0.2.2/24")
	tentative.Tentative, gone.Gone = true, true
	for _, a := range []link.AddressChanged{at(1, "127.0.0.1/8"), at(1, "::1/128"), at(1, "10.0.0.1/32"), at(1, "10.255.0.1/32"), at(2, "192.0.2.2/24"), at(2, "192.0.2.3/24"),
		at(2, "fe80::1/64"), at(3, "172.17.0.1/16"), at(4, "172.17.0.1/24")} {
		if !l.take(a) || l.take(a) {
			t.Errorf("%v is no news, or is twice", a)
		}
	}
	if l.take(tentative) {
		t.Error("an address that is not to be used yet")
	}
	if !l.take(gone) {
		t.Error("an address that has gone")
	}
	got := fmt.Sprint(l.besides([]netip.Addr{netip.MustParseAddr("192.0.2.3")}, []netip.Addr{netip.MustParseAddr("10.0.0.1")}))
	if want := "[{10.255.0.1 true} {172.17.0.1 false}]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestStrict: connections in the middle are refused only once a copy has had all for a while.
func TestStrict(t *testing.T) {
	peer := func(role statesync.Role, bound, current bool) []statesync.PeerState {
		return []statesync.PeerState{{ID: 2}, {ID: 1, Role: role, Bound: bound, Current: current}}
	}
	for _, k := range []struct {
		name string
		s    statesync.State
		want bool
	}{
		{"alone", statesync.State{Role: statesync.RoleOwner, Current: true, Owner: 0}, false},
		{"beside an older build", statesync.State{Role: statesync.RoleCopy, Current: true, Owner: ccp.Nobody, Peers: peer(statesync.RoleOff, false, false)}, false},
		{"a copy that knows of no owner", statesync.State{Role: statesync.RoleCopy, Current: true, Owner: ccp.Nobody, Peers: peer(statesync.RoleCopy, true, true)}, false},
		{"a copy that waits", statesync.State{Role: statesync.RoleCopy, Owner: 1, Peers: peer(statesync.RoleOwner, true, true)}, false},
		{"a copy that has all", statesync.State{Role: statesync.RoleCopy, Current: true, Owner: 1, Peers: peer(statesync.RoleOwner, true, true)}, true},
		{"its owner is gone", statesync.State{Role: statesync.RoleCopy, Current: true, Owner: 1, Peers: peer(statesync.RoleOwner, false, true)}, false},
		{"an owner whose copy waits", statesync.State{Role: statesync.RoleOwner, Current: true, Peers: peer(statesync.RoleCopy, true, false)}, false},
		{"an owner whose copy has all", statesync.State{Role: statesync.RoleOwner, Current: true, Peers: peer(statesync.RoleCopy, true, true)}, true},
		{"owners of parts that have all", statesync.State{Sharing: true, Role: statesync.RoleOwner, Current: true, Peers: peer(statesync.RoleOwner, true, true)}, true},
		{"one of which waits", statesync.State{Sharing: true, Role: statesync.RoleOwner, Current: true, Peers: peer(statesync.RoleCopy, true, false)}, false},
		{"an owner whose copy is gone", statesync.State{Role: statesync.RoleOwner, Current: true, Peers: peer(statesync.RoleCopy, false, true)}, false},
	} {
		if got := synchronises(k.s); got != k.want {
			t.Errorf("%s: %v", k.name, got)
		}
	}
	var s syncing
	for i, k := range []struct {
		at      time.Duration
		current bool
		want    bool
	}{{time.Second, true, false}, {2 * time.Second, true, false}, {2500 * time.Millisecond, false, false}, {3 * time.Second, true, false}, {4900 * time.Millisecond, true, false}, {5 * time.Second, true, true}} {
		if got := s.agree(int64(k.at), k.current); got != k.want || s.strict != k.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
	has := func(strict, loose bool) bool {
		return slices.ContainsFunc(trackingSettings(config.Sync{Enabled: true, TCPLoose: loose}, strict), func(s link.Sysctl) bool { return strings.HasSuffix(s.Path, "tcp_loose") })
	}
	if has(false, false) || has(true, true) {
		t.Error("connections in the middle are refused too early, or against the configuration")
	}
}

// TestSyncConfiguredAnew: the plane is configured anew when something has changed that its configuration depends on, and nothing is worked out
// while nothing has.
func TestSyncConfiguredAnew(t *testing.T) {
	n := referenceNode(t, "gw-a")
	var p *port
	for _, i := range n.cfg.Interfaces {
		q := &port{Interface: i, index: 10 + int(i.Slot), mac: [6]byte{2, i.Slot}, carrier: true}
		if n.ports = append(n.ports, q); q.Role.Sync() && q.Monitored {
			p = q
		}
	}
	if p == nil || !n.cfg.Sync.Enabled {
		t.Fatal("the reference configuration has no interface for state synchronisation")
	}
	taken := func() bool {
		c, news := n.syncConfigured()
		if want := n.syncConfig(); !reflect.DeepEqual(c, want) {
			t.Errorf("configured %+v, want %+v", c, want)
		}
		n.sync.told = c
		return news
	}
	if !taken() {
		t.Fatal("the first is no news")
	}
	for _, tc := range []struct {
		name   string
		change func()
	}{
		{"no carrier", func() { p.carrier = false }},
		{"carrier", func() { p.carrier = true }},
		{"a fault", func() { p.fault = "the gate is not attached" }},
		{"an MTU", func() { p.mtu = 1400 }},
		{"a device made anew", func() { p.fault, p.index, p.mac = "", 99, [6]byte{2, 99} }},
		{"a device that is gone", func() { p.index = 0 }},
		{"the file", func() { c := *n.cfg; c.Sync.FullSyncRate = 12345; n.cfg = &c }},
		{"the policy in force", func() {
			n.policy.state = &policyplane.Snapshot{InForce: generation(41), Tables: []string{"inet filter"}}
		}},
		{"an address", func() { n.sync.take(link.AddressChanged{Index: 3, Prefix: netip.MustParsePrefix("10.77.0.1/24")}) }},
	} {
		if taken() {
			t.Errorf("before %s: news", tc.name)
		}
		if tc.change(); !taken() {
			t.Errorf("%s: no news", tc.name)
		}
	}
	if a := testing.AllocsPerRun(100, func() { n.syncConfigured() }); a != 0 {
		t.Errorf("%v allocations for nothing", a)
	}
}

// TestSyncReportError: why two tables were not compared is said without the name of a package.
func TestSyncReportError(t *testing.T) {
	err := fmt.Errorf("not done within 5s: %w", errors.New("statesync: member 1 does not answer"))
	if got := syncReport("gw-b", statesync.Report{}, err); got.Error != "not done within 5s: member 1 does not answer" || got.Equal {
		t.Errorf("%+v", got)
	}
}
