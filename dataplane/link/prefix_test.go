// SPDX-License-Identifier: Apache-2.0

package link

import (
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/holdfast-project/holdfast/dataplane/link/linktest"
)

// declared are VIPs of a prefix that the members have no address in.
func declared() Desired {
	d := desired()
	d.Interfaces[0].VIPs = append(d.Interfaces[0].VIPs,
		VIP{Addr: netip.MustParseAddr("198.51.100.10"), Prefix: netip.MustParsePrefix("198.51.100.8/29")},
		VIP{Addr: netip.MustParseAddr("198.51.100.11"), Prefix: netip.MustParsePrefix("198.51.100.8/29")},
		VIP{Addr: netip.MustParseAddr("2001:db8:9::10"), Prefix: netip.MustParsePrefix("2001:db8:9::/64")})
	return d
}

// TestDeclaredPrefixIsReached: a host behind the gateway reaches a host in the prefix of a VIP, where the members have no address.
func TestDeclaredPrefixIsReached(t *testing.T) {
	member, outside := segment(t)
	outside.Addr("p0", "198.51.100.9/29")
	outside.Addr("p0", "2001:db8:9::9/64")
	inside := linktest.New(t)
	linktest.Veth(member, "e1", inside, "p0")
	member.Addr("e1", "172.16.0.1/24")
	member.Addr("e1", "2001:db8:16::1/64")
	inside.Addr("p0", "172.16.0.2/24")
	inside.Addr("p0", "2001:db8:16::2/64")
	inside.Run("sh", "-c", "ip route add default via 172.16.0.1; ip -6 route add default via 2001:db8:16::1")
	member.Run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
	// What the gate would answer.
	mac := hexMAC(member.MAC("e0")).String()
	outside.Run("sh", "-c", "ip neigh replace 198.51.100.10 lladdr "+mac+" dev p0; ip neigh replace 2001:db8:9::10 lladdr "+mac+" dev p0;"+
		"ip route add 172.16.0.0/24 via 198.51.100.10; ip -6 route add 2001:db8:16::/64 via 2001:db8:9::10")
	for contains(member.Run("ip", "addr"), "tentative") {
		member.Run("sleep", "0.01")
	}

	before := dump(member)
	h := apply(t, member, filepath.Join(t.TempDir(), "host.json"), declared())
	for _, addr := range []string{"198.51.100.9", "2001:db8:9::9"} {
		if !reached(inside, addr) {
			t.Errorf("%s is not reached from inside:\n%s", addr, member.Run("sh", "-c", "ip route; ip -6 route"))
		}
		if !reached(member, addr) {
			t.Errorf("%s is not reached from the member itself", addr)
		}
	}
	mustContain(t, "routes", member.Run("ip", "route"), "198.51.100.8/29 dev e0 proto 72 scope link metric 121254707")
	mustContain(t, "IPv6 routes", member.Run("ip", "-6", "route"), "2001:db8:9::/64 dev e0 proto 72 src 2001:db8::1 metric 121254707")
	mustContain(t, "source", member.Run("ip", "route", "get", "198.51.100.9"), "src 10.0.0.1")

	applied := dump(member)
	member.Do(func() error { return h.SetServing(0, true) })
	mustContain(t, "routes while serving", member.Run("ip", "route"), "198.51.100.8/29 dev e0")
	member.Do(func() error { return h.SetServing(0, false) })
	member.Do(func() error { return h.Apply(declared()) })
	sameDump(t, applied, dump(member))

	member.Do(func() error { return h.Apply(desired()) })
	if routes := member.Run("ip", "route", "show", "table", "all"); contains(routes, "198.51.100") {
		t.Errorf("the prefix is no longer declared:\n%s", routes)
	}
	member.Do(func() error { return h.Apply(declared()) })
	restore(t, member, h)
	sameDump(t, before, dump(member))
}

// TestDeclaredPrefixComesBack: the route goes with the interface, and is on record for a program that starts after a crash.
func TestDeclaredPrefixComesBack(t *testing.T) {
	member, _ := segment(t)
	path := filepath.Join(t.TempDir(), "host.json")
	before := dump(member)
	if err := apply(t, member, path, declared()).Close(); err != nil {
		t.Fatal(err)
	}
	member.SetUp("e0", false)
	member.SetUp("e0", true)
	var h *Host
	member.Do(func() (err error) {
		if h, err = OpenHost(path, nil); err != nil {
			return err
		}
		return h.Apply(declared())
	})
	mustContain(t, "routes", member.Run("ip", "route"), "198.51.100.8/29 dev e0")
	member.Addr("e0", "2001:db8::1/64") // flushed by going down
	restore(t, member, h)
	sameDump(t, before, dump(member))
}
