// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net/netip"
	"strings"
	"testing"
)

// shared is the sound file in load sharing with the given section.
func shared(t *testing.T, section string) *Cluster {
	t.Helper()
	return edit(t, "id: 7", "id: 7\nmode: load-sharing\n"+section)
}

func TestSharingDefaults(t *testing.T) {
	c := shared(t, "")
	l := c.LoadSharing
	if l.Method != MethodUnicast || l.Key != KeyPorts || l.SNATPorts != (PortRange{32768, 65535}) || l.Weights != nil || l.MulticastMAC != nil || l.Group().IsValid() {
		t.Errorf("%+v", l)
	}
	if c.Interfaces[0].VMAC == nil || c.Interfaces[0].VMAC[0] != 0x02 || c.ModeText() != "load-sharing/unicast" || !c.Sharing() {
		t.Errorf("VMAC %v, mode %s", c.Interfaces[0].VMAC, c.ModeText())
	}
	if c := mustParse(t, sound); c.Sharing() || c.ModeText() != "ha" {
		t.Errorf("%+v", c.LoadSharing)
	}
}

func TestMulticastMAC(t *testing.T) {
	for _, k := range []struct{ section, mac, group string }{
		{"load-sharing: {method: multicast}", "01:00:5e:00:07:00", "239.0.7.0"},
		{`load-sharing: {method: multicast, multicast-mac: "01:00:5e:7f:fe"}`, "01:00:5e:7f:fe:00", "239.127.254.0"},
		{`load-sharing: {method: multicast, multicast-mac: "03:bf:0a:00:01"}`, "03:bf:0a:00:01:00", ""}, // no IPv4 group has it
	} {
		c := shared(t, k.section)
		for _, i := range c.Interfaces[:2] {
			if got := mac(i.VMAC); got != k.mac {
				t.Errorf("%s: %s on %s, want %s", k.section, got, i.Name, k.mac)
			}
		}
		if c.Interfaces[2].VMAC != nil {
			t.Errorf("%s: a VMAC on a sync interface", k.section)
		}
		if g := c.LoadSharing.Group(); g.IsValid() != (k.group != "") || g.IsValid() && g != netip.MustParseAddr(k.group) {
			t.Errorf("%s: group %v, want %s", k.section, g, k.group)
		}
	}
	if c := edit(t, "id: 7", "id: 65535\nmode: load-sharing\nload-sharing: {method: multicast}"); mac(c.Interfaces[0].VMAC) != "01:00:5e:7f:ff:00" {
		t.Errorf("the 24th bit of a group's MAC must be 0: %s", mac(c.Interfaces[0].VMAC))
	}
}

// TestPortParts: the parts of a range are disjoint, cover it, and differ by one port at most.
func TestPortParts(t *testing.T) {
	for n := 1; n <= MaxMembers; n++ {
		r := PortRange{1024, 65535 - uint16(n)}
		next := int(r.First)
		for i := range n {
			p := r.Part(i, n)
			if int(p.First) != next || p.Len() < r.Len()/n || p.Len() > r.Len()/n+1 {
				t.Errorf("part %d of %d: %v", i, n, p)
			}
			next = int(p.Last) + 1
		}
		if next != int(r.Last)+1 {
			t.Errorf("%d parts end at %d", n, next-1)
		}
	}
}

func TestWeight(t *testing.T) {
	given := &LoadSharing{Method: MethodUnicast, Weights: []uint16{0, 7}}
	unicast, multicast := &LoadSharing{Method: MethodUnicast}, &LoadSharing{Method: MethodMulticast}
	for _, k := range []struct {
		l          *LoadSharing
		id, leader uint8
		n          int
		want       uint16
	}{
		{given, 0, 0, 2, 0}, {given, 1, 0, 2, 7}, {unicast, 1, 1, 2, 30}, {unicast, 0, 1, 2, 70}, {unicast, 2, 2, 3, 20}, {unicast, 0, 2, 3, 40},
		{unicast, 4, 4, 5, 20}, {unicast, 3, 4, 5, 40}, {multicast, 0, 0, 3, 50}, {multicast, 1, 0, 3, 50},
	} {
		if got := k.l.Weight(k.id, k.leader, k.n); got != k.want {
			t.Errorf("member %d of %d with leader %d: %d, want %d", k.id, k.n, k.leader, got, k.want)
		}
	}
}

func TestSharingDiff(t *testing.T) {
	base := shared(t, "")
	for _, k := range []struct{ section, live, refused string }{
		{"load-sharing: {method: unicast, key: ips+ports, snat-ports: 32768-65535, adaptive: false, block-new-at-risk: false}", "", ""},
		{"load-sharing: {weights: {gw-b: 2, gw-a: 1}}", "load-sharing.weights: default -> gw-a: 1, gw-b: 2", ""},
		{"load-sharing: {published: [10.1.0.0/24, 10.0.0.80], adaptive: true, adaptive-interval: 5s, block-new-at-risk: true}",
			"load-sharing.published:  -> 10.0.0.80, 10.1.0.0/24; load-sharing.adaptive: false -> true; load-sharing.adaptive-interval: 0s -> 5s; load-sharing.block-new-at-risk: false -> true", ""},
		{"load-sharing: {key: ips, snat-ports: 2000-9000}", "", "load-sharing.key: ips+ports -> ips; load-sharing.snat-ports: 32768-65535 -> 2000-9000"},
		{"load-sharing: {method: multicast}", "", "interfaces[outside].vmac: 02:48:00:07:00:00 -> 01:00:5e:00:07:00; " +
			"interfaces[inside].vmac: 02:48:00:07:01:00 -> 01:00:5e:00:07:00; load-sharing.method: unicast -> multicast; " +
			"load-sharing.multicast-mac: false -> 01:00:5e:00:07:00"},
	} {
		c := shared(t, k.section)
		live, refused := Diff(base, c)
		if text(live) != k.live || text(refused) != k.refused {
			t.Errorf("%s:\nlive    %q\nwant    %q\nrefused %q\nwant    %q", k.section, text(live), k.live, text(refused), k.refused)
		}
		if same := base.Digest() == c.Digest(); same != (k.live+k.refused == "") {
			t.Errorf("%s: same digest %v", k.section, same)
		}
	}
	if a, b := shared(t, "load-sharing: {published: [10.1.0.0/24, 10.0.0.80]}"), shared(t, "load-sharing: {published: [10.0.0.80/32, 10.1.0.0/24]}"); a.Digest() != b.Digest() {
		t.Error("the order of servers changes the digest")
	}
	if !strings.Contains(show(base.LoadSharing.SNATPorts), "32768-65535") {
		t.Error(show(base.LoadSharing.SNATPorts))
	}
}
