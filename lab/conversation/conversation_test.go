// SPDX-License-Identifier: Apache-2.0

package conversation

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/lab/netns"
	"github.com/holdfast-project/holdfast/lab/reset"
	"github.com/holdfast-project/holdfast/lab/ruleset"
	"github.com/holdfast-project/holdfast/lab/topology"
	"github.com/holdfast-project/holdfast/lab/topology/topologytest"
)

// stand is a topology whose first member filters and routes, without cluster software.
type stand struct {
	lab            *topology.Lab
	gateway        *netns.NS
	client, server *topology.Node
}

func build(t *testing.T) stand {
	t.Helper()
	lab := topologytest.Routed(t, "conversation", "nft", "conntrack", "ip")
	s := stand{lab, lab.Nodes[0].NS, lab.OfKind(topology.Client)[0], lab.OfKind(topology.Server)[0]}
	// What members get from the cluster: its addresses, and no picking up of connections in the middle.
	s.on(t, "ip", "addr", "add", "10.1.0.1/16", "dev", "ext")
	s.on(t, "ip", "addr", "add", "fd00:0:0:1::1/64", "dev", "ext", "nodad")
	if err := s.gateway.Sysctl("netfilter/nf_conntrack_tcp_loose", "0"); err != nil {
		t.Fatal(err)
	}
	if err := ruleset.Load(s.gateway, ruleset.Stateful); err != nil {
		t.Fatal(err)
	}
	return s
}

// on runs a command on the gateway.
func (s stand) on(t *testing.T, args ...string) {
	t.Helper()
	if out, err := output(s.gateway, args...); err != nil {
		t.Fatalf("%v: %v: %s", args, err, out)
	}
}

func (s stand) everything(kinds ...string) []Config {
	vip4, vip6 := netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("fd00:0:0:1::1")
	var out []Config
	add := func(c Config) {
		c.Size, c.Over, c.Hold = 400_000, 200*time.Millisecond, 50*time.Millisecond
		out = append(out, c)
	}
	for _, name := range kinds {
		k := Kind(name)
		for _, family := range []int{4, 6} {
			add(Config{Kind: k, Family: family, Client: s.client, Server: s.server})
			add(Config{Kind: k, Family: family, Client: s.server, Server: s.client}) // as the gateway's address
			if k != Ping {
				to := map[int]netip.Addr{4: vip4, 6: vip6}[family]
				add(Config{Kind: k, Family: family, Client: s.client, Server: s.server, To: netip.AddrPortFrom(to, 0)})
			}
		}
	}
	return out
}

func begin(t *testing.T, configs []Config) *Group {
	t.Helper()
	g, err := Start(t.Context(), configs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Stop(); err != nil {
			t.Error(err)
		}
	})
	await(t, 20*time.Second, g.Begun)
	return g
}

func await(t *testing.T, d time.Duration, ok func() bool) {
	t.Helper()
	deadline, tick := time.After(d), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			return // what is missing shows in what the test looks at
		case <-tick.C:
		}
	}
}

// TestEveryKindLives talks in every way, family and translation through the ruleset, also when nothing new may begin any more.
func TestEveryKindLives(t *testing.T) {
	s := build(t)
	w, err := reset.Start(t.Context(), s.lab)
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	g := begin(t, s.everything(append(Connected(), string(Large))...))
	if err := ruleset.Load(s.gateway, ruleset.CloseNew); err != nil {
		t.Fatal(err)
	}
	from := time.Now()
	before := g.Window(from, from)
	await(t, 10*time.Second, func() bool {
		for i, r := range g.Window(from, time.Now()) {
			if !r.Finished && r.Exchanges < before[i].Exchanges+2 {
				return false
			}
		}
		return true
	})
	for i, r := range g.Window(from, time.Now()) {
		if !r.Alive || !r.Begun || !r.Finished && r.Exchanges < before[i].Exchanges+2 {
			t.Errorf("%+v", r)
		}
	}
	if err := g.Stop(); err != nil {
		t.Error(err)
	}
	if err := w.Stop(); err != nil {
		t.Error(err)
	}
	resets, missed := w.Window(begun, time.Now())
	for _, r := range resets {
		if r.Gateway {
			t.Errorf("a gateway's reset: %s", r)
		}
	}
	if missed > 0 {
		t.Errorf("%d frames were not seen", missed)
	}
}

// TestResent lets a gateway drop everything for a while: clients send again, and it is told when.
func TestResent(t *testing.T) {
	s := build(t)
	g := begin(t, s.everything(string(SSH)))
	from := time.Now()
	before := map[string]int{} // a host that stands still makes clients send again, too
	for _, r := range g.Window(from.Add(-time.Minute), from) {
		before[r.Name] = r.Resent
	}
	if err := ruleset.Load(s.gateway, "table inet wall {\nchain f {\ntype filter hook forward priority -20\npolicy drop\n}\n}\n"); err != nil {
		t.Fatal(err)
	}
	await(t, 10*time.Second, func() bool {
		for _, r := range g.Window(from, time.Now()) {
			if r.Gap < 300*time.Millisecond {
				return false
			}
		}
		return true
	})
	if err := ruleset.Load(s.gateway, "delete table inet wall\n"); err != nil {
		t.Fatal(err)
	}
	again := func() bool {
		for _, r := range g.Window(from, time.Now()) {
			if r.Resent == 0 {
				return false
			}
		}
		return true
	}
	await(t, 10*time.Second, again)
	if !again() {
		t.Errorf("%+v", g.Window(from, time.Now()))
	}
	for _, r := range g.Window(from.Add(-time.Minute), from) {
		if r.Resent != before[r.Name] {
			t.Errorf("before the wall %d were sent again: %+v", before[r.Name], r)
		}
	}
}

// TestShortConnections opens connections of kind web one after the other, and counts those that a gateway does not let through.
func TestShortConnections(t *testing.T) {
	s := build(t)
	configs := s.everything(string(Web))
	for i := range configs {
		configs[i].Every, configs[i].Size = 10*time.Millisecond, 50_000
	}
	g := begin(t, configs)
	pages := func(k int) func() bool {
		return func() bool {
			for _, r := range g.Window(time.Now(), time.Now()) {
				if r.Exchanges < k {
					return false
				}
			}
			return true
		}
	}
	await(t, 10*time.Second, pages(20))
	if err := ruleset.Load(s.gateway, ruleset.CloseNew); err != nil {
		t.Fatal(err)
	}
	await(t, 10*time.Second, func() bool {
		for _, r := range g.Window(time.Now(), time.Now()) {
			if r.Lost == 0 {
				return false
			}
		}
		return true
	})
	for _, r := range g.Window(time.Now(), time.Now()) {
		if r.Exchanges < 20 || r.Lost == 0 || r.Broken || !r.From.IsValid() || r.Bytes < 20*50_000 {
			t.Errorf("%+v", r)
		}
	}
}

// TestForgottenConnectionsDie empties the gateway's table: nothing may live on that has no entry, or the laboratory proves nothing.
// One-way datagrams that are not translated need none.
func TestForgottenConnectionsDie(t *testing.T) {
	s := build(t)
	configs := s.everything(append(Connected(), string(Web), string(Large))...)
	for i := range configs {
		if configs[i].Kind == Download {
			configs[i].Size, configs[i].Over = 1<<30, time.Minute
		}
	}
	g := begin(t, configs)
	if err := ruleset.Load(s.gateway, ruleset.CloseNew); err != nil {
		t.Fatal(err)
	}
	s.on(t, "conntrack", "-F")
	alive := func() (names []string) {
		for _, r := range g.Window(time.Now(), time.Now()) {
			if r.Alive && !(r.Kind == OneWay && strings.HasSuffix(r.Name, "client1>server1")) {
				names = append(names, r.Name+" "+r.Why)
			}
		}
		return names
	}
	await(t, 20*time.Second, func() bool { return len(alive()) == 0 })
	if names := alive(); len(names) > 0 {
		t.Errorf("alive: %s", strings.Join(names, ", "))
	}
}

// TestTunnel talks by what has no ports, as the gateway's address, until the gateway forgets.
func TestTunnel(t *testing.T) {
	s := build(t)
	g := begin(t, []Config{{Kind: Tunnel, Family: 4, Client: s.server, Server: s.client}, {Kind: Tunnel, Family: 6, Client: s.server, Server: s.client}})
	if err := ruleset.Load(s.gateway, ruleset.CloseNew); err != nil {
		t.Fatal(err)
	}
	all := func(ok func(Report) bool) func() bool {
		return func() bool {
			now := time.Now()
			for _, r := range g.Window(now, now) {
				if !ok(r) {
					return false
				}
			}
			return true
		}
	}
	lives := all(func(r Report) bool { return r.Alive && r.Exchanges > 10 })
	await(t, 10*time.Second, lives)
	if !lives() {
		t.Errorf("%+v", g.Window(time.Now(), time.Now()))
	}
	s.on(t, "conntrack", "-F")
	dead := all(func(r Report) bool { return !r.Alive })
	await(t, 20*time.Second, dead)
	if !dead() {
		t.Errorf("forgotten, and goes on: %+v", g.Window(time.Now(), time.Now()))
	}
}
