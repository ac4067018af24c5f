// SPDX-License-Identifier: Apache-2.0

package members_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/lab/members"
	"github.com/holdfast-project/holdfast/lab/topology"
	"github.com/holdfast-project/holdfast/lab/topology/topologytest"
)

// A member that does not serve forwards nothing, even what a host sends through its own address: two would forward else. It is the
// program at egress that forbids it, which the second half proves: without that program the packet gets through.
func TestStandbyForwardsNothing(t *testing.T) {
	labtest.Require(t)
	ctx, c := boot(t, "egress")
	handOver(ctx, t, c, "fw1")
	through := detour(t, c.Lab(), "fw2")
	if got, err := through(); err != nil || got {
		t.Fatalf("the standby forwarded a packet (%v)", err)
	}
	detachEgress(t, c, "fw2")
	if got, err := through(); err != nil || !got {
		t.Fatalf("without the program at egress the packet did not get through either (%v): the test above proves nothing", err)
	}
}

// detour makes the client send what is for the server through a member's own address. The returned function sends a datagram and
// reports whether it arrived.
func detour(t *testing.T, lab *topology.Lab, member string) func() (bool, error) {
	t.Helper()
	client, server, standby := topologytest.Node(t, lab, "client1"), topologytest.Node(t, lab, "server1"), topologytest.Node(t, lab, member)
	gateway, target := standby.Ports[0].V4.Addr(), server.Ports[0].V4.Addr()
	if err := client.NS.Do(func() error {
		return netlink.RouteAdd(&netlink.Route{Dst: &net.IPNet{IP: target.AsSlice(), Mask: net.CIDRMask(32, 32)}, Gw: gateway.AsSlice()})
	}); err != nil {
		t.Fatal(err)
	}
	var sink *net.UDPConn
	if err := server.NS.Do(func() (err error) {
		sink, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(target, 9)))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sink.Close() })
	return func() (bool, error) {
		var source net.Conn
		if err := client.NS.Do(func() (err error) {
			source, err = net.Dial("udp4", netip.AddrPortFrom(target, 9).String())
			return err
		}); err != nil {
			return false, err
		}
		defer source.Close()
		for range 10 { // the first ones may wait for ARP
			if _, err := source.Write([]byte("through the standby")); err != nil {
				return false, err
			}
			if err := sink.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
				return false, err
			}
			_, err := sink.Read(make([]byte, 64))
			if err == nil {
				return true, nil
			}
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				return false, err
			}
		}
		return false, nil
	}
}

// detachEgress takes the program at egress off all interfaces of a member.
func detachEgress(t *testing.T, c *members.Cluster, member string) {
	t.Helper()
	m, err := c.Machine(member)
	if err != nil {
		t.Fatal(err)
	}
	pins, err := filepath.Glob(fmt.Sprintf("/proc/%d/root/sys/fs/bpf/holdfast/*/link-*-egress", m.InitPID()))
	if err != nil || len(pins) == 0 {
		t.Fatalf("pins of the links at egress: %v %v", pins, err)
	}
	for _, pin := range pins {
		l, err := link.LoadPinnedLink(pin, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(l.Detach(), l.Close()); err != nil {
			t.Fatalf("%s: %v", pin, err)
		}
	}
}
