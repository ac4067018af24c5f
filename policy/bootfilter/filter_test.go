// SPDX-License-Identifier: Apache-2.0

package bootfilter

import (
	"net/netip"
	"testing"
)

const golden = `table inet holdfast_boot
delete table inet holdfast_boot
table inet holdfast_boot {
	comment "holdfast: while no policy is in force"
	chain input {
		type filter hook input priority filter - 10; policy drop;
		ct state established,related accept
		iifname "lo" accept
		icmp type { echo-request, destination-unreachable, time-exceeded, parameter-problem } accept
		icmpv6 type { echo-request, destination-unreachable, packet-too-big, time-exceeded, parameter-problem } accept
		icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept
		icmpv6 type { mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report } accept
		ip saddr 192.0.2.0/24 tcp dport 2222 accept
		ip6 saddr 2001:db8::/32 tcp dport 2222 accept
	}
	chain forward {
		type filter hook forward priority filter - 10; policy drop;
		ip saddr 10.0.0.1 ip daddr 198.51.100.9 tcp dport 8443 accept
		ip saddr 198.51.100.9 ip daddr 10.0.0.1 tcp sport 8443 ct state established accept
	}
}
`

func TestText(t *testing.T) {
	f := &Filter{
		SSH: []netip.Prefix{netip.MustParsePrefix("2001:db8::1/32"), netip.MustParsePrefix("192.0.2.7/24"), netip.MustParsePrefix("192.0.2.0/24")}, SSHPort: 2222,
		Members:    []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")},
		Management: []netip.AddrPort{netip.MustParseAddrPort("198.51.100.9:8443"), {}},
	}
	if got := f.Text(); got != golden {
		t.Errorf("got\n%s", got)
	}
	again := *f
	again.SSH = []netip.Prefix{f.SSH[1], f.SSH[0]}
	if !f.Equal(&again) || f.Equal(nil) || !(*Filter)(nil).Equal(nil) {
		t.Error("filters that say the same in another order must be equal, and none equals none only")
	}
	again.SSHPort = 0
	if f.Equal(&again) {
		t.Error("another port is another filter")
	}
}
