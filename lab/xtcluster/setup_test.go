// SPDX-License-Identifier: Apache-2.0

package xtcluster_test

import (
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/lab/generator"
	"github.com/holdfast-project/holdfast/lab/topology"
	"github.com/holdfast-project/holdfast/lab/topology/topologytest"
	"github.com/holdfast-project/holdfast/lab/xtcluster"
)

// TestEachFlowIsTakenByOneMember sends a frame of each of many flows and counts them at the server and in the members' tables.
func TestEachFlowIsTakenByOneMember(t *testing.T) {
	labtest.Require(t, xtcluster.Command)
	for _, members := range []int{2, 3} {
		t.Run(strconv.Itoa(members), func(t *testing.T) { share(t, members) })
	}
}

func share(t *testing.T, members int) {
	lab := topologytest.Build(t, topology.DefaultSpec("xt", members))
	if err := xtcluster.Setup(lab); err != nil {
		t.Fatal(err)
	}
	client, server := lab.OfKind(topology.Client)[0], lab.OfKind(topology.Server)[0]
	sink, err := generator.AttachSink(server, server.Ports[0])
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	const count = 300
	var flows []generator.Flow
	for i := range count {
		flows = append(flows, generator.Flow{
			From: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 100, byte(i >> 8), byte(i)}), 1000),
			To:   netip.AddrPortFrom(server.Ports[0].V4.Addr(), 9),
		})
	}
	// The members ask for the server at the first frames of the first time, and may drop some of those that wait for it.
	for _, of := range [][]generator.Flow{flows[:members*8], flows} {
		before, err := sink.Count()
		if err != nil {
			t.Fatal(err)
		}
		if err := generator.Once(t.Context(), generator.Config{Node: client, NextHop: xtcluster.MAC(0), Flows: of}); err != nil {
			t.Fatal(err)
		}
		got := uint64(0)
		patience := 30 * time.Second
		if len(of) < count {
			patience = 2 * time.Second // not all need come
		}
		for end := time.Now().Add(patience); got < uint64(len(of)) && time.Now().Before(end); {
			<-time.After(time.Millisecond)
			now, err := sink.Count()
			if err != nil {
				t.Fatal(err)
			}
			got = now - before
		}
		if len(of) == count && got != count {
			t.Errorf("%d of %d frames arrived", got, count)
		}
	}
	total := 0
	for _, m := range lab.OfKind(topology.Member) {
		n := entries(t, m)
		if n < count/members/2 || n > count*2/members {
			t.Errorf("%s has %d of %d flows", m.Name, n, count)
		}
		total += n
	}
	if total != count {
		t.Errorf("%d members have %d flows together, want %d", members, total, count)
	}
}

// entries is how many connections a member's table has.
func entries(t *testing.T, m *topology.Node) (n int) {
	t.Helper()
	err := m.NS.Do(func() error {
		text, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_count")
		if err == nil {
			n, err = strconv.Atoi(strings.TrimSpace(string(text)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
