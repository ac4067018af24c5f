// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/lab/netns"
)

// TestNativeXDP attaches the gate to a NIC whose driver has native XDP (virtio_net): a station behind another NIC resolves the VIP to
// the VMAC and reaches it through that, while the gate serves and not a moment longer.
func TestNativeXDP(t *testing.T) {
	requireGuest(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	station, err := netns.New("station")
	must(err)
	t.Cleanup(func() { _ = station.Close() })
	c := &cluster{t: t}
	c.ip(nil, "link set eth1 netns "+station.Path())
	c.ip(station, "addr add 10.77.0.9/24 dev eth1")
	c.ip(station, "link set eth1 up")
	c.ip(nil, "addr add 10.77.0.2/24 dev eth0")
	c.ip(nil, "addr add 10.77.0.1/32 dev lo")
	c.ip(nil, "link set eth0 promisc on up") // the VMAC is not in its filter
	t.Cleanup(func() {
		c.ip(nil, "addr del 10.77.0.1/32 dev lo")
		c.ip(nil, "link set eth0 promisc off down")
	})
	// As holdfastd sets them: the stack itself neither answers nor speaks for the VIP.
	must(os.WriteFile("/proc/sys/net/ipv4/conf/eth0/arp_ignore", []byte("1"), 0))
	must(os.WriteFile("/proc/sys/net/ipv4/conf/eth0/arp_announce", []byte("2"), 0))

	nic, err := netlink.LinkByName("eth0")
	must(err)
	pin := "/sys/fs/bpf/holdfast-xdp"
	g, err := bpf.Open(bpf.Options{PinDir: pin, Attach: bpf.AttachAuto, Members: 2, Cluster: 7, Incarnation: 1,
		Soft: time.Hour, Hard: time.Hour, Watch: time.Second, Linger: time.Second})
	must(err)
	t.Cleanup(func() {
		_ = g.Close()
		if err := bpf.Remove(pin); err != nil {
			t.Error(err)
		}
	})
	vmac := net.HardwareAddr{2, 0x48, 0, 7, 0, 0}
	must(g.SetVIPs([]bpf.VIP{{Addr: netip.MustParseAddr("10.77.0.1"), Index: nic.Attrs().Index}}))
	must(g.Attach(bpf.Iface{Index: nic.Attrs().Index, MAC: [6]byte(nic.Attrs().HardwareAddr), VMAC: [6]byte(vmac), Gated: true, UseVMAC: true}))
	if got := g.AttachedAs(nic.Attrs().Index); got != "xdp-native" {
		t.Fatalf("attached as %q, want xdp-native", got)
	}
	ping := func() error {
		cmd := exec.Command("/usr/bin/ping", "-c", "3", "-i", "0.2", "-W", "2", "10.77.0.1")
		if err := netns.Start(netns.Place{Net: station}, cmd); err != nil {
			t.Fatal(err)
		}
		return cmd.Wait()
	}
	if ping() == nil {
		t.Error("the VIP answers while the gate is closed")
	}
	c.ip(station, "neigh flush dev eth1")
	g.Words().Grant(0, 1, 0)
	g.Words().Renew(0, 1, bpf.Boottime())
	if err := ping(); err != nil {
		counters, _ := g.Counters()
		t.Errorf("the VIP does not answer while the gate serves: %v; %v", err, counters)
	}
	var known []netlink.Neigh
	must(station.Do(func() (err error) { known, err = netlink.NeighList(0, netlink.FAMILY_V4); return err }))
	for _, n := range known {
		if n.IP.String() == "10.77.0.1" && !strings.EqualFold(n.HardwareAddr.String(), vmac.String()) {
			t.Errorf("the VIP is at %v, want %v", n.HardwareAddr, vmac)
		}
	}
	g.Words().Revoke(0)
	if ping() == nil {
		t.Error("the VIP answers after the lease was revoked")
	}
}
