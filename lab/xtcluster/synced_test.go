// SPDX-License-Identifier: Apache-2.0

package xtcluster_test

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/lab/generator"
	"github.com/holdfast-project/holdfast/lab/ruleset"
	"github.com/holdfast-project/holdfast/lab/topology"
	"github.com/holdfast-project/holdfast/lab/topology/topologytest"
	"github.com/holdfast-project/holdfast/lab/xtcluster"
)

// slow is an advertisement interval for a busy machine: members that are late by three of them take each other's share.
const slow = 200 * time.Millisecond

// busy is how many of the flows have packets while a member is dead.
const busy = 200

// established lets connections begin that chain "new" lets, and forwards what is established.
const established = `table inet gateway {
	chain new { udp dport 9 accept; }
	chain forward {
		type filter hook forward priority filter; policy drop
		ct state established accept
		ct state new jump new
	}
}
`

// synced is a pair under test, with what is sent through it.
type synced struct {
	*xtcluster.Synced
	t              *testing.T
	lab            *topology.Lab
	client, server *topology.Node
	flows          []generator.Flow
	there, back    *generator.Sink
}

// TestSyncedTakesTheOthersShare: flows are established at the member that takes them and known to both; the survivor forwards them, when none may begin any
// more; who comes back learns them all, the silent ones too, and takes its share again.
func TestSyncedTakesTheOthersShare(t *testing.T) {
	labtest.Require(t, xtcluster.Command, xtcluster.RestoreCommand, "nft", "conntrackd", "keepalived")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	s := newSynced(t)
	for _, m := range s.lab.OfKind(topology.Member) {
		s.prepare(m)
	}
	if err := s.Boot(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	for _, m := range s.Machines() {
		if used, err := m.CPU(); err != nil || used <= 0 {
			t.Errorf("%s: its daemons took %v, %v", m.Node().Name, used, err)
		}
	}
	s.passes(ctx, "at first, there", s.there, s.client, s.flows, xtcluster.MAC(0))
	s.answered(ctx, "at first, back", s.flows)
	for _, m := range s.lab.OfKind(topology.Member) {
		s.knows(ctx, m)
		if err := ruleset.Load(m.NS, ruleset.CloseNew); err != nil {
			t.Fatal(err)
		}
	}
	first := topologytest.Node(t, s.lab, "fw1")
	if err := s.PowerOff(first.Name); err != nil {
		t.Fatal(err)
	}
	if err := s.AwaitHeld(ctx, "fw2", 0b11); err != nil {
		t.Fatal(err)
	}
	s.passes(ctx, "without fw1, there", s.there, s.client, s.flows[:busy], xtcluster.MAC(0))
	s.answered(ctx, "without fw1, back", s.flows[:busy])
	if err := s.PowerOn(ctx, first.Name); err != nil {
		t.Fatal(err)
	}
	s.prepare(first)
	if err := ruleset.Load(first.NS, ruleset.CloseNew); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	s.knows(ctx, first)
	s.passes(ctx, "with fw1 again, there", s.there, s.client, s.flows, xtcluster.MAC(0))
	s.answered(ctx, "with fw1 again, back", s.flows)
}

func newSynced(t *testing.T) *synced {
	lab := topologytest.Build(t, topology.DefaultSpec("xs", 2))
	pair, err := xtcluster.NewSynced(lab, xtcluster.SyncedOptions{Name: "synced", Dir: t.TempDir(), Advert: slow})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pair.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &synced{Synced: pair, t: t, lab: lab, client: lab.OfKind(topology.Client)[0], server: lab.OfKind(topology.Server)[0]}
	s.there, s.back = s.sink(s.server), s.sink(s.client)
	for i := range 300 {
		s.flows = append(s.flows, generator.Flow{
			From: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 100, byte(i >> 8), byte(i)}), 1000),
			To:   netip.AddrPortFrom(s.server.Ports[0].V4.Addr(), 9),
		})
	}
	return s
}

func (s *synced) sink(n *topology.Node) *generator.Sink {
	s.t.Helper()
	sink, err := generator.AttachSink(n, n.Ports[0])
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := sink.Close(); err != nil {
			s.t.Error(err)
		}
	})
	return sink
}

// prepare gives a member its rules and the way back to the flows' sources, which are behind the client.
func (s *synced) prepare(m *topology.Node) {
	s.t.Helper()
	if err := ruleset.Load(m.NS, established); err != nil {
		s.t.Fatal(err)
	}
	h, err := m.NS.Handle()
	if err != nil {
		s.t.Fatal(err)
	}
	defer h.Close()
	dst := &net.IPNet{IP: net.IPv4(10, 100, 0, 0), Mask: net.CIDRMask(16, 32)}
	if err := h.RouteAdd(&netlink.Route{Dst: dst, Gw: s.client.Ports[0].V4.Addr().AsSlice()}); err != nil {
		s.t.Fatal(err)
	}
}

// answered sends an answer of each of the flows.
func (s *synced) answered(ctx context.Context, when string, flows []generator.Flow) {
	s.t.Helper()
	var answers []generator.Flow
	for _, f := range flows {
		answers = append(answers, f.Reverse())
	}
	s.passes(ctx, when, s.back, s.server, answers, xtcluster.MAC(1))
}

// passes sends a frame of each flow until as many arrive, and no more: members ask for their neighbours at the first ones, and drop some of those that wait.
func (s *synced) passes(ctx context.Context, when string, at *generator.Sink, from *topology.Node, flows []generator.Flow, to net.HardwareAddr) {
	s.t.Helper()
	for {
		before := s.count(at)
		if err := generator.Once(ctx, generator.Config{Node: from, NextHop: to, Flows: flows}); err != nil {
			s.t.Fatalf("%s: %v", when, err)
		}
		got, patience := uint64(0), time.NewTimer(time.Second)
		for again := true; again && got < uint64(len(flows)); {
			select {
			case <-patience.C:
				again = false
			case <-time.After(time.Millisecond):
			}
			got = s.count(at) - before
		}
		patience.Stop()
		if got == uint64(len(flows)) {
			return
		}
		if ctx.Err() != nil {
			s.t.Fatalf("%s: %d frames arrived of %d", when, got, len(flows))
		}
	}
}

func (s *synced) count(at *generator.Sink) uint64 {
	s.t.Helper()
	n, err := at.Count()
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// knows waits until a member has all flows in its kernel.
func (s *synced) knows(ctx context.Context, m *topology.Node) {
	s.t.Helper()
	for entries(s.t, m) < len(s.flows) {
		select {
		case <-ctx.Done():
			s.t.Fatalf("%s knows %d of %d flows", m.Name, entries(s.t, m), len(s.flows))
		case <-time.After(time.Millisecond):
		}
	}
}
