// SPDX-License-Identifier: Apache-2.0

package topology_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/lab/topology"
	"github.com/holdfast-project/holdfast/lab/topology/topologytest"
)

// forward builds a topology that works without cluster software: its end stations route through fw1.
func forward(t *testing.T, change func(*topology.Spec)) *topology.Lab {
	t.Helper()
	spec := topology.DefaultSpec("test", 2)
	spec.Router = "fw1"
	if change != nil {
		change(&spec)
	}
	return topologytest.Build(t, spec)
}

// crosses sends one UDP packet from client1 to server1 and reports whether it came.
func crosses(t *testing.T, l *topology.Lab, network string) error {
	t.Helper()
	client, server := topologytest.Node(t, l, "client1"), topologytest.Node(t, l, "server1")
	dst := server.Ports[0].V4.Addr()
	if network == "udp6" {
		dst = server.Ports[0].V6.Addr()
	}
	var in *net.UDPConn
	err := server.NS.Do(func() (err error) {
		in, err = net.ListenUDP(network, &net.UDPAddr{IP: dst.AsSlice(), Port: 9})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var out net.Conn
	err = client.NS.Do(func() (err error) {
		out, err = net.DialUDP(network, nil, in.LocalAddr().(*net.UDPAddr))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := out.Write([]byte("x")); err != nil {
		return err
	}
	if err := in.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err = in.Read(make([]byte, 8))
	return err
}

func TestBuildForwardsThroughMember(t *testing.T) {
	l := forward(t, nil)
	for _, network := range []string{"udp4", "udp6"} {
		if err := crosses(t, l, network); err != nil {
			t.Errorf("%s from client1 through fw1 to server1: %v", network, err)
		}
	}
}

func TestBuildThreadedNAPI(t *testing.T) {
	l := forward(t, func(s *topology.Spec) { s.ThreadedNAPI = true })
	if err := crosses(t, l, "udp4"); err != nil {
		t.Errorf("with threaded NAPI: %v", err)
	}
	if n := napiThreads(t); n == 0 {
		t.Error("no napi/... kernel thread exists")
	}
}

// napiThreads counts the kernel threads that poll a member's ext device.
func napiThreads(t *testing.T) int {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, name := range names {
		if comm, err := os.ReadFile(name); err == nil && strings.HasPrefix(string(comm), "napi/ext-") {
			count++
		}
	}
	return count
}

func TestRenewGivesFreshMachine(t *testing.T) {
	l := forward(t, nil)
	fw1 := topologytest.Node(t, l, "fw1")
	before := fw1.Ports[0].MAC.String()
	h, err := fw1.NS.Handle()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	lo, err := h.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.AddrAdd(lo, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(10, 1, 0, 1), Mask: net.CIDRMask(32, 32)}}); err != nil {
		t.Fatal(err)
	}
	if err := l.Renew("fw1"); err != nil {
		t.Fatal(err)
	}
	h2, err := fw1.NS.Handle()
	if err != nil {
		t.Fatal(err)
	}
	defer h2.Close()
	lo, err = h2.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	addrs, err := h2.AddrList(lo, netlink.FAMILY_V4)
	if err != nil {
		t.Fatal(err)
	}
	if len(addrs) != 1 {
		t.Errorf("lo has %v after a boot, want 127.0.0.1 only", addrs)
	}
	dev, err := h2.LinkByName("ext")
	if err != nil {
		t.Fatal(err)
	}
	if got := dev.Attrs().HardwareAddr.String(); got != before {
		t.Errorf("ext has MAC %s after a boot, had %s", got, before)
	}
	if err := crosses(t, l, "udp4"); err != nil {
		t.Errorf("after a boot of fw1: %v", err)
	}
}

func TestBuildLeavesHostAlone(t *testing.T) {
	labtest.Require(t)
	links := hostLinks(t)
	l := forward(t, func(s *topology.Spec) { s.Members = 8 })
	if got := hostLinks(t); got != links {
		t.Errorf("while a laboratory is up the host has links %s, had %s", got, links)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/run/netns/switch"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a named namespace is there: %v", err)
	}
}

func hostLinks(t *testing.T) string {
	t.Helper()
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range links {
		// Other tests that run at the same time may have links of theirs.
		if !strings.HasPrefix(l.Attrs().Name, "hf") {
			names = append(names, l.Attrs().Name)
		}
	}
	return strings.Join(names, " ")
}

func TestSpecCheck(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*topology.Spec)
		want   string
	}{
		"members":     {func(s *topology.Spec) { s.Members = 9 }, "members 9: a cluster has 2 to 8"},
		"vips":        {func(s *topology.Spec) { s.VIPs = 0 }, "vips 0"},
		"route":       {func(s *topology.Spec) { s.RouteVIP = 1 }, "route-vip 1"},
		"twice":       {func(s *topology.Spec) { s.Segments[1].Name = "ext" }, `segment "ext": named twice`},
		"long":        {func(s *topology.Spec) { s.Segments[1].Name = "externally" }, `segment "externally"`},
		"role":        {func(s *topology.Spec) { s.Segments[1].Role = "x" }, `role "x"`},
		"hosts":       {func(s *topology.Spec) { s.Segments[1].Hosts = "x" }, `hosts "x"`},
		"no segments": {func(s *topology.Spec) { s.Segments = nil }, "0 segments"},
	} {
		t.Run(name, func(t *testing.T) {
			s := topology.DefaultSpec("t", 2)
			c.change(&s)
			if err := s.Check(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
}

// TestPublished puts servers of their own on a third segment.
func TestPublished(t *testing.T) {
	l := forward(t, func(s *topology.Spec) {
		s.Published = 2
		s.Segments = append(s.Segments, topology.Segment{Name: "dmz", Role: topology.RoleCluster, Hosts: topology.Published})
	})
	var macs []string
	for i, want := range []string{"10.2.1.1", "10.4.1.1", "10.4.1.2"} {
		n := l.OfKind(topology.Server)[i]
		if got := n.Ports[0].V4.Addr().String(); got != want || len(n.Ports) != 1 {
			t.Errorf("%s has %s, want %s, and %d ports", n.Name, got, want, len(n.Ports))
		}
		macs = append(macs, n.Ports[0].MAC.String())
	}
	if want := []string{"02:4c:02:03:00:01", "02:4c:04:03:00:02", "02:4c:04:03:00:03"}; !slices.Equal(macs, want) {
		t.Errorf("MACs %v, want %v", macs, want)
	}
}

func TestManagers(t *testing.T) {
	spec := topology.DefaultSpec("test", 2)
	if names := topology.Names(spec); slices.Contains(names, "mgmt1") {
		t.Errorf("a management server without a segment for it: %v", names)
	}
	spec.Segments = append(spec.Segments, topology.Segment{Name: "mgmt", Role: topology.RolePrivate, Hosts: topology.Managers})
	spec.Managers = 2
	if names := topology.Names(spec); !slices.Contains(names, "mgmt1") || !slices.Contains(names, "mgmt2") || slices.Contains(names, "mgmt3") {
		t.Errorf("two management servers: %v", names)
	}
}
