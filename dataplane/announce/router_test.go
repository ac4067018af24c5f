// SPDX-License-Identifier: Apache-2.0

package announce

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/ndp"

	"github.com/holdfast-project/holdfast/internal/config"
)

// advertised is the router advertisement of a set as hosts read it.
func advertised(t *testing.T, r Router) *ndp.RouterAdvertisement {
	t.Helper()
	s, err := newStation(Set{Name: "e0", MAC: vmac, LinkLocal: netip.MustParseAddr("fe80::48:1:0"), Router: &r}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := ndp.ParseMessage(s.advert[54:])
	if err != nil {
		t.Fatal(err)
	}
	return m.(*ndp.RouterAdvertisement)
}

func TestPreferenceIsSent(t *testing.T) {
	for _, tt := range []struct {
		router Router
		want   ndp.Preference
	}{
		{Router{}, ndp.Medium},
		{Router{Preference: PreferenceMedium}, ndp.Medium},
		{Router{Preference: PreferenceLow}, ndp.Low},
		{Router{Preference: PreferenceHigh}, ndp.High},
		{Router{Preference: PreferenceHigh, NoDefaultRoute: true}, ndp.Medium}, // RFC 4191 section 2.2
	} {
		if got := advertised(t, tt.router).RouterSelectionPreference; got != tt.want {
			t.Errorf("%+v: preference %v, want %v", tt.router, got, tt.want)
		}
	}
}

func TestPreferredLifetime(t *testing.T) {
	p := netip.MustParsePrefix("2001:db8::/64")
	for _, tt := range []struct {
		prefix Prefix
		want   time.Duration
	}{
		{Prefix{Prefix: p}, defaultPreferred},
		{Prefix{Prefix: p, Valid: time.Hour}, time.Hour},
		{Prefix{Prefix: p, Preferred: time.Minute}, time.Minute},
		{Prefix{Prefix: p, Deprecated: true}, 0},
	} {
		for _, o := range advertised(t, Router{Prefixes: []Prefix{tt.prefix}}).Options {
			if pi, ok := o.(*ndp.PrefixInformation); ok && pi.PreferredLifetime != tt.want {
				t.Errorf("%+v: preferred for %v, want %v", tt.prefix, pi.PreferredLifetime, tt.want)
			}
		}
	}
}

// TestBadAdvertisementCostsNothingElse: whatever is wrong with it, ARP and neighbour advertisements go on.
func TestBadAdvertisementCostsNothingElse(t *testing.T) {
	l := newLAN(t)
	set := l.set()
	set.LinkLocal = netip.MustParseAddr("fe80::48:1:0")
	l.configure(set)
	l.announcer.Announce(0)
	bad := set
	bad.Router = &Router{MaxInterval: time.Hour}
	l.member.Do(func() error {
		if err := l.announcer.Configure([]Set{bad}); err == nil || !strings.Contains(err.Error(), "e0: router advertisement: maximum interval") {
			t.Errorf("Configure: %v", err)
		}
		return nil
	})
	if !l.announcer.Serving(0) {
		t.Fatal("a bad router advertisement ended the announcements")
	}
	before := l.announcer.Counters()
	l.announcer.Announce(0)
	if got := l.announcer.Counters(); got.ARPRequests == before.ARPRequests || got.NeighbourAdverts == before.NeighbourAdverts {
		t.Errorf("before %+v, after %+v", before, got)
	}
	if got := l.announcer.Counters().RouterAdverts; got != 0 {
		t.Errorf("%d router advertisements", got)
	}
	l.serve()
}

// clusterFile has one segment with router advertisements.
const clusterFile = `
id: 7
name: edge
key-file: /etc/holdfast/cluster.key
members:
  - {name: a, interfaces: {in: {device: e0, addresses: ["2001:db8::2/64"]}}}
  - {name: b, interfaces: {in: {device: e0, addresses: ["2001:db8::3/64"]}}}
interfaces:
  - {name: in, role: cluster, vips: ["2001:db8::1"], router-advert: {%s}}
`

// TestConfigurationAcceptsNothingThatIsRefusedHere: what `holdfast config check` calls sound must be sent.
func TestConfigurationAcceptsNothingThatIsRefusedHere(t *testing.T) {
	list := func(n int, format string) string {
		words := make([]string, n)
		for i := range words {
			words[i] = fmt.Sprintf(format, i)
		}
		return "[" + strings.Join(words, ", ") + "]"
	}
	for _, tt := range []struct {
		text   string
		accept bool
	}{
		{"interval: 10s", true},
		{"interval: 4s", true}, {"interval: 3s", false},
		{"interval: 30m", true}, {"interval: 31m", false},
		{"lifetime: 0s", true}, {"lifetime: 9000s", true}, {"lifetime: 9001s", false}, {"lifetime: 9s", false},
		{"interval: 30m, lifetime: 30m", true}, {"interval: 30m, lifetime: 29m", false},
		{"lifetime: 20500ms", false},
		{"preference: high", true}, {"preference: best", false},
		{"dns: [\"2001:db8::53\"], dns-lifetime: 9000s", true}, {"dns: [\"2001:db8::53\"], dns-lifetime: 9001s", false},
		{"prefixes: [{prefix: \"2001:db8::/64\", preferred: 0s}]", true}, {"prefixes: [{prefix: \"2001:db8::/64\", preferred: 500ms}]", false},
		{"prefixes: " + list(38, `"2001:db8:%x::/64"`), true}, {"prefixes: " + list(39, `"2001:db8:%x::/64"`), false},
		{"dns: " + list(15, `"2001:db8::%x"`), true}, {"dns: " + list(16, `"2001:db8::%x"`), false},
		{"search: " + list(17, "d%03d.example"), true}, {"search: " + list(18, "d%03d.example"), false},
		{"mtu: 1500, search: [a.example], dns: [\"2001:db8::53\"], prefixes: " + list(36, `"2001:db8:%x::/64"`), true},
		{"mtu: 1500, search: [a.example], dns: [\"2001:db8::53\"], prefixes: " + list(37, `"2001:db8:%x::/64"`), false},
	} {
		c, err := config.Parse("cluster.yaml", []byte(fmt.Sprintf(clusterFile, tt.text)))
		if (err == nil) != tt.accept {
			t.Errorf("%.60s: accepted %v: %v", tt.text, err == nil, err)
		}
		if err != nil {
			continue
		}
		r := translate(c.Interfaces[0].RouterAdv)
		s, err := newStation(Set{Name: "e0", MAC: vmac, LinkLocal: c.Interfaces[0].LinkLocal, Router: r}, nil)
		if err != nil {
			t.Errorf("%.60s: the configuration accepts it, but %v", tt.text, err)
			continue
		}
		t.Logf("%.60s: %d octets", tt.text, len(s.advert)-14)
	}
}

// translate does what the node does.
func translate(ra *config.RouterAdv) *Router {
	r := &Router{MaxInterval: ra.Interval, Lifetime: ra.Lifetime, NoDefaultRoute: ra.Lifetime == 0, Preference: Preference(ra.Preference),
		HopLimit: ra.HopLimit, Managed: ra.Managed, OtherConfig: ra.OtherConfig, MTU: ra.MTU, DNS: ra.DNS, Search: ra.Search,
		DNSLifetime: ra.DNSLifetime}
	for _, p := range ra.Prefixes {
		r.Prefixes = append(r.Prefixes, Prefix{Prefix: p.Prefix, OffLink: !p.OnLink, NoAutonomous: !p.Autonomous, Valid: p.Valid,
			Preferred: p.Preferred, Deprecated: p.Preferred == 0})
	}
	return r
}
