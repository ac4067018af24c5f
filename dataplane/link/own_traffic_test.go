// SPDX-License-Identifier: Apache-2.0

package link

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/dataplane/link/linktest"
)

func ping(n *linktest.Namespace, addr string) bool {
	_, err := n.Try("ping", "-c1", "-W1", addr)
	return err == nil
}

// reached pings until there is an answer: an address that was not there a moment ago is asked for again only after a second.
func reached(n *linktest.Namespace, addr string) bool {
	for range 5 {
		if ping(n, addr) {
			return true
		}
	}
	return false
}

// TestOwnTrafficToAVIP is what the rule before the local table is for.
func TestOwnTrafficToAVIP(t *testing.T) {
	member, server := segment(t)
	h := apply(t, member, filepath.Join(t.TempDir(), "host.json"), desired())
	defer restore(t, member, h)
	vips := []string{"10.0.0.100", "2001:db8::100"}

	for _, vip := range vips {
		if ping(member, vip) {
			t.Errorf("%s answers though nobody serves: own traffic stays on the member", vip)
		}
	}
	server.Addr("p0", "10.0.0.100/32")
	server.Addr("p0", "2001:db8::100/128")
	for _, vip := range vips {
		if !reached(member, vip) {
			t.Errorf("%s is not reached at the server", vip)
		}
	}
	server.SetUp("p0", false)
	for _, serving := range []bool{true, false, true} {
		member.Do(func() error { return h.SetServing(0, serving) })
		for _, vip := range vips {
			if ping(member, vip) != serving {
				t.Errorf("serving %v: %s answers here: %v", serving, vip, !serving)
			}
		}
	}
}

func TestStackDoesNotAnswerForVIPs(t *testing.T) {
	member, host := segment(t)
	ask := func(vip string) bool {
		ping(host, vip)
		out := host.Run("ip", "neigh", "show", "to", strings.TrimSuffix(vip, "%p0"))
		return len(out) > 0 && !contains(out, "FAILED") && !contains(out, "INCOMPLETE")
	}
	h := apply(t, member, filepath.Join(t.TempDir(), "host.json"), desired())
	defer restore(t, member, h)
	for _, vip := range []string{"10.0.0.100", "2001:db8::100", "fe80::4846:1:0%p0"} {
		if ask(vip) {
			t.Errorf("the stack answers for %s", vip)
		}
	}
	if !ask("10.0.0.1") {
		t.Error("the stack does not answer for the member's own address either: the test proves nothing")
	}
}

// TestLinkLocalVIPIsDelivered: with the neighbour entry that the gate would give, the virtual link-local address answers.
func TestLinkLocalVIPIsDelivered(t *testing.T) {
	member, host := segment(t)
	h := apply(t, member, filepath.Join(t.TempDir(), "host.json"), desired())
	defer restore(t, member, h)
	host.Run("ip", "neigh", "replace", "fe80::4846:1:0", "lladdr", hexMAC(member.MAC("e0")).String(), "dev", "p0")
	if !ping(host, "fe80::4846:1:0%p0") {
		t.Errorf("no answer:\n%s", member.Run("ip", "-6", "route", "show", "table", "local"))
	}
}

// TestRulesInTheWay: rules of somebody else are never overtaken.
func TestRulesInTheWay(t *testing.T) {
	member, _ := segment(t)
	member.Run("ip", "rule", "add", "priority", "1", "from", "192.0.2.1", "lookup", "77")
	before := dump(member)
	var h *Host
	member.Do(func() error {
		var err error
		if h, err = OpenHost(filepath.Join(t.TempDir(), "host.json"), nil); err != nil {
			return err
		}
		if err := h.Apply(desired()); err == nil || !contains(err.Error(), "move them to 2 or more") {
			t.Errorf("got %v", err)
		}
		return nil
	})
	mustContain(t, "rules", member.Run("ip", "rule"), "0:\tfrom all lookup local")
	mustContain(t, "lo", member.Run("ip", "addr", "show", "dev", "lo"), "10.0.0.100/32") // the rest is done
	restore(t, member, h)
	sameDump(t, before, dump(member))
}

// TestLinkFlap: going down takes routes and the virtual link-local address along; the next Apply brings them back.
func TestLinkFlap(t *testing.T) {
	member, _ := segment(t)
	h := apply(t, member, filepath.Join(t.TempDir(), "host.json"), desired())
	defer restore(t, member, h)
	member.SetUp("e0", false)
	member.Do(func() error { return h.Apply(desired()) })
	member.SetUp("e0", true)
	member.Do(func() error { return h.Apply(desired()) })
	mustContain(t, "routes", member.Run("ip", "route", "show", "table", "18502"), "10.0.0.100 dev e0")
	mustContain(t, "IPv6 routes", member.Run("ip", "-6", "route", "show", "table", "all"),
		"local fe80::4846:1:0 dev e0 table local", "2001:db8::100 dev e0 table 18502")
	mustContain(t, "groups", member.Run("ip", "maddr", "show", "dev", "e0"), "ff02::1:ff00:100")
}

// TestThousandVIPs: a hand-over costs a rule per family, whatever the number of VIPs, and one socket holds not all groups.
func TestThousandVIPs(t *testing.T) {
	member, _ := segment(t)
	before := dump(member)
	d := desired()
	for i := range 1000 {
		d.Interfaces[0].VIPs = append(d.Interfaces[0].VIPs,
			VIP{Addr: netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})},
			VIP{Addr: netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 2: 0x0d, 3: 0xb8, 5: 1, 14: byte(i >> 8), 15: byte(i)})})
	}
	path := filepath.Join(t.TempDir(), "host.json")
	start := time.Now()
	h := apply(t, member, path, d)
	t.Logf("Apply: %v", time.Since(start))
	member.Do(func() error {
		start = time.Now()
		err := h.Apply(d)
		t.Logf("Apply again: %v", time.Since(start))
		return err
	})
	member.Do(func() error {
		start = time.Now()
		err := h.SetServing(0, true)
		t.Logf("SetServing: %v", time.Since(start))
		return err
	})
	if got := strings.Count(member.Run("ip", "maddr", "show", "dev", "e0"), "ff02::1:ff00:"); got < 1000 {
		t.Errorf("%d solicited-node groups", got)
	}
	start = time.Now()
	restore(t, member, h)
	t.Logf("Restore: %v", time.Since(start))
	sameDump(t, before, dump(member))
}
