// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/holdfast-project/holdfast/policy/bootfilter"
)

// TestBootFilter: nft takes the text, again and again, and the filter goes without a trace; other tables stay.
func TestBootFilter(t *testing.T) {
	p := newPlace(t)
	k := p.kernel()
	p.run("nft", "add", "table", "inet", "others")
	f := &bootfilter.Filter{
		SSH:        []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")},
		Members:    []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")},
		Management: []netip.AddrPort{netip.MustParseAddrPort("198.51.100.9:8443"), netip.MustParseAddrPort("[2001:db8::9]:8443")},
	}
	if has, err := k.HasBootFilter(); err != nil || has {
		t.Fatal(has, err)
	}
	for range 2 {
		if err := k.LoadBootFilter(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	if has, err := k.HasBootFilter(); err != nil || !has {
		t.Error(has, err)
	}
	got := p.run("nft", "list", "table", "inet", "holdfast_boot")
	// nft says the same in its own words; every rule must be there once.
	for _, rule := range []string{
		"hook input priority filter - 10; policy drop;", "hook forward priority filter - 10; policy drop;",
		"ip saddr 192.0.2.0/24 tcp dport 22 accept", "ip6 saddr 2001:db8::/32 tcp dport 22 accept", `iifname "lo" accept`,
		"ip saddr 10.0.0.1 ip daddr 198.51.100.9 tcp dport 8443 accept", "ip6 saddr fd00::1 ip6 daddr 2001:db8::9 tcp dport 8443 accept",
		"ip saddr 198.51.100.9 ip daddr 10.0.0.1 tcp sport 8443 ct state established accept",
	} {
		if strings.Count(got, rule) != 1 {
			t.Errorf("%s is there %d times in\n%s", rule, strings.Count(got, rule), got)
		}
	}
	if strings.Contains(got, "10.0.0.1 ip daddr 2001") || strings.Count(got, "accept") != 12 {
		t.Errorf("it lets in more than it should:\n%s", got)
	}
	for range 2 {
		if err := k.RemoveBootFilter(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.run("nft", "list", "tables"); strings.TrimSpace(got) != "table inet others" {
		t.Errorf("left: %s", got)
	}
}
