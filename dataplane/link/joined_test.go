// SPDX-License-Identifier: Apache-2.0

package link

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-project/holdfast/dataplane/link/linktest"
)

// shared is a cluster interface whose virtual addresses resolve to a multicast MAC.
func shared() Desired {
	d := desired()
	d.Interfaces[0].VMACs = [][6]byte{{0x01, 0x00, 0x5e, 0x00, 0x07, 0x00}}
	d.Interfaces[0].Groups = []netip.Addr{netip.MustParseAddr("239.0.7.0")}
	return d
}

// TestJoinedGroups: a group lives as long as it is desired, whatever becomes of the process and the link.
func TestJoinedGroups(t *testing.T) {
	member, peer := segment(t)
	path := filepath.Join(t.TempDir(), "host.json")
	inGroup := func(when string, want bool) {
		t.Helper()
		if got := strings.Contains(member.Run("ip", "maddr", "show", "dev", "e0"), "inet  239.0.7.0"); got != want {
			t.Errorf("%s: in the group %v, want %v", when, got, want)
		}
	}
	h := apply(t, member, path, shared())
	inGroup("after Apply", true)
	mustContain(t, "filter", member.Run("bridge", "fdb", "show", "dev", "e0"), "01:00:5e:00:07:00 self permanent")
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	inGroup("after the daemon's end", true)
	ownFirst := func(when string) {
		t.Helper()
		if got := member.Run("ip", "-4", "-brief", "addr", "show", "dev", "e0"); !strings.Contains(got, "10.0.0.1/24 239.0.7.0/32") {
			t.Errorf("%s: the interface's own address is not the first: %s", when, got)
		}
		if got := member.Run("ip", "route", "get", "10.0.0.2"); !strings.Contains(got, "src 10.0.0.1") {
			t.Errorf("%s: the group is a source of traffic: %s", when, got)
		}
	}
	ownFirst("after Apply")
	peer.SetUp("p0", false)
	member.SetUp("e0", false)
	member.SetUp("e0", true)
	peer.SetUp("p0", true)
	inGroup("after the link came back", true)

	member.Do(func() (err error) { h, err = OpenHost(path, nil); return err })
	member.Run("sh", "-c", "ip addr del 10.0.0.1/24 dev e0; ip addr add 10.0.0.1/24 dev e0")
	member.Do(func() error { return h.Apply(shared()) })
	inGroup("after the own address was made anew", true)
	ownFirst("after it was made anew")
	member.Do(func() error { return h.Apply(desired()) })
	inGroup("when no longer desired", false)
	member.Do(func() error { return h.Apply(shared()) })
	inGroup("desired again", true)
	restore(t, member, h)
	inGroup("after Restore", false)
	if after := dump(member); strings.Contains(after, "239.0.7.0") || strings.Contains(after, "01:00:5e:00:07:00") {
		t.Errorf("something of the group is left:\n%s", after)
	}
}

// TestSnoopingSwitch: a switch that snoops learns the member's port by IGMP.
func TestSnoopingSwitch(t *testing.T) {
	t.Parallel()
	member, lan := linktest.New(t), linktest.New(t)
	linktest.Veth(member, "e0", lan, "p0")
	lan.Bridge("br0", "p0")
	member.Addr("e0", "10.0.0.1/24")
	learned := func() bool {
		return strings.Contains(lan.Run("bridge", "mdb", "show", "dev", "br0"), "port p0 grp 239.0.7.0")
	}
	h := apply(t, member, filepath.Join(t.TempDir(), "host.json"), shared())
	for i := 0; !learned(); i++ { // the kernel reports at once, and again within a second
		if i == 300 {
			t.Fatal("the switch does not know of the group")
		}
		lan.Run("sleep", "0.01")
	}
	restore(t, member, h)
}

// TestJoinedByUser: a group that somebody else has the kernel join stays.
func TestJoinedByUser(t *testing.T) {
	member, _ := segment(t)
	member.Run("ip", "addr", "add", "239.0.7.0/32", "dev", "e0", "autojoin")
	before := dump(member)
	h := apply(t, member, filepath.Join(t.TempDir(), "host.json"), shared())
	restore(t, member, h)
	sameDump(t, before, dump(member))
}
