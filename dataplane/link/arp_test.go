// SPDX-License-Identifier: Apache-2.0

package link

import (
	"path/filepath"
	"testing"

	"github.com/holdfast-project/holdfast/dataplane/link/linktest"
)

// asked makes host ask for addr by ARP and says whether anybody answered.
func asked(host *linktest.Namespace, device, addr string) bool {
	_, _ = host.Try("ping", "-c1", "-W1", "-I", device, addr)
	out := host.Run("ip", "neigh", "show", "to", addr, "dev", device)
	return contains(out, "lladdr")
}

// TestOtherInterfacesDoNotAnswerForVIPs: m0 is not in the cluster file, and on the same segment as e0.
func TestOtherInterfacesDoNotAnswerForVIPs(t *testing.T) {
	member, _ := segment(t)
	host := linktest.New(t)
	linktest.Veth(member, "m0", host, "p1")
	member.Addr("m0", "10.0.0.11/24")
	host.Addr("p1", "10.0.0.3/24")
	for contains(member.Run("ip", "addr", "show", "dev", "m0"), "tentative") {
		member.Run("sleep", "0.01")
	}
	before := dump(member)
	h := apply(t, member, filepath.Join(t.TempDir(), "host.json"), desired())
	if asked(host, "p1", "10.0.0.100") {
		t.Error("an interface that is not the cluster's answers for a VIP")
	}
	if !asked(host, "p1", "10.0.0.11") {
		t.Error("it does not answer for its own address either: the test proves nothing")
	}
	// The server's own packets from a VIP go out there: the question for the neighbour must not name the VIP.
	host.Run("ip", "neigh", "flush", "dev", "p1")
	member.Run("ip", "neigh", "flush", "dev", "m0")
	member.Run("ip", "route", "add", "10.0.0.3/32", "dev", "m0")
	_, _ = member.Try("ping", "-c1", "-W1", "-I", "10.0.0.100", "10.0.0.3")
	if known := host.Run("ip", "neigh", "show", "dev", "p1"); contains(known, "10.0.0.100 lladdr") {
		t.Errorf("a VIP was announced by an interface that is not the cluster's:\n%s", known)
	} else if !contains(known, "10.0.0.11 lladdr") && !contains(known, "10.0.0.1 lladdr") {
		t.Errorf("no question arrived: the test proves nothing:\n%s", known)
	}
	member.Run("ip", "route", "del", "10.0.0.3/32", "dev", "m0")
	restore(t, member, h)
	sameDump(t, before, dump(member))
}

// TestANewDeviceDoesNotAnswerForVIPs: e0 was taken away and made again; nobody has told the cluster yet.
func TestANewDeviceDoesNotAnswerForVIPs(t *testing.T) {
	member, _ := segment(t)
	h := apply(t, member, filepath.Join(t.TempDir(), "host.json"), desired())
	defer restore(t, member, h)
	member.Run("ip", "link", "del", "e0")
	host := linktest.New(t)
	linktest.Veth(member, "e0", host, "p0")
	member.Addr("e0", "10.0.0.1/24")
	host.Addr("p0", "10.0.0.2/24")
	if !reached(host, "10.0.0.1") {
		t.Error("it does not answer for its own address either: the test proves nothing")
	}
	if asked(host, "p0", "10.0.0.100") {
		t.Error("the new device answers for a VIP")
	}
}

// TestStricterARPStays: what the owner has forbidden stays forbidden.
func TestStricterARPStays(t *testing.T) {
	member, _ := segment(t)
	member.Run("sh", "-c", "cd /proc/sys/net/ipv4/conf; echo 8 > all/arp_ignore; echo 2 > e0/arp_ignore")
	before := dump(member)
	h := apply(t, member, filepath.Join(t.TempDir(), "host.json"), desired())
	mustContain(t, "sysctls", dump(member), "ipv4/conf/all/arp_ignore:8", "ipv4/conf/e0/arp_ignore:2", "ipv4/conf/all/arp_announce:2")
	restore(t, member, h)
	sameDump(t, before, dump(member))
}
