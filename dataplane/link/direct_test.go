// SPDX-License-Identifier: Apache-2.0

package link

import (
	"net/netip"
	"testing"
)

// TestDirect: what takes the network of an interface away, in every way that people and programs do it, is seen, and its return too.
func TestDirect(t *testing.T) {
	member, _ := segment(t)
	var r *Routes
	member.Do(func() (err error) { r, err = OpenRoutes(); return err })
	defer r.Close()
	index := 0
	member.Do(func() error {
		l, err := r.handle.LinkByName("e0")
		if err == nil {
			index = l.Attrs().Index
		}
		return err
	})
	four, six := netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("2001:db8::2")
	for _, step := range []struct {
		run       string
		four, six bool
	}{
		{"true", true, true},
		{"ip addr del 10.0.0.1/24 dev e0", false, true},
		{"ip addr add 10.0.0.1/24 dev e0", true, true},
		{"ip route del 10.0.0.0/24 dev e0", false, true},
		{"ip route add 10.0.0.0/24 via 10.0.0.9 dev e0 onlink", false, true},
		{"ip route replace 10.0.0.0/24 dev e0", true, true},
		{"ip route add unreachable 10.0.0.2/32", false, true},
		{"ip route replace blackhole 10.0.0.2/32", false, true},
		{"ip route del blackhole 10.0.0.2/32", true, true},
		{"ip link set e0 mtu 1279", true, false}, // less than IPv6 needs: its addresses are gone
		{"ip link set e0 mtu 1500 && ip addr add 2001:db8::1/64 dev e0 nodad", true, true},
		{"echo 1 > /proc/sys/net/ipv6/conf/e0/disable_ipv6", true, false},
	} {
		member.Run("sh", "-c", step.run)
		for to, want := range map[netip.Addr]bool{four: step.four, six: step.six} {
			if got, err := r.Direct(to, index); err != nil || got != want {
				t.Errorf("after %s: %v is reached directly: %t, %v; want %t", step.run, to, got, err, want)
			}
		}
	}
	if got, err := r.Direct(four, index+1); err != nil || got {
		t.Errorf("by another interface: %t, %v", got, err)
	}
}
